"""From one phrase to every key: the master secret, and the keyring derived from it.

Each key is HKDF-SHA256 of the master secret under a salt of its own ("inos/<purpose>") and a version, so that no key
says anything about another and one kind can be renewed without touching the rest. Same phrase, same keys, on any
machine; only the node key also depends on a nonce that the data root keeps.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from inos.core.component_keys import COMPONENT_ID, COMPONENT_ID_HINT, MAX_INDEX
from inos.core.errors import BadInput
from inos.crypto.signing import SigningKey

SECRET_BYTES: Final = 32
BIP39_SEED_BYTES: Final = 64
NODE_NONCE_BYTES: Final = 16
_VERSION: Final = b"v1"


class MasterSecret:
    """The 32 bytes everything of one owner is derived from. Never prints them, never pickles."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise BadInput(f"a master secret has {SECRET_BYTES} bytes, got {len(secret)}")
        self._secret = bytes(secret)

    @classmethod
    def from_seed(cls, seed: bytes) -> MasterSecret:
        """The master secret of a 64-byte BIP-39 seed."""
        if len(seed) != BIP39_SEED_BYTES:
            raise BadInput(f"a BIP-39 seed has {BIP39_SEED_BYTES} bytes, got {len(seed)}")
        return cls(_hkdf(seed, b"inos/master", _VERSION))

    def reveal(self) -> bytes:
        """The secret itself, for sealing into a cocoon. Never log, store in the clear or send it."""
        return self._secret

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MasterSecret) and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self._secret)

    def __repr__(self) -> str:
        return "MasterSecret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a MasterSecret is not pickled: it would leave the process")


class Keyring:
    """Every key of one owner, derived when asked for (about 30 us each: keep what is used for every record)."""

    __slots__ = ("_master",)

    def __init__(self, master: MasterSecret) -> None:
        self._master = master

    def owner_key(self) -> SigningKey:
        """Signs for the owner; its public key is the OwnerId."""
        return SigningKey(self._derive(b"owner"))

    def node_key(self, nonce: bytes) -> SigningKey:
        """Signs for one machine; `nonce` is the 16 bytes its data root keeps."""
        if len(nonce) != NODE_NONCE_BYTES:
            raise BadInput(f"a node nonce has {NODE_NONCE_BYTES} bytes, got {len(nonce)}")
        return SigningKey(self._derive(b"node", nonce))

    def convergence_secret(self) -> bytes:
        """32 bytes that make the owner's equal chunks equal when sealed, and nobody else's."""
        return self._derive(b"convergence")

    def catalogue_key(self) -> bytes:
        """32 bytes that seal catalogue entries and blind their names."""
        return self._derive(b"catalogue")

    def database_key(self) -> bytes:
        """32 bytes that encrypt the node's database."""
        return self._derive(b"database")

    def component_secret(self, component: str, kind: str, index: int, size_bytes: int) -> bytes:
        """`size_bytes` (at most 64) that the `index`-th key of a kind of a component is made of. Ids hold no NUL, so no
        two of (component, index) share an info. Raises BadInput."""
        if not COMPONENT_ID.fullmatch(component):
            raise BadInput(f"not the id of a component: {component[:80]!r}", hint=COMPONENT_ID_HINT)
        if not 0 <= index <= MAX_INDEX:
            raise BadInput(f"a derivation index is 0 to {MAX_INDEX}, not {index}")
        info = component.encode() + b"\0" + index.to_bytes(4, "big")
        return self._derive(b"component/" + kind.encode(), info, size_bytes)

    def backup_secret(self) -> bytes:
        """32 bytes from which all keys of the owner's backups follow."""
        return self._derive(b"backup")

    def _derive(self, purpose: bytes, info: bytes = b"", size_bytes: int = SECRET_BYTES) -> bytes:
        return _hkdf(self._master.reveal(), b"inos/" + purpose, _VERSION + info, size_bytes)

    def __repr__(self) -> str:
        return "Keyring(…)"


def _hkdf(secret: bytes, salt: bytes, info: bytes, size_bytes: int = SECRET_BYTES) -> bytes:
    return HKDF(algorithm=SHA256(), length=size_bytes, salt=salt, info=info).derive(secret)
