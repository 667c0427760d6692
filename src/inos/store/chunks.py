"""The chunk store contract: bytes by the BLAKE3 of what is stored.

Calls block; run them through `Env.in_thread`. All are safe from several threads. One suite, `inos.testing.chunks`,
holds for every implementation: memory, disk, and the wrappers that inject faults.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from inos.core.ids import Address


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """What a store holds."""

    chunks: int
    bytes: int


class ChunkReader(Protocol):
    def get(self, address: Address) -> bytes:
        """The stored bytes, checked against the address. NotFound when absent, Corrupt when the check fails (the
        chunk is then no longer counted as present, so that it will be healed)."""

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]:
        """Which of these are held, by the index."""


class ChunkWriter(Protocol):
    def put_many(self, chunks: Sequence[tuple[Address, bytes]]) -> None:
        """Store each chunk; on disk and synced when this returns, all or none acknowledged. Present ones are touched,
        not rewritten. Raises BadInput when bytes do not match their address, StorageFull when there is no room."""


class ChunkRemover(Protocol):
    def remove_many(self, addresses: Sequence[Address]) -> int:
        """Forget these; absent ones are fine. Returns the bytes freed."""


class ChunkLister(Protocol):
    def addresses(self) -> Iterator[Address]:
        """Every address held, in ascending order, read in bounded pages."""

    def usage(self) -> StoreUsage: ...


class ChunkStore(ChunkReader, ChunkWriter, ChunkRemover, ChunkLister, Protocol):
    """All of it."""
