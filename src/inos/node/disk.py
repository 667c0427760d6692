"""The stores of one data root, opened together, and how much of the machine's disk they may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inos.core.env import Env
from inos.core.errors import Corrupt
from inos.store.database import Database
from inos.store.disk_chunks import DiskChunkStore
from inos.store.filesystem import REAL_FILES, Files
from inos.store.holdings import Holdings
from inos.store.names import NameIndex
from inos.store.rebuild import DATABASE
from inos.store.records import RecordStore
from inos.store.repositories import Repositories
from inos.store.settings import Settings
from inos.store.spare import Spare

BLOBS: Final = "blobs"


@dataclass(frozen=True, slots=True)
class Disk:
    """Everything a node keeps. `root` is the data root; calls to the stores block."""

    root: Path
    quota_bytes: int
    files: Files
    database: Database
    spare: Spare
    chunks: DiskChunkStore
    records: RecordStore
    holdings: Holdings
    names: NameIndex
    settings: Settings
    rows: Repositories

    def free_bytes(self) -> int:
        """Free space of the file system."""
        return self.files.free_bytes(self.root)

    def used_bytes(self) -> int:
        """Bytes of the chunks kept."""
        return self.chunks.usage().bytes

    def storage_bytes(self) -> int:
        """What this node offers: its quota, or what the disk has, where that is less. In whole GB, so that it is not
        announced anew for every file that somebody writes beside it."""
        room = min(self.quota_bytes, self.used_bytes() + self.free_bytes())
        return room // 10**9 * 10**9 or room


def _refuse_without_database(root: Path, files: Files) -> None:
    """The database is made before the folder of chunk files: where only the folder is there, it was lost. Going on
    would quietly make this node the founder of a mesh of its own."""
    if files.exists(root / BLOBS) and not files.exists(root / DATABASE):
        raise Corrupt(
            f"{DATABASE} is missing from {root}",
            hint="put it back; without a copy run: inos rebuild, which says what is left",
        )


@contextmanager
def open_disk(
    root: Path, database_key: bytes, quota_bytes: int, env: Env, *, files: Files = REAL_FILES
) -> Iterator[Disk]:
    """Open the stores under `root`, a folder of `files`. Raises Corrupt, NewerFormat, StorageFull."""
    _refuse_without_database(root, files)
    database = Database(root / DATABASE, database_key, env, files=files)
    try:
        yield Disk(
            root=root,
            quota_bytes=quota_bytes,
            files=files,
            database=database,
            spare=Spare(root, database, files),
            chunks=DiskChunkStore(root, database, env, quota_bytes=quota_bytes, files=files),
            records=RecordStore(database),
            holdings=Holdings(database),
            names=NameIndex(database),
            settings=Settings(database),
            rows=Repositories(database),
        )
    finally:
        database.close()
