"""The chunk store in memory passes the suite."""

from __future__ import annotations

from pathlib import Path

from inos.core.ids import Address
from inos.store.memory_chunks import MemoryChunkStore
from inos.testing.chunks import ChunkHarness, ChunkStoreSuite, Clock


class Memory:
    def __init__(self, capacity_bytes: int | None) -> None:
        self.clock = Clock()
        self.store = MemoryChunkStore(self.clock, capacity_bytes=capacity_bytes)

    def damage(self, address: Address, data: bytes) -> None:
        self.store.damage(address, data)

    def close(self) -> None:
        pass


class TestMemoryChunkStore(ChunkStoreSuite):
    def harness(self, root: Path, capacity_bytes: int | None = None) -> ChunkHarness:
        return Memory(capacity_bytes)
