"""The stores of one data root, opened together, and how much of the machine's disk they may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inos.core.env import Env
from inos.core.errors import Corrupt
from inos.node.profiles import Quotas
from inos.store.chunks import StoreUsage
from inos.store.connection import with_logs
from inos.store.database import Database
from inos.store.database_care import DatabaseCare, PageRoom
from inos.store.disk_chunks import DiskChunkStore
from inos.store.filesystem import REAL_FILES, Files
from inos.store.holdings import Holdings
from inos.store.local_objects import LocalObjects
from inos.store.names import NameIndex
from inos.store.rebuild import DATABASE
from inos.store.records import RecordStore
from inos.store.repositories import Repositories
from inos.store.settings import Settings
from inos.store.spare import Spare

BLOBS: Final = "blobs"


class DiskSpace:
    """What the two tiers of one data root take up on the disk (`tiers.TieredDisk`). Calls block."""

    def __init__(self, database_file: Path, database: Database, chunks: DiskChunkStore, files: Files) -> None:
        self._database_file = database_file
        self._care = DatabaseCare(database)
        self._chunks = chunks
        self._files = files
        self.surplus_bytes = 0
        """Of the chunks, what this node need not keep, as far as is known."""

    def hot_bytes(self) -> int:
        """The database and its log."""
        return sum(self._files.allocated(file) for file in with_logs(self._database_file))

    def cold_bytes(self) -> int:
        return self._chunks.cold_bytes()

    def measure(self) -> None:
        self._chunks.measure()

    def page_room(self) -> PageRoom:
        return self._care.room()

    def demote(self, limit: int) -> StoreUsage:
        return self._chunks.demote(limit)

    def small_as_files(self, value: bool) -> None:
        """Whether small chunks become files, too."""
        self._chunks.small_as_files = value


@dataclass(frozen=True, slots=True)
class Disk:
    """Everything a node keeps. `root` is the data root; calls to the stores block."""

    root: Path
    quotas: Quotas
    files: Files
    database: Database
    spare: Spare
    chunks: DiskChunkStore
    records: RecordStore
    holdings: Holdings
    names: NameIndex
    settings: Settings
    rows: Repositories
    local: LocalObjects
    space: DiskSpace

    @property
    def quota_bytes(self) -> int:
        """What the chunk files may take up."""
        return self.quotas.cold_bytes

    def free_bytes(self) -> int:
        """Free space of the file system."""
        return self.files.free_bytes(self.root)

    def used_bytes(self) -> int:
        """Bytes of the chunks that are owed to the mesh: what else is here goes when its room is wanted."""
        owed_bytes = max(self.chunks.usage().bytes, self.chunks.cold_bytes()) - self.space.surplus_bytes
        return max(0, owed_bytes)

    def storage_bytes(self) -> int:
        """What this node offers: its quota, or what the disk has, where that is less; see `offered`."""
        return offered(min(self.quota_bytes, self.used_bytes() + self.free_bytes()))


def offered(room_bytes: int) -> int:
    """So much room as it is announced: in whole GB, below that in steps of a sixteenth to an eighth, so that it is not
    told to the whole mesh again for every file that somebody writes beside it."""
    step_bytes = 10**9 if room_bytes >= 10**9 else 1 << max(0, room_bytes.bit_length() - 4)
    return room_bytes // step_bytes * step_bytes


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
    root: Path, database_key: bytes, quotas: Quotas | int, env: Env, *, files: Files = REAL_FILES
) -> Iterator[Disk]:
    """Open the stores under `root`, a folder of `files`; one number is the quota of each tier. Raises Corrupt,
    NewerFormat, StorageFull."""
    quotas = Quotas(quotas, quotas) if isinstance(quotas, int) else quotas
    _refuse_without_database(root, files)
    database = Database(root / DATABASE, database_key, env, files=files)
    try:
        chunks = DiskChunkStore(root, database, env, quota_bytes=quotas.cold_bytes, files=files)
        yield Disk(
            root=root,
            quotas=quotas,
            files=files,
            database=database,
            spare=Spare(root, database, files),
            chunks=chunks,
            records=RecordStore(database),
            holdings=Holdings(database),
            names=NameIndex(database),
            settings=Settings(database),
            rows=Repositories(database),
            local=LocalObjects(database),
            space=DiskSpace(root / DATABASE, database, chunks, files),
        )
    finally:
        database.close()
