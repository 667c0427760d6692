"""Whether a page of an encrypted database is one that was written under its key, told without SQLite.

The cipher is SQLite3 Multiple Ciphers' `chacha20`, with a raw key:

    page = ciphertext | nonce (12) | counter (4, little-endian) | tag (16)
    the tag's key = the first 32 bytes of ChaCha20(key, nonce, counter XOR page number)
    tag = Poly1305 of all that is in front of it
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.poly1305 import Poly1305

_NONCE_BYTES: Final = 12
_COUNTER: Final = struct.Struct("<I")
_TAG_BYTES: Final = 16
_TAIL_BYTES: Final = _NONCE_BYTES + _COUNTER.size + _TAG_BYTES
_MAX_NUMBER: Final = 0xFFFFFFFF


def is_page(key: bytes, number: int, page: bytes) -> bool:
    """Whether `page` (all its bytes) was written under `key` (32 bytes) as the page with this `number`."""
    if len(page) <= _TAIL_BYTES or not 0 < number <= _MAX_NUMBER:
        return False
    nonce, text, tag = page[-_TAIL_BYTES : -_TAIL_BYTES + _NONCE_BYTES], page[:-_TAG_BYTES], page[-_TAG_BYTES:]
    (counter,) = _COUNTER.unpack_from(text, len(text) - _COUNTER.size)
    cipher = Cipher(ChaCha20(key, _COUNTER.pack(counter ^ number) + nonce), mode=None)
    try:
        Poly1305.verify_tag(cipher.encryptor().update(bytes(32)), text, tag)
    except InvalidSignature:
        return False
    return True
