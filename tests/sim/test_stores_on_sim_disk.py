"""The stores on a simulated disk, under the suites they pass on a machine's own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import trio

from inos.core.ids import Address
from inos.sim.disk import SimDisk
from inos.store.chunk_files import ChunkFiles
from inos.store.database import Database
from inos.store.disk_chunks import DiskChunkStore
from inos.store.records import RecordStore
from inos.store.replica import Replica
from inos.testing.chunks import ChunkHarness, ChunkStoreSuite, Clock
from inos.testing.records import ReplicaSuite

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

KEY: Final = bytes(range(32))


class InlineClock(Clock):
    """A wall clock that a test sets, and no threads, as in a simulation."""

    async def in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.lowlevel.checkpoint()
        return work(*args)


class StoreOnSimDisk:
    def __init__(self, capacity_bytes: int | None) -> None:
        self.disk = SimDisk(random.Random(1), capacity_bytes=10**9)
        files = self.disk.files
        self.clock: Clock = InlineClock()
        self.files = ChunkFiles(self.disk.root, files)
        self.database = Database(self.disk.root / "inos.db", KEY, self.clock, files=files)
        # Files take up whole blocks.
        quota_bytes = None if capacity_bytes is None else capacity_bytes + 3 * 4095
        self.store = DiskChunkStore(self.disk.root, self.database, self.clock, quota_bytes=quota_bytes, files=files)

    def damage(self, address: Address, data: bytes) -> None:
        if self.files.size(address) is not None:
            self.disk.files.write_synced([(self.files.path(address), data)])
        else:
            sql = "UPDATE inline_chunks SET data = ? WHERE address = ?"
            self.database.write(lambda cursor: list(cursor.execute(sql, (data, address))))

    def close(self) -> None:
        self.database.close()


class TestChunksOnSimDisk(ChunkStoreSuite):
    def harness(self, root: Path, capacity_bytes: int | None = None) -> ChunkHarness:
        return StoreOnSimDisk(capacity_bytes)


@contextmanager
def records_on_sim_disk() -> Iterator[RecordStore]:
    disk = SimDisk(random.Random(1), capacity_bytes=10**9)
    database = Database(disk.root / "inos.db", KEY, Clock(), files=disk.files)
    yield RecordStore(database)
    database.close()


class TestRecordsOnSimDisk(ReplicaSuite):
    def fresh(self, root: Path) -> AbstractContextManager[Replica]:
        return records_on_sim_disk()
