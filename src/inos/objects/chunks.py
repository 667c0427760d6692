"""Chunks: up to 1 MiB of content, packed, sealed, and named by what is stored.

    payload = codec (1 byte: 0 plain, 1 LZ4 block, 2 zstd frame) | body
    stored  = seal_convergent(convergence secret, payload)          address = BLAKE3(stored)

One owner's equal content, packed alike, gives equal chunks, stored once. A chunk says nothing without its key, which
the pages of a manifest keep.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import lz4.block
import zstandard

from inos.core.errors import BadInput, Corrupt
from inos.core.ids import Address
from inos.core.options import Compression
from inos.crypto.hashing import Addressed, Readable, address_of
from inos.crypto.sealing import open_convergent, seal_convergent

CHUNK_BYTES: Final = 1 << 20
# Stored bytes beyond the plaintext at most: codec byte, nonce, tag; the rest is room for a later version.
OVERHEAD_LIMIT_BYTES: Final = 64
MAX_STORED_BYTES: Final = CHUNK_BYTES + OVERHEAD_LIMIT_BYTES

PLAIN: Final = 0
LZ4: Final = 1
ZSTD: Final = 2
# Real files on one thread: level 1 packs 0.37 GB/s to a third, LZ4 0.52 to less than a half; higher levels gain little.
ZSTD_LEVEL: Final = 1
_ZSTD_BYTE: Final = bytes((ZSTD,))
_PLAIN_BYTE: Final = bytes((PLAIN,))
_LZ4_BYTE: Final = bytes((LZ4,))
# Reading back compressed data costs as much as reading twice this share more of it plain.
_WORTH_SHARE: Final = 32  # at least 1/32 saved


@dataclass(frozen=True, slots=True)
class SealedChunk:
    """A chunk ready to be stored, made by `seal_chunk` or from what a store gave. `key` opens it and stays with the
    owner; `plain_size` is in bytes."""

    address: Address
    stored: bytes = field(repr=False)
    key: bytes = field(repr=False)
    plain_size: int

    @property
    def piece(self) -> Addressed:
        """What is stored, with its address."""
        return Addressed(self.address, self.stored)


def seal_chunk(plain: Readable, convergence_secret: bytes, compression: Compression = "lz4") -> SealedChunk:
    """Pack and seal 1 to CHUNK_BYTES of content. Deterministic for one secret and compression."""
    if not 0 < len(plain) <= CHUNK_BYTES:
        raise BadInput(f"a chunk has 1 to {CHUNK_BYTES} bytes, got {len(plain)}")
    sealed = seal_convergent(convergence_secret, pack(plain, compression))
    return SealedChunk(address_of(sealed.stored), sealed.stored, sealed.key, len(plain))


def seal_many(
    plains: Iterable[Readable], convergence_secret: bytes, compression: Compression = "lz4"
) -> list[SealedChunk]:
    """Several chunks in one trip to a thread."""
    return [seal_chunk(plain, convergence_secret, compression) for plain in plains]


def open_chunk(stored: Readable, key: bytes, plain_size: int) -> bytes:
    """The content of a chunk. Raises Corrupt unless `key` opens it and exactly `plain_size` bytes come out."""
    return unpack(open_convergent(key, stored), plain_size, limit=CHUNK_BYTES)


def pack(plain: Readable, compression: Compression = "lz4") -> bytes:
    """The payload for `plain`. LZ4 is tried on all of it: on what does not shrink it runs at 19 GB/s (0.05 ms a chunk),
    so guessing from a sample would save nothing and lose files that only begin incompressible."""
    if compression == "none":
        return b"".join((_PLAIN_BYTE, plain))
    if compression == "zstd":
        codec, body = _ZSTD_BYTE, zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(plain)
    else:
        codec, body = _LZ4_BYTE, lz4.block.compress(plain, store_size=False)
    if len(body) <= len(plain) - len(plain) // _WORTH_SHARE - 1:
        return b"".join((codec, body))
    return b"".join((_PLAIN_BYTE, plain))


def unpack(payload: bytes, plain_size: int, *, limit: int) -> bytes:
    """The plaintext of `payload`: exactly `plain_size` bytes, at most `limit`. Raises Corrupt otherwise."""
    if not payload or not 0 <= plain_size <= limit:
        raise Corrupt(f"a payload of {len(payload)} bytes cannot hold {plain_size}")
    codec, body = payload[0], memoryview(payload)[1:]
    if codec == PLAIN:
        plain = bytes(body)
    elif codec == LZ4:
        plain = _decompress(body, plain_size)
    elif codec == ZSTD:
        plain = _decompress_zstd(body, plain_size)
    else:
        raise Corrupt(f"unknown codec {codec}", hint="it may have been written by a newer INOS")
    if len(plain) != plain_size:
        raise Corrupt(f"a payload holds {len(plain)} bytes, not {plain_size}")
    return plain


def _decompress(body: memoryview, plain_size: int) -> bytes:
    try:
        plain: bytes = lz4.block.decompress(body, uncompressed_size=plain_size)
    except (lz4.block.LZ4BlockError, ValueError):
        raise Corrupt("the payload does not decompress") from None
    return plain


def _decompress_zstd(body: memoryview, plain_size: int) -> bytes:
    """One frame that says how much is in it: that must be what was asked for, because room is made by it."""
    try:
        if zstandard.frame_content_size(body) != plain_size:
            raise Corrupt("the payload is not as long as it should be")
        plain: bytes = zstandard.ZstdDecompressor().decompress(body, allow_extra_data=False)
    except (zstandard.ZstdError, ValueError):
        raise Corrupt("the payload does not decompress") from None
    return plain
