"""Digests that the rest of the world uses: SHA-512 of a message that is to be signed or verified, SHA-256 by which
people know their files. Loads nothing heavy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import BinaryIO, Final

_BLOCK_BYTES: Final = 1 << 20


def message_digest(blocks: Iterable[bytes]) -> bytes:
    """The SHA-512 (64 bytes) of a message that comes in blocks."""
    state = hashlib.sha512()
    for block in blocks:
        state.update(block)
    return state.digest()


def sha256_digest(data: bytes) -> bytes:
    """The SHA-256 (32 bytes) of `data`."""
    return hashlib.sha256(data).digest()


def sha256_of_file(file: BinaryIO) -> bytes:
    """The SHA-256 of what is left to read of `file`. Raises OSError."""
    state = Sha256()
    while block := file.read(_BLOCK_BYTES):
        state.update(block)
    return state.digest()


class Sha256:
    """SHA-256 of content that arrives piece by piece."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        """Add `data` to what was hashed so far."""
        self._state.update(data)

    def digest(self) -> bytes:
        """The 32 bytes for everything added so far; more may be added after."""
        return self._state.digest()
