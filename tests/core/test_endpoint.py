"""The file by which a command finds its node."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from inos.core.endpoint import (
    ENDPOINT_FILE,
    Endpoint,
    data_root,
    read_endpoint,
    remove_endpoint,
    write_endpoint,
)
from inos.core.errors import InosError, NoNode

ENDPOINT = Endpoint("http://127.0.0.1:4711", "secret-token")


def test_written_and_read(tmp_path: Path) -> None:
    write_endpoint(tmp_path, Endpoint("http://127.0.0.1:1", "old"))
    write_endpoint(tmp_path, ENDPOINT)
    assert read_endpoint(tmp_path) == ENDPOINT
    assert stat.S_IMODE((tmp_path / ENDPOINT_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [ENDPOINT_FILE]


def test_the_token_does_not_print() -> None:
    assert "secret" not in repr(ENDPOINT)


def test_no_node(tmp_path: Path) -> None:
    with pytest.raises(NoNode) as missing:
        read_endpoint(tmp_path)
    assert "inos up" in missing.value.hint
    with pytest.raises(NoNode) as absent:
        read_endpoint(tmp_path / "nothing")
    assert "inos init" in absent.value.hint


def test_withdrawn(tmp_path: Path) -> None:
    write_endpoint(tmp_path, ENDPOINT)
    remove_endpoint(tmp_path)
    remove_endpoint(tmp_path)
    with pytest.raises(NoNode):
        read_endpoint(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"url": "x"}', "\xff", "nonsense"])
def test_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / ENDPOINT_FILE).write_text(content, encoding="latin-1")
    with pytest.raises(InosError, match="damaged"):
        read_endpoint(tmp_path)


def test_which_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert data_root() == tmp_path / "inos"
    monkeypatch.setenv("INOS_HOME", str(tmp_path / "other"))
    assert data_root() == tmp_path / "other"
    assert data_root(tmp_path / "given") == tmp_path / "given"
