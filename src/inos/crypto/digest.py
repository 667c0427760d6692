"""The digest of a message that is to be signed or verified: SHA-512, of any size, in blocks. Loads nothing heavy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def message_digest(blocks: Iterable[bytes]) -> bytes:
    """The SHA-512 (64 bytes) of a message that comes in blocks."""
    state = hashlib.sha512()
    for block in blocks:
        state.update(block)
    return state.digest()
