"""The chunk store contract: bytes by the BLAKE3 of what is stored.

Calls block; run them through `Env.in_thread`. All are safe from several threads. One suite, `inos.testing.chunks`,
holds for every implementation: memory, disk, and the wrappers that inject faults.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from inos.core.errors import BadInput, TooLarge
from inos.core.ids import Address
from inos.crypto.hashing import Addressed, address_of

# 1 MiB of plaintext and its sealing; the same room a frame's body has, so that what is stored can be sent.
MAX_CHUNK_BYTES: Final = (1 << 20) + 4096
# Chunks a call of Mark.sweep frees: a fraction of a second on any disk, so that others get their turn between.
SWEEP_CHUNKS: Final = 1024


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """What a store holds."""

    chunks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ScrubResult:
    """One page of a scrub. `next` is where to go on, None when the end was reached; `corrupt` are forgotten already."""

    next: Address | None
    checked: int
    corrupt: tuple[Address, ...]


def checked(chunks: Sequence[tuple[Address, bytes]]) -> dict[Address, bytes]:
    """The chunks, each once and proven to be what its address says. Raises BadInput or TooLarge."""
    batch = dict(chunks)
    for chunk in chunks:
        address, data = chunk
        if len(data) > MAX_CHUNK_BYTES:
            raise TooLarge(f"a chunk of {len(data)} bytes is over the limit of {MAX_CHUNK_BYTES}")
        if not isinstance(chunk, Addressed) and address_of(data) != address:
            raise BadInput(f"the bytes given for chunk {address.hex()[:12]} are not that chunk")
    return batch


class ChunkReader(Protocol):
    def get(self, address: Address) -> bytes:
        """The stored bytes, checked against the address. NotFound when absent, Corrupt when the check fails (the
        chunk is then no longer counted as present, so that it will be healed)."""

    def unchecked(self, address: Address) -> bytes | None:
        """What is stored under the address, as it is, for a caller that opens it by its seal and asks `get` where that
        fails; None where `get` is to be asked at once."""

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]:
        """Which of these are held, by the index."""


class ChunkWriter(Protocol):
    def put_many(self, chunks: Sequence[tuple[Address, bytes]]) -> None:
        """Store each chunk; on disk and synced when this returns, all or none acknowledged. Present ones are touched,
        not rewritten. Raises BadInput when bytes do not match their address, TooLarge beyond MAX_CHUNK_BYTES,
        StorageFull when there is no room."""

    def touch(self, addresses: Sequence[Address]) -> frozenset[Address]:
        """Note these as used now; the ones held. What this returned is kept by every sweep of what was touched before
        now, also one under way: touch chunks before relying on them being present."""


class ChunkRemover(Protocol):
    def remove_many(self, addresses: Sequence[Address]) -> int:
        """Forget these; absent ones are fine. Returns the bytes freed."""


class Mark(Protocol):
    """One collection under way: what is referenced is added, then the rest may be freed."""

    def add(self, addresses: Iterable[Address]) -> None:
        """Keep these. Conflict when a later mark has begun."""

    def sweep(self, touched_before_s: float) -> StoreUsage:
        """Free up to SWEEP_CHUNKS chunks that were not added and not stored or touched since `touched_before_s` (wall
        clock); what was freed. Call again until that is nothing. Conflict when a later mark has begun."""


class ChunkCollector(Protocol):
    def begin_mark(self) -> Mark:
        """Begin a collection; the one before, if any, can go on no more. Chunks touched later than now, by a clock that
        was ahead, count as touched now: else they would stay until it is that late."""


class ChunkScrubber(Protocol):
    def scrub(self, after: Address | None, limit: int, end: Address | None = None) -> ScrubResult:
        """Read and check the next `limit` chunks in address order, from the first one when `after` is None; none behind
        `end`, where that is given."""


class ChunkLister(Protocol):
    def addresses(self) -> Iterator[Address]:
        """Every address held, in ascending order, read in bounded pages."""

    def usage(self) -> StoreUsage: ...


class ChunkStore(ChunkReader, ChunkWriter, ChunkRemover, ChunkCollector, ChunkScrubber, ChunkLister, Protocol):
    """All of it."""
