"""The tag of a page of an encrypted database, read without SQLite: pages that SQLite wrote, and what is none."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from inos.crypto.page_tags import is_page
from inos.store.database import Database
from inos.testing.chunks import Clock

KEY: Final = bytes(range(32))
PAGE: Final = 4096


@pytest.fixture
def pages(tmp_path: Path) -> list[bytes]:
    with closing(Database(tmp_path / "one.db", KEY, Clock())):
        pass
    data = (tmp_path / "one.db").read_bytes()
    return [data[at : at + PAGE] for at in range(0, len(data), PAGE)]


def test_every_page_that_sqlite_wrote_is_one(pages: list[bytes]) -> None:
    assert len(pages) > 20
    assert all(is_page(KEY, number, page) for number, page in enumerate(pages, 1))


def test_another_place_key_or_byte_is_none(pages: list[bytes]) -> None:
    assert not is_page(KEY, 3, pages[1])
    assert not is_page(KEY[::-1], 2, pages[1])
    for at in range(0, PAGE, 97):
        assert not is_page(KEY, 2, pages[1][:at] + bytes([pages[1][at] ^ 1]) + pages[1][at + 1 :])


def test_what_cannot_be_a_page_is_none(pages: list[bytes]) -> None:
    assert not any(is_page(KEY, number, pages[0]) for number in (0, -1, 2**32))
    assert not any(is_page(KEY, 1, pages[0][:size]) for size in (0, 1, 31, 32, 33))
