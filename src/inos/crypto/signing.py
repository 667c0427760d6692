"""Ed25519 signatures, each bound to a context so that one made for a record is worthless as a certificate.

What is signed is `context + NUL + payload`; a context holds no NUL, so no two (context, payload) pairs coincide.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from inos.core.errors import BadInput
from inos.core.pure import pure

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
# Keys of the largest mesh (700 nodes) and its owners, several times over; about 200 bytes an entry.
_PARSED_KEYS: Final = 4096


class SigningKey:
    """An Ed25519 key pair made from 32 secret bytes. Never prints them, never pickles."""

    __slots__ = ("_private", "_public", "_seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise BadInput(f"a signing seed has {SEED_BYTES} bytes, got {len(seed)}")
        self._seed = bytes(seed)
        self._private = Ed25519PrivateKey.from_private_bytes(self._seed)
        self._public = self._private.public_key().public_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """The raw 32-byte public key."""
        return self._public

    def sign(self, context: bytes, payload: bytes) -> bytes:
        """The 64-byte signature of `payload` as a `context` ("inos record v1")."""
        return self._private.sign(_message(context, payload))

    def reveal_seed(self) -> bytes:
        """The secret itself, for libp2p, which builds its own key object from it. Never log, store or send it."""
        return self._seed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and hmac.compare_digest(self._seed, other._seed)

    def __hash__(self) -> int:
        return hash(self._public)

    def __repr__(self) -> str:
        return f"SigningKey(public={self._public.hex()[:12]}…)"

    def __reduce__(self) -> str:
        raise TypeError("a SigningKey is not pickled: its secret would leave the process")


@pure
def verify(public_key: bytes, context: bytes, payload: bytes, signature: bytes) -> bool:
    """Whether `signature` was made by the holder of `public_key` for exactly this context and payload. A malformed key
    or signature is simply not valid."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        _parsed(bytes(public_key)).verify(signature, _message(context, payload))
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=_PARSED_KEYS)
def _parsed(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)


def _message(context: bytes, payload: bytes) -> bytes:
    if b"\0" in context:
        raise BadInput("a signing context holds no NUL byte")
    return context + b"\0" + payload
