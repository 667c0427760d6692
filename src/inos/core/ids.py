"""Identity value types: what names a chunk, an object, a node, an owner and a mesh.

All are immutable, hashable, ordered and print as what a user would paste. None is a bare `str` or `bytes` in a
signature, so a chunk address can never be passed where a peer is meant.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Final, Self

from inos.core.errors import BadInput, BadReference

DIGEST_BYTES: Final = 32
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# CIDv1, raw codec, BLAKE3 multihash of 32 bytes (multiformats table): 0x01 0x55 0x1e 0x20
_CID_PREFIX: Final = bytes((0x01, 0x55, 0x1E, 0x20))
# Identity multihash of the libp2p protobuf of an Ed25519 public key (libp2p peer-id spec).
_PEER_PREFIX: Final = bytes((0x00, 0x24, 0x08, 0x01, 0x12, 0x20))


class _Digest(bytes):
    """Thirty-two bytes with a meaning."""

    __slots__ = ()

    def __new__(cls, value: bytes) -> Self:
        if len(value) != DIGEST_BYTES:
            raise BadInput(f"{cls.__name__} must be {DIGEST_BYTES} bytes, got {len(value)}")
        return super().__new__(cls, value)

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()[:12]}…)"


class Address(_Digest):
    """BLAKE3 of a chunk's stored (sealed) bytes; the name of its file and the check of its content."""


class ContentDigest(_Digest):
    """SHA-256 of a whole plaintext: the name by which the rest of the world knows a file."""


class OwnerId(_Digest):
    """An owner's Ed25519 public key: one phrase, one owner."""


class MeshId(_Digest):
    """BLAKE3 of a mesh's genesis record."""


class Cid(_Digest):
    """An object's name: the address of its manifest, written as a CIDv1 (base32, raw, BLAKE3)."""

    @property
    def address(self) -> Address:
        return Address(self)

    def __str__(self) -> str:
        return "b" + base64.b32encode(_CID_PREFIX + self).decode().rstrip("=").lower()

    @classmethod
    def parse(cls, text: str) -> Cid:
        hint = "a cid starts with 'bafkr4i' and has 59 characters; copy it whole from 'inos put' or 'inos ls'"
        if len(text) != 59 or text[0] != "b" or text != text.lower():
            raise BadReference(f"not a cid: {text[:80]!r}", hint=hint)
        try:
            raw = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
        except ValueError:  # not base32, or not even ASCII
            raise BadReference(f"not a cid: {text[:80]!r}", hint=hint) from None
        if len(raw) != 36 or raw[:4] != _CID_PREFIX:
            raise BadReference(f"not a BLAKE3 cid: {text[:80]!r}", hint=hint)
        cid = cls(raw[4:])
        if str(cid) != text:  # stray bits in the last base32 character: two spellings of one cid are refused
            raise BadReference(f"not a cid: {text[:80]!r}", hint=hint)
        return cid


class PeerId(str):
    """A node's libp2p peer id (base58 of the identity multihash of its Ed25519 public key): `12D3KooW…`."""

    __slots__ = ()

    @classmethod
    def from_public_key(cls, public_key: bytes) -> PeerId:
        """The peer id of a raw 32-byte Ed25519 public key."""
        return _peer_id(bytes(public_key))

    @classmethod
    def parse(cls, text: str) -> PeerId:
        peer = cls(text)
        peer.public_key()
        return peer

    def public_key(self) -> bytes:
        """The raw 32-byte Ed25519 public key inside the id."""
        return _public_key(self)

    def short(self) -> str:
        """The last characters: enough for a person to tell nodes apart."""
        return self[-8:]


@lru_cache(maxsize=4096)  # base58 costs 20 us, and placements name the same members for every piece
def _peer_id(public_key: bytes) -> PeerId:
    if len(public_key) != DIGEST_BYTES:
        raise BadInput(f"an Ed25519 public key has {DIGEST_BYTES} bytes, got {len(public_key)}")
    return PeerId(_base58_encode(_PEER_PREFIX + public_key))


@lru_cache(maxsize=4096)  # base58 costs 20 us, and every heartbeat asks
def _public_key(peer: str) -> bytes:
    raw = _base58_decode(peer)
    if len(raw) != 38 or raw[:6] != _PEER_PREFIX:
        raise BadInput(f"not an Ed25519 peer id: {peer[:80]!r}", hint="peer ids start with '12D3KooW'")
    return raw[6:]


def _base58_encode(data: bytes) -> str:
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + text


def _base58_decode(text: str) -> bytes:
    if len(text) > 128:
        raise BadInput(f"not a peer id: {text[:80]!r}", hint="peer ids start with '12D3KooW'")
    number = 0
    for letter in text:
        digit = _BASE58.find(letter)
        if digit < 0:
            raise BadInput(f"not a peer id: {text[:80]!r}", hint="peer ids start with '12D3KooW'")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
