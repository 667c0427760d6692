"""BLAKE3 in every use INOS has for it: content addresses, keyed digests, streaming content hashes.

Always single threaded: the work is already spread over the node's threads, and BLAKE3 outruns the disk on one of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from blake3 import blake3

from inos.core.errors import BadInput
from inos.core.ids import Address

Readable = bytes | bytearray | memoryview
"""What can be hashed or sealed without copying it first."""

KEY_BYTES: Final = 32


def blake3_digest(data: Readable) -> bytes:
    """The 32-byte BLAKE3 of `data`."""
    return blake3(data, max_threads=1).digest()


def address_of(data: Readable) -> Address:
    """The address of a chunk whose stored (sealed) bytes are `data`."""
    return Address(blake3_digest(data))


class Addressed(NamedTuple):
    """Bytes whose address this process has just computed from them: a store takes its word and does not hash again.
    Never made of an address that came from elsewhere."""

    address: Address
    data: bytes


def keyed_digest(key: bytes, data: Readable, length: int = 32) -> bytes:
    """`length` bytes of BLAKE3 in keyed mode: a pseudo-random function of `data`, secret while the 32-byte key is."""
    if len(key) != KEY_BYTES:
        raise BadInput(f"a BLAKE3 key has {KEY_BYTES} bytes, got {len(key)}")
    return blake3(data, key=key, max_threads=1).digest(length=length)


class ContentHasher:
    """BLAKE3 of content that arrives piece by piece."""

    __slots__ = ("_hasher",)

    def __init__(self) -> None:
        self._hasher = blake3(max_threads=1)

    def update(self, data: Readable) -> None:
        """Add `data` to what was hashed so far."""
        self._hasher.update(data)

    def digest(self) -> bytes:
        """The 32-byte hash of everything added so far; more may be added after."""
        return self._hasher.digest()
