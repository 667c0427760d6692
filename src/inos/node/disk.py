"""The stores of one data root, opened together, and how much of the machine's disk they may use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inos.core.env import Env
from inos.core.errors import Corrupt
from inos.store.database import Database
from inos.store.disk_chunks import DiskChunkStore
from inos.store.holdings import Holdings
from inos.store.names import NameIndex
from inos.store.records import RecordStore
from inos.store.settings import Settings

DATABASE: Final = "inos.db"
BLOBS: Final = "blobs"


@dataclass(frozen=True, slots=True)
class Disk:
    """Everything a node keeps. `root` is the data root; calls to the stores block."""

    root: Path
    quota_bytes: int
    database: Database
    chunks: DiskChunkStore
    records: RecordStore
    holdings: Holdings
    names: NameIndex
    settings: Settings

    def free_bytes(self) -> int:
        """Free space of the file system."""
        return shutil.disk_usage(self.root).free

    def used_bytes(self) -> int:
        """Bytes of the chunks kept."""
        return self.chunks.usage().bytes

    def storage_bytes(self) -> int:
        """What this node offers: its quota, or what the disk has, where that is less. In whole GB, so that it is not
        announced anew for every file that somebody writes beside it."""
        room = min(self.quota_bytes, self.used_bytes() + self.free_bytes())
        return room // 10**9 * 10**9 or room


def _refuse_without_database(root: Path) -> None:
    """The database is made before the folder of chunk files: where only the folder is there, it was lost. Going on
    would quietly make this node the founder of a mesh of its own."""
    if (root / BLOBS).exists() and not (root / DATABASE).exists():
        raise Corrupt(
            f"{DATABASE} is missing from {root}",
            hint=f"put it back; without a copy, move {BLOBS} away too and join again: inos up --join TICKET",
        )


@contextmanager
def open_disk(root: Path, database_key: bytes, quota_bytes: int, env: Env) -> Iterator[Disk]:
    """Open the stores under `root`. Raises Corrupt, NewerFormat, StorageFull."""
    _refuse_without_database(root)
    database = Database(root / DATABASE, database_key, env)
    try:
        yield Disk(
            root=root,
            quota_bytes=quota_bytes,
            database=database,
            chunks=DiskChunkStore(root, database, env, quota_bytes=quota_bytes),
            records=RecordStore(database),
            holdings=Holdings(database),
            names=NameIndex(database),
            settings=Settings(database),
        )
    finally:
        database.close()
