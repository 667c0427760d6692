"""Keys of components: derived from the master secret, signing and verifying, one shape for three kinds.

    ed25519    RFC 8032; the secret is its seed
    ml_dsa     ML-DSA-65 (FIPS 204), post-quantum; the secret is its seed (xi), signatures are hedged
    secp256k1  ECDSA with SHA-256, deterministic (RFC 6979), r | s with the lower s; for wallets

What is signed is "inos message v1" | 00 | SHA-512 of the message: a message may have any size, and a signature under a
key of a component is worth nothing as anything else that INOS signs. Only the lower s is valid, so that nobody can make
a second signature of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from inos.core.component_keys import DIGEST_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KeyKind, KeyName
from inos.core.errors import BadInput
from inos.crypto.derive import Keyring
from inos.crypto.hashing import blake3_digest

_CONTEXT: Final = b"inos message v1\0"
_KEY_ID: Final = b"inos key id v1\0"
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_SCALAR_BYTES: Final = 32
# 128 bits more than the order has, so that the remainder favours no scalar (FIPS 186-5, A.2.1).
_WIDE_BYTES: Final = 48
_ECDSA: Final = ec.ECDSA(SHA256(), deterministic_signing=True)


class _Pair(Protocol):
    @property
    def public_key(self) -> bytes: ...

    def sign(self, payload: bytes) -> bytes: ...


class ComponentKey:
    """One key pair of a component. Never prints its secret, never pickles."""

    __slots__ = ("_pair", "name")

    def __init__(self, keyring: Keyring, name: KeyName) -> None:
        size = _WIDE_BYTES if name.kind == "secp256k1" else _SCALAR_BYTES
        self.name: Final = name
        self._pair = _PAIRS[name.kind](keyring.component_secret(name.component, name.kind, name.index, size))

    @property
    def public_key(self) -> bytes:
        """PUBLIC_KEY_BYTES of its kind."""
        return self._pair.public_key

    @property
    def key_id(self) -> bytes:
        """What the key is known by."""
        return key_id(self.name.kind, self.public_key)

    def sign(self, digest: bytes) -> bytes:
        """The signature (SIGNATURE_BYTES of its kind) of a message by its SHA-512."""
        return self._pair.sign(_payload(digest))

    def __repr__(self) -> str:
        return f"ComponentKey({self.name.component!r}, {self.name.kind}, {self.name.index})"

    def __reduce__(self) -> str:
        raise TypeError("a ComponentKey is not pickled: its secret would leave the process")


def key_id(kind: KeyKind, public_key: bytes) -> bytes:
    """Thirty-two bytes that name a public key of a kind."""
    return blake3_digest(_KEY_ID + kind.encode() + b"\0" + public_key)


def kind_of(public_key: bytes) -> KeyKind:
    """The kind of key that has as many bytes as this one. Raises BadInput."""
    for kind, size in PUBLIC_KEY_BYTES.items():
        if len(public_key) == size:
            return kind
    sizes = ", ".join(f"{size} ({kind})" for kind, size in PUBLIC_KEY_BYTES.items())
    raise BadInput(f"no kind of public key has {len(public_key)} bytes", hint=f"they have {sizes}")


def verify(kind: KeyKind, public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` was made by the holder of `public_key` for the message of this SHA-512. Malformed ones are
    not valid."""
    if len(public_key) != PUBLIC_KEY_BYTES[kind] or len(signature) != SIGNATURE_BYTES[kind]:
        return False
    try:
        _VERIFIERS[kind](public_key, signature, _payload(digest))
    except (InvalidSignature, ValueError):
        return False
    return True


def _payload(digest: bytes) -> bytes:
    if len(digest) != DIGEST_BYTES:
        raise BadInput(f"a message's digest has {DIGEST_BYTES} bytes, got {len(digest)}")
    return _CONTEXT + digest


class _Ed25519:
    def __init__(self, secret: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(secret)
        self.public_key = self._private.public_key().public_bytes_raw()

    def sign(self, payload: bytes) -> bytes:
        return self._private.sign(payload)


class _MlDsa:
    def __init__(self, secret: bytes) -> None:
        self._private = MLDSA65PrivateKey.from_seed_bytes(secret)
        self.public_key = self._private.public_key().public_bytes_raw()

    def sign(self, payload: bytes) -> bytes:
        return self._private.sign(payload)


class _Secp256k1:
    def __init__(self, secret: bytes) -> None:
        scalar = int.from_bytes(secret, "big") % (_ORDER - 1) + 1
        self._private = ec.derive_private_key(scalar, ec.SECP256K1())
        self.public_key = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, payload: bytes) -> bytes:
        r, s = decode_dss_signature(self._private.sign(payload, _ECDSA))
        s = min(s, _ORDER - s)
        return r.to_bytes(_SCALAR_BYTES, "big") + s.to_bytes(_SCALAR_BYTES, "big")


def _verify_ed25519(public_key: bytes, signature: bytes, payload: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(public_key).verify(signature, payload)


def _verify_ml_dsa(public_key: bytes, signature: bytes, payload: bytes) -> None:
    MLDSA65PublicKey.from_public_bytes(public_key).verify(signature, payload)


def _verify_secp256k1(public_key: bytes, signature: bytes, payload: bytes) -> None:
    r, s = (int.from_bytes(signature[at : at + _SCALAR_BYTES], "big") for at in (0, _SCALAR_BYTES))
    if s > _ORDER // 2:
        raise InvalidSignature
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key)
    key.verify(encode_dss_signature(r, s), payload, ec.ECDSA(SHA256()))


_PAIRS: Final[dict[KeyKind, Callable[[bytes], _Pair]]] = {
    "ed25519": _Ed25519,
    "ml_dsa": _MlDsa,
    "secp256k1": _Secp256k1,
}
_VERIFIERS: Final = {"ed25519": _verify_ed25519, "ml_dsa": _verify_ml_dsa, "secp256k1": _verify_secp256k1}
