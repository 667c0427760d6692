"""How an object is cut: its scheme, its stripes, and the pieces that members hold. Plain values and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.core.errors import BadInput
from inos.core.ids import Address
from inos.objects.chunks import CHUNK_BYTES, MAX_STORED_BYTES
from inos.objects.erasure import MAX_SHARDS

# At most 64 KiB travel inside the manifest: one fetch, no chunks.
INLINE_BYTES: Final = 64 * 1024
# Manifest and pages are chunks like others: one fits a frame's body and a store with room to spare.
MAX_MANIFEST_BYTES: Final = CHUNK_BYTES
# 4 GiB of content to a page of some 300 KB: up to that an object is read after one fetch, and none waits for much more.
PAGE_CHUNKS: Final = 4096
# Half a MiB of page addresses in the root; 64 TiB in pages of 4096 chunks.
MAX_PAGES: Final = 16384
# What framing, sealing and the fields beside the lists may take in a page or root (the name alone up to 1024).
_PAGE_ROOM_BYTES: Final = 8192
_BYTES_PER_CHUNK: Final = 72  # address, stored size, key, plain size
_BYTES_PER_PARITY: Final = 32


@dataclass(frozen=True, slots=True)
class Scheme:
    """How redundancy is made: `data_shards` 1 means copies, more means Reed-Solomon stripes with `parity_shards`."""

    data_shards: int
    parity_shards: int

    def __post_init__(self) -> None:
        total = self.data_shards + self.parity_shards
        if self.data_shards < 1 or self.parity_shards < 0 or total > MAX_SHARDS:
            raise BadInput(f"no such scheme: {self}")
        if self.data_shards > 1 and not self.parity_shards:
            raise BadInput(f"a scheme of {self.data_shards} data shards needs parity")

    def __str__(self) -> str:
        return "copies" if self.is_copies else f"{self.data_shards}+{self.parity_shards}"

    @property
    def is_copies(self) -> bool:
        return self.data_shards == 1

    @property
    def stripe_parity(self) -> int:
        """Parity shards in each stripe; none for copies."""
        return 0 if self.is_copies else self.parity_shards

    def stripes(self, chunks: int) -> int:
        """How many stripes hold `chunks` data chunks; the last may be shorter."""
        return -(-chunks // self.data_shards)

    def page_chunks(self) -> int:
        """Data chunks to a page: whole stripes, at most PAGE_CHUNKS, and no more than fit MAX_MANIFEST_BYTES."""
        stripe_bytes = _BYTES_PER_CHUNK * self.data_shards + _BYTES_PER_PARITY * self.stripe_parity + 4
        room = (MAX_MANIFEST_BYTES - _PAGE_ROOM_BYTES) // stripe_bytes
        return min(PAGE_CHUNKS // self.data_shards, room) * self.data_shards


# How many copies there are is the placement's business, so a change of it leaves the cid alone.
COPIES: Final = Scheme(1, 0)


@dataclass(frozen=True, slots=True)
class Stripe:
    """Chunks that stand or fall together. With copies each chunk is a stripe of its own, without parity. `sizes` and
    `parity_size` are stored bytes. One address may occur twice: equal content has equal chunks."""

    index: int
    first_chunk: int
    addresses: tuple[Address, ...]
    sizes: tuple[int, ...]
    parity: tuple[Address, ...]
    parity_size: int

    def shards(self) -> tuple[Address, ...]:
        """All addresses in shard order: data, then parity."""
        return self.addresses + self.parity

    def size_of(self, shard: int) -> int:
        """Stored bytes of one shard."""
        return self.sizes[shard] if shard < len(self.sizes) else self.parity_size


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing a member may be assigned: shard `shard` of stripe `stripe`, `size` stored bytes."""

    address: Address
    size: int
    stripe: int
    shard: int


def check_stored_size(size: int) -> int:
    """`size` when a stored chunk or parity shard can have it, else BadInput."""
    if not 0 < size <= MAX_STORED_BYTES:
        raise BadInput(f"a stored chunk has 1 to {MAX_STORED_BYTES} bytes, not {size}")
    return size
