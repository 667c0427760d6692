"""From plaintext batches to pieces ready to store: seal, add parity, hash. Blocking, pure work for threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inos.core.env import Env
from inos.core.ids import Address
from inos.core.options import Compression
from inos.crypto.digest import Sha256
from inos.crypto.hashing import Addressed, address_of
from inos.objects.chunks import CHUNK_BYTES, SealedChunk, seal_many
from inos.objects.erasure import encode_parity
from inos.objects.layout import Scheme

# Bytes of plaintext in one batch: enough to make a synced write worthwhile, few enough that the batches in flight
# (read, sealed, stored) stay well below 100 MiB together.
BATCH_CHUNKS: Final = 8

Piece = tuple[Address, bytes]


@dataclass(frozen=True, slots=True)
class SealedStripe:
    """One stripe (or, for copies, one chunk): its data chunks, and parity shards with their bytes."""

    data: tuple[SealedChunk, ...]
    parity: tuple[Piece, ...]

    @property
    def pieces(self) -> list[Piece]:
        return [chunk.piece for chunk in self.data] + list(self.parity)


def batch_chunks(scheme: Scheme) -> int:
    """Chunks to read at a time: whole stripes."""
    return max(1, BATCH_CHUNKS // scheme.data_shards) * scheme.data_shards


class Sealer:
    """Seals the batches of one object, and hashes its content along the way."""

    def __init__(
        self,
        secret: bytes,
        scheme: Scheme,
        env: Env,
        chunk_bytes: int = CHUNK_BYTES,
        compression: Compression = "lz4",
    ) -> None:
        self.chunk_bytes = chunk_bytes
        self._secret = secret
        self._compression: Compression = compression
        self.scheme = scheme
        self._env = env
        self.sha256 = Sha256()

    async def hash(self, plain: bytes) -> None:
        """Add the next batch to the content's hash. One at a time, in order."""
        await self._env.in_thread(self.sha256.update, plain)

    async def seal(self, plain: bytes) -> list[SealedChunk]:
        """The chunks of one batch; several batches may be sealed at a time."""
        view, step = memoryview(plain), self.chunk_bytes
        blocks = [view[start : start + step] for start in range(0, len(plain), step)]
        return await self._env.in_thread(seal_many, blocks, self._secret, self._compression)

    async def stripes(self, chunks: Sequence[SealedChunk]) -> list[SealedStripe]:
        """Group sealed chunks into stripes and compute their parity."""
        width = self.scheme.data_shards
        groups = [tuple(chunks[start : start + width]) for start in range(0, len(chunks), width)]
        if self.scheme.is_copies:
            return [SealedStripe(group, ()) for group in groups]
        return await self._env.in_thread(_with_parity, groups, self.scheme.parity_shards)


def _with_parity(groups: Sequence[tuple[SealedChunk, ...]], parity: int) -> list[SealedStripe]:
    stripes = []
    for group in groups:
        shards = encode_parity([chunk.stored for chunk in group], parity)
        stripes.append(SealedStripe(group, tuple(Addressed(address_of(shard), shard) for shard in shards)))
    return stripes
