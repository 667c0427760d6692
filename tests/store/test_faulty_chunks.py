"""The faulty chunk store: the suite with an empty plan, then each fault of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from inos.core.errors import Corrupt, StorageFull
from inos.core.ids import Address
from inos.store.chunks import StoreUsage
from inos.store.faulty_chunks import FaultPlan, FaultyChunkStore
from inos.store.memory_chunks import MemoryChunkStore
from inos.testing.chunks import ChunkHarness, ChunkStoreSuite, Clock, chunk


class Faulty:
    def __init__(self, plan: FaultPlan, capacity_bytes: int | None = None) -> None:
        self.clock = Clock()
        self.paused_s: list[float] = []
        self.inner = MemoryChunkStore(self.clock, capacity_bytes=capacity_bytes)
        self.store = FaultyChunkStore(self.inner, plan, self.paused_s.append)

    def damage(self, address: Address, data: bytes) -> None:
        self.inner.damage(address, data)

    def close(self) -> None:
        pass


class TestFaultyChunkStoreWithoutFaults(ChunkStoreSuite):
    def harness(self, root: Path, capacity_bytes: int | None = None) -> ChunkHarness:
        return Faulty(FaultPlan(), capacity_bytes)


def test_the_planned_put_finds_the_disk_full() -> None:
    made = Faulty(FaultPlan(full_puts=frozenset({2})))
    made.store.put_many([chunk(1)])
    with pytest.raises(StorageFull):
        made.store.put_many([chunk(2)])
    assert made.store.usage().chunks == 1
    made.store.put_many([chunk(2)])
    assert made.store.usage().chunks == 2


def test_the_planned_read_is_damaged_and_heals() -> None:
    made = Faulty(FaultPlan(corrupt_gets=frozenset({1})))
    address, data = chunk(1)
    made.store.put_many([(address, data)])
    with pytest.raises(Corrupt):
        made.store.get(address)
    assert made.store.usage() == StoreUsage(0, 0)
    made.store.put_many([(address, data)])
    assert made.store.get(address) == data


def test_the_planned_calls_are_slow() -> None:
    made = Faulty(FaultPlan(slow_puts={1: 0.5}, slow_gets={2: 0.25}))
    address, data = chunk(1)
    for _ in range(2):
        made.store.put_many([(address, data)])
        assert made.store.get(address) == data
    assert made.paused_s == [0.5, 0.25]
