"""Sealing: authenticated encryption of chunks, manifests, catalogue entries and secrets.

Sealed bytes are `nonce (12) | ChaCha20-Poly1305 ciphertext | tag (16)`.

Convergent sealing takes key and nonce from one keyed BLAKE3 of exactly what is being sealed. So the owner's equal
chunks come out equal (stored once), one key never seals two texts, and without the convergence secret nobody can test
whether a known file is held.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from inos.core.errors import BadInput, Corrupt
from inos.crypto.hashing import Readable

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = NONCE_BYTES + TAG_BYTES
_CONVERGENT: Final = b"inos convergent seal v1"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A text sealed by its own key: what to keep secret, and what to store."""

    key: bytes = field(repr=False)
    stored: bytes = field(repr=False)


def seal(key: bytes, plaintext: Readable, aad: bytes = b"", *, nonce: bytes) -> bytes:
    """`plaintext` sealed under a 32-byte key. The caller answers for never using a (key, nonce) pair twice. `aad` is
    not sealed in but must be the same to open."""
    if len(nonce) != NONCE_BYTES:
        raise BadInput(f"a nonce has {NONCE_BYTES} bytes, got {len(nonce)}")
    return nonce + _cipher(key).encrypt(nonce, plaintext, aad)


def open_sealed(key: bytes, sealed: Readable, aad: bytes = b"") -> bytes:
    """What `seal` was given. Raises Corrupt when a bit of it, of the key or of `aad` differs."""
    if len(sealed) < OVERHEAD_BYTES:
        raise Corrupt(f"sealed data has at least {OVERHEAD_BYTES} bytes, this has {len(sealed)}")
    view = memoryview(sealed)
    try:
        return _cipher(key).decrypt(view[:NONCE_BYTES], view[NONCE_BYTES:], aad)
    except InvalidTag:
        raise Corrupt("sealed data does not open: it is damaged, or the key is not its key") from None


def seal_convergent(secret: bytes, payload: Readable, aad: bytes = b"") -> Sealed:
    """`payload` sealed under a key of its own, the same each time for one 32-byte convergence secret."""
    if len(secret) != KEY_BYTES:
        raise BadInput(f"a convergence secret has {KEY_BYTES} bytes, got {len(secret)}")
    # The label stands behind the payload, which keeps BLAKE3 on aligned input; lengths make the whole unambiguous.
    label = aad + len(aad).to_bytes(8, "little") + _CONVERGENT
    material = blake3(payload, key=secret, max_threads=1).update(label).digest(length=KEY_BYTES + NONCE_BYTES)
    key, nonce = material[:KEY_BYTES], material[KEY_BYTES:]
    return Sealed(key, seal(key, payload, aad, nonce=nonce))


def open_convergent(key: bytes, stored: Readable, aad: bytes = b"") -> bytes:
    """What `seal_convergent` was given, from the key it returned. Raises Corrupt like `open_sealed`."""
    return open_sealed(key, stored, aad)


def _cipher(key: bytes) -> ChaCha20Poly1305:
    if len(key) != KEY_BYTES:
        raise BadInput(f"a sealing key has {KEY_BYTES} bytes, got {len(key)}")
    return ChaCha20Poly1305(key)
