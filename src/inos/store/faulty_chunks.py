"""A chunk store that fails where a plan says so, and is otherwise the one it wraps.

The plan counts calls: the n-th `put_many` finds the disk full, the n-th `get` meets a flipped bit, the n-th of either
takes long. Nothing is left to chance, so a test that fails, fails again. An empty plan passes the whole suite.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from inos.core.errors import Corrupt, StorageFull
from inos.core.ids import Address
from inos.store.chunks import ChunkStore, Mark, ScrubResult, StoreUsage


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which calls fail, counted from 1 for each operation. Slow calls map a number to seconds."""

    full_puts: frozenset[int] = frozenset()
    corrupt_gets: frozenset[int] = frozenset()
    slow_puts: Mapping[int, float] = field(default_factory=dict)
    slow_gets: Mapping[int, float] = field(default_factory=dict)


class FaultyChunkStore:
    """`inner` with the faults of `plan`. `pause` blocks for so many seconds; it is only called for slow calls."""

    def __init__(self, inner: ChunkStore, plan: FaultPlan, pause: Callable[[float], None]) -> None:
        self._inner = inner
        self._plan = plan
        self._pause = pause
        self._lock = threading.Lock()
        self._gets = 0
        self._puts = 0

    def get(self, address: Address) -> bytes:
        with self._lock:
            self._gets += 1
            number = self._gets
        self._pause_for(self._plan.slow_gets.get(number))
        if number in self._plan.corrupt_gets and self._inner.present([address]):
            self._inner.remove_many([address])
            raise Corrupt(f"chunk {address.hex()[:12]} is damaged on this node's disk")
        return self._inner.get(address)

    def unchecked(self, address: Address) -> bytes | None:
        """Nothing: faults are planned for `get`."""
        del address
        return None

    def put_many(self, chunks: Sequence[tuple[Address, bytes]]) -> None:
        with self._lock:
            self._puts += 1
            number = self._puts
        self._pause_for(self._plan.slow_puts.get(number))
        if number in self._plan.full_puts:
            raise StorageFull("no room for these chunks", hint="free space on this disk")
        self._inner.put_many(chunks)

    def _pause_for(self, seconds: float | None) -> None:
        if seconds is not None:
            self._pause(seconds)

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]:
        return self._inner.present(addresses)

    def touch(self, addresses: Sequence[Address]) -> frozenset[Address]:
        return self._inner.touch(addresses)

    def remove_many(self, addresses: Sequence[Address]) -> int:
        return self._inner.remove_many(addresses)

    def addresses(self) -> Iterator[Address]:
        return self._inner.addresses()

    def usage(self) -> StoreUsage:
        return self._inner.usage()

    def scrub(self, after: Address | None, limit: int, end: Address | None = None) -> ScrubResult:
        return self._inner.scrub(after, limit, end)

    def begin_mark(self) -> Mark:
        return self._inner.begin_mark()
