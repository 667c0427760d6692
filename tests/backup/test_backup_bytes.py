"""Every byte of every file of a small backup, changed: noticed, and the file named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from inos.backup.place import FolderPlace
from inos.backup.repository import Repository
from inos.backup.sealing import BackupKeys
from inos.backup.snapshot import Part, Snapshot
from inos.core.env import RealEnv
from inos.core.errors import Corrupt, NewerFormat, WrongPassphrase

KEYS = BackupKeys(b"k" * 32)
OWNER = b"o" * 32


class Flipped(FolderPlace):
    """A folder in which one byte of one file reads otherwise."""

    def __init__(self, folder: Path, name: str, at: int) -> None:
        super().__init__(folder)
        self._name = name
        self._at = at

    def names(self, folder: str) -> Mapping[str, int]:
        return super().names(folder)

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        data = bytearray(super().read(name))
        if name == self._name:
            data[self._at] ^= 0x10
        return bytes(data[start : None if size is None else start + size])


def repository(place: FolderPlace) -> Repository:
    return Repository(place, KEYS, OWNER, RealEnv().token_bytes)


def noticed(place: FolderPlace) -> str:
    """What is said of the first problem, "" for none."""
    opened = repository(place)
    try:
        opened.open(create=False)
        for pack in opened.pack_names():
            opened.check_pack(pack)
    except (Corrupt, NewerFormat, WrongPassphrase) as error:
        return error.message
    bad = [found.message for _, found in opened.snapshots() if isinstance(found, Corrupt)]
    return next(iter([*opened.problems, *bad]), "")


def test_every_byte(tmp_path: Path) -> None:
    made = repository(FolderPlace(tmp_path))
    made.open(create=True)
    blocks = tuple(made.add_block(bytes([number]) * 40) for number in range(3))
    made.flush()
    part = Part(3, 120, 0, blocks)
    made.write_snapshot(Snapshot("full", 1, "n", "0", "{}", part, part, part))
    files = {
        path.relative_to(tmp_path).as_posix(): path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()
    }
    assert len(files) == 4 and noticed(FolderPlace(tmp_path)) == ""
    for name, size in files.items():
        for at in range(size):
            said = noticed(Flipped(tmp_path, name, at))
            assert said and (name in said or name == "inos-backup"), (name, at)
