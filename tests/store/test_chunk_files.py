"""Which of the files that were just written the machine may keep in its memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from inos.core.ids import Address
from inos.crypto.hashing import address_of, blake3_digest
from inos.store import chunk_files
from inos.store.chunk_files import ChunkFiles
from inos.store.filesystem import REAL_FILES, RealFiles


class Watched(RealFiles):
    """Real files that say which of them were to leave the memory."""

    def __init__(self) -> None:
        self.uncached: list[str] = []

    def uncache(self, path: Path) -> None:
        self.uncached.append(path.stem)
        super().uncache(path)


def chunk(number: int, size: int) -> tuple[Address, bytes]:
    data = blake3_digest(b"%d" % number) + bytes(size - 32)
    return address_of(data), data


def test_what_was_written_last_stays_in_memory_and_the_rest_leaves_it_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_files, "RECENT_BYTES", 50_000)
    watched = Watched()
    files = ChunkFiles(tmp_path, watched)
    files.prepare()
    chunks = [chunk(number, 10_000) for number in range(40)]
    files.write(chunks)
    names = [address.hex() for address, _ in chunks]
    assert watched.uncached == names[:-5]
    assert all(files.read(address, len(data)) == data for address, data in chunks)
    files.remove([chunks[-5][0]])
    files.write([chunk(99, 10_000)])
    assert watched.uncached == names[:-4], "a file that is gone by then is passed over"


def test_of_many_small_files_so_many_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_files, "RECENT_FILES", 8)
    watched = Watched()
    files = ChunkFiles(tmp_path, watched)
    files.prepare()
    files.write([chunk(number, 40) for number in range(20)])
    assert len(watched.uncached) == 12


def test_what_is_not_there_cannot_be_uncached_and_what_was_not_synced_stays(tmp_path: Path) -> None:
    REAL_FILES.uncache(tmp_path / "absent")
    REAL_FILES.uncache(tmp_path)
    (tmp_path / "new").write_bytes(b"x" * 10_000)
    REAL_FILES.uncache(tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == b"x" * 10_000
