"""The chunk store in memory: for simulations and tests, and the shortest statement of what the contract means."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from inos.core.env import Env
from inos.core.errors import Conflict, Corrupt, NotFound, StorageFull
from inos.core.ids import Address
from inos.crypto.hashing import address_of
from inos.store.chunks import SWEEP_CHUNKS, Mark, ScrubResult, StoreUsage, checked


@dataclass(slots=True)
class _Held:
    data: bytes
    touched_s: float


class MemoryChunkStore:
    """Chunks in a dict. `capacity_bytes` bounds it like a disk's size would."""

    def __init__(self, env: Env, *, capacity_bytes: int | None = None) -> None:
        self._env = env
        self._capacity_bytes = capacity_bytes
        self._held: dict[Address, _Held] = {}
        self._lock = threading.RLock()
        self._mark: _MemoryMark | None = None

    def get(self, address: Address) -> bytes:
        with self._lock:
            held = self._held.get(address)
            if held is None:
                raise NotFound(f"chunk {address.hex()[:12]} is not on this node")
            if address_of(held.data) != address:
                del self._held[address]
                raise Corrupt(f"chunk {address.hex()[:12]} is damaged in memory")
            return held.data

    def unchecked(self, address: Address) -> bytes | None:
        with self._lock:
            held = self._held.get(address)
            return None if held is None else held.data

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]:
        with self._lock:
            return frozenset(address for address in addresses if address in self._held)

    def put_many(self, chunks: Sequence[tuple[Address, bytes]]) -> None:
        batch = checked(chunks)
        with self._lock:
            fresh = {address: data for address, data in batch.items() if address not in self._held}
            size = sum(map(len, fresh.values()))
            if self._capacity_bytes is not None and self.usage().bytes + size > self._capacity_bytes:
                raise StorageFull(f"{size} bytes do not fit in {self._capacity_bytes}")
            self._held.update({address: _Held(data, 0) for address, data in fresh.items()})
            self.touch(list(batch))

    def touch(self, addresses: Sequence[Address]) -> frozenset[Address]:
        with self._lock:
            held = self.present(addresses)
            for address in held:
                self._held[address].touched_s = self._env.now_s()
            if self._mark is not None:
                self._mark.add(held)
            return held

    def remove_many(self, addresses: Sequence[Address]) -> int:
        with self._lock:
            gone = (self._held.pop(address, None) for address in addresses)
            return sum(len(held.data) for held in gone if held is not None)

    def addresses(self) -> Iterator[Address]:
        with self._lock:
            found = sorted(self._held)
        yield from found

    def usage(self) -> StoreUsage:
        with self._lock:
            return StoreUsage(len(self._held), sum(len(held.data) for held in self._held.values()))

    def scrub(self, after: Address | None, limit: int, end: Address | None = None) -> ScrubResult:
        behind = (address for address in self.addresses() if after is None or address > after)
        page = [address for address in behind if end is None or address <= end][:limit]
        corrupt = []
        for address in page:
            try:
                self.get(address)
            except NotFound:
                continue
            except Corrupt:
                corrupt.append(address)
        return ScrubResult(page[-1] if len(page) == limit else None, len(page), tuple(corrupt))

    def begin_mark(self) -> Mark:
        with self._lock:
            for held in self._held.values():
                held.touched_s = min(held.touched_s, self._env.now_s())
            self._mark = _MemoryMark(self)
            return self._mark

    def damage(self, address: Address, data: bytes) -> None:
        """Replace what is stored under `address`, as a failing memory would."""
        with self._lock:
            self._held[address].data = data

    def sweep(self, mark: _MemoryMark, kept: set[Address], touched_before_s: float) -> StoreUsage:
        """Free a part of what `mark` did not keep; for the mark."""
        with self._lock:
            self.check(mark)
            unmarked = (a for a, held in self._held.items() if a not in kept and held.touched_s < touched_before_s)
            freed = sorted(unmarked)[:SWEEP_CHUNKS]
            return StoreUsage(len(freed), self.remove_many(freed))

    def check(self, mark: _MemoryMark) -> None:
        """Raises Conflict unless `mark` is the latest."""
        if self._mark is not mark:
            raise Conflict("another collection has begun meanwhile")


class _MemoryMark:
    def __init__(self, store: MemoryChunkStore) -> None:
        self._store = store
        self._kept: set[Address] = set()

    def add(self, addresses: Iterable[Address]) -> None:
        self._store.check(self)
        self._kept.update(addresses)

    def sweep(self, touched_before_s: float) -> StoreUsage:
        return self._store.sweep(self, self._kept, touched_before_s)
