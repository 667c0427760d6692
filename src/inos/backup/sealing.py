"""The files of a backup: how they are sealed and named, whatever is in them.

    magic (8) | version (2) | salt (32) | body          name = BLAKE3 of all of it, in hex

Each file has a key of its own, from the backup secret, its salt and its magic; so numbering pieces from 0 never seals
two texts under one key and nonce.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from inos.core.errors import Corrupt, NewerFormat
from inos.crypto.hashing import KEY_BYTES, Readable, blake3_digest, keyed_digest
from inos.crypto.sealing import NONCE_BYTES, OVERHEAD_BYTES, open_sealed, seal

VERSION: Final = 1
SALT_BYTES: Final = 32
_VERSION_AT: Final = 8
_SALT_AT: Final = 10
HEAD_BYTES: Final = _SALT_AT + SALT_BYTES
_KEY_LABEL: Final = b"inos backup file v1"
_ID_LABEL: Final = b"inos backup piece v1"
ID_BYTES: Final = 32


class Kind(Enum):
    """What a file is; the value is its magic."""

    HEADER = b"INOSBACK"
    PACK = b"INOSPACK"
    INDEX = b"INOSINDX"
    SNAPSHOT = b"INOSSNAP"


def head(kind: Kind, salt: bytes) -> bytes:
    """What a file of this kind begins with."""
    return kind.value + VERSION.to_bytes(2, "little") + salt


def file_name(data: Readable) -> str:
    """The name of a file with these bytes."""
    return blake3_digest(data).hex()


def check_head(kind: Kind, data: Readable, where: str) -> bytes:
    """The salt of a file. Raises Corrupt for what is no such file, NewerFormat for a later version."""
    if len(data) < HEAD_BYTES or bytes(data[:_VERSION_AT]) != kind.value:
        raise Corrupt(f"{where} is damaged: it does not begin as it should", hint="see: inos backup check")
    version = int.from_bytes(data[_VERSION_AT:_SALT_AT], "little")
    if version > VERSION:
        raise NewerFormat(
            f"{where} has format {version}, this release knows up to {VERSION}",
            hint="install the release that wrote it, or a newer one; nothing was changed",
        )
    if version != VERSION:
        raise Corrupt(f"{where} is damaged: version {version}", hint="see: inos backup check")
    return bytes(data[_SALT_AT:HEAD_BYTES])


class BackupKeys:
    """All keys of one owner's backups, from their 32-byte backup secret. Never prints it."""

    __slots__ = ("_piece_key", "_secret")

    def __init__(self, secret: bytes) -> None:
        self._secret = bytes(secret)
        self._piece_key = keyed_digest(self._secret, _ID_LABEL)

    def file_key(self, kind: Kind, salt: bytes) -> bytes:
        """The key of one file."""
        return keyed_digest(self._secret, salt + kind.value + _KEY_LABEL, KEY_BYTES)

    def piece_id(self, data: Readable) -> bytes:
        """The id of a block or a list with these bytes; says nothing of them to whoever has no key."""
        return keyed_digest(self._piece_key, data, ID_BYTES)

    def seal_file(self, kind: Kind, salt: bytes, text: bytes) -> bytes:
        """A whole file around one text. `salt`: 32 bytes never used before."""
        return head(kind, salt) + seal(self.file_key(kind, salt), text, nonce=bytes(NONCE_BYTES))

    def open_file(self, kind: Kind, data: bytes, where: str) -> bytes:
        """The text of such a file. Raises Corrupt or NewerFormat; `where` names it."""
        salt = check_head(kind, data, where)
        try:
            return open_sealed(self.file_key(kind, salt), memoryview(data)[HEAD_BYTES:])
        except Corrupt:
            hint = "another phrase made this backup, or the file was changed"
            raise Corrupt(f"{where} does not open: it is damaged, or the key is not its key", hint=hint) from None

    def __repr__(self) -> str:
        return "BackupKeys(…)"


def piece_nonce(number: int) -> bytes:
    """The nonce of piece `number` of a pack."""
    return number.to_bytes(NONCE_BYTES, "little")


def sealed_size(size: int) -> int:
    """Bytes that a text of `size` has when sealed."""
    return size + OVERHEAD_BYTES
