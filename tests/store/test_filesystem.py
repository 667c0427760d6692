"""Folders of a real disk that change while they are looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inos.store.filesystem import REAL_FILES


def test_a_file_that_goes_while_its_folder_is_listed_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"{number}").write_bytes(b"x" * 5000)
    kept_bytes = REAL_FILES.allocated(tmp_path / "0") * 2
    scandir = os.scandir

    @contextmanager
    def scanned(folder: Path) -> Iterator[Iterator[os.DirEntry[Any]]]:
        """As the real one, but that "1" is removed once it was found."""
        with scandir(folder) as entries:
            found = list(entries)
        (tmp_path / "1").unlink(missing_ok=True)
        yield iter(found)

    monkeypatch.setattr(os, "scandir", scanned)
    assert sorted(REAL_FILES.listed(tmp_path)) == [("0", 5000), ("2", 5000)]
    (tmp_path / "1").write_bytes(b"x" * 5000)
    assert REAL_FILES.allocated_in(tmp_path) == kept_bytes
