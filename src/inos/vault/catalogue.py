"""The owner's catalogue: names and what they stand for, as sealed records that only the owner's nodes can read.

Key = owner id (32 bytes) + keyed hash of the name (32 bytes): all names of one owner share a sector, and replicas see
neither names nor references. Value = SealedEntry: nonce and ciphertext of a CatalogueEntry under the catalogue key,
bound to the record's key. A removed name is a tombstone. Rows ID1 and TR3: the phrase alone finds and opens it again.
The SHA-256 of a content is in the entry and nowhere else; an index of this node keeps it keyed (decision 0010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from inos.core.codec import encode, reading
from inos.core.errors import BadInput, Refused
from inos.core.ids import Cid, OwnerId
from inos.crypto.hashing import keyed_digest
from inos.crypto.sealing import open_sealed, seal
from inos.objects.reference import Reference
from inos.state.record import Record
from inos.state.tables import Scope, TableSpec

TABLE: Final = "catalogue"
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 64
_OWNER_BYTES: Final = 32
# A name of 1,024 bytes, a link target of 4,096, a reference, and framing.
MAX_ENTRY_BYTES: Final = 8 * 1024
_ENTRY_VERSION: Final = 2  # 1 has no sha256; a release that knows only 1 reads 2 and leaves it out
_ENTRY: Final = "objects/object.capnp:CatalogueEntry"
_SEALED: Final = "objects/object.capnp:SealedEntry"


class Kind(StrEnum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name. `reference` is set for files, `target` for links; `modified_ms` is milliseconds since 1970. `sha256` is
    that of a file's content, empty where it is not known: entries of version 1, and entries read from the index."""

    name: str
    kind: Kind
    reference: str = ""
    size: int = 0
    mode: int = 0
    modified_ms: int = 0
    target: str = ""
    sha256: bytes = field(default=b"", repr=False)


class CatalogueCipher:
    """Turns entries into record keys and values and back. Holds the owner's catalogue key."""

    def __init__(self, owner: OwnerId, catalogue_key: bytes) -> None:
        self.owner = owner
        self._key = catalogue_key

    @property
    def prefix(self) -> bytes:
        """What the keys of all of this owner's records start with."""
        return bytes(self.owner)

    def key_of(self, name: str) -> bytes:
        return self.prefix + keyed_digest(self._key, b"inos name v1\0" + name.encode())

    def content_key(self, sha256: bytes) -> bytes:
        """What an index keeps instead of a content's SHA-256: without the owner's key nobody can test for a file."""
        return keyed_digest(self._key, b"inos content v1\0" + sha256)

    def seal(self, entry: Entry, nonce: bytes) -> bytes:
        """The value that stores `entry`; `nonce` is 12 fresh random bytes."""
        plain = encode(
            _ENTRY,
            version=_ENTRY_VERSION,
            name=entry.name,
            kind=entry.kind.value,
            reference=entry.reference,
            size=entry.size,
            mode=entry.mode & 0o7777,
            modifiedMs=entry.modified_ms,
            target=entry.target,
            sha256=entry.sha256,
        )
        if len(plain) > MAX_ENTRY_BYTES - 256:
            raise BadInput(f"the name {entry.name[:60]!r}… or its link target is too long")
        return encode(_SEALED, version=1, sealed=seal(self._key, plain, self.key_of(entry.name), nonce=nonce))

    def open(self, key: bytes, value: bytes) -> Entry:
        """The entry in a record of ours. Raises Corrupt or BadFrame when it is not."""
        with reading(_SEALED, value, max_bytes=MAX_ENTRY_BYTES) as r:
            sealed = bytes(r.sealed)
        plain = open_sealed(self._key, sealed, key)
        with reading(_ENTRY, plain, max_bytes=MAX_ENTRY_BYTES) as r:
            return Entry(
                str(r.name), Kind(str(r.kind)), str(r.reference), r.size, r.mode, r.modifiedMs, str(r.target),
                bytes(r.sha256),
            )  # fmt: skip


def catalogue_table() -> TableSpec:
    """The table as every node knows it: anyone may replicate it, only the owner named in the key may write."""
    return TableSpec(TABLE, Scope.SECTORS, _validate, _authorise, partition_bytes=_OWNER_BYTES)


def _validate(record: Record) -> None:
    if len(record.key) != KEY_BYTES:
        raise BadInput(f"a catalogue key has {KEY_BYTES} bytes, not {len(record.key)}")
    if not record.removed:
        with reading(_SEALED, record.value, max_bytes=MAX_ENTRY_BYTES) as r:
            if r.version != 1 or len(r.sealed) < NONCE_BYTES + 16:
                raise BadInput("a catalogue entry that is not sealed")


def _authorise(record: Record, _current: Record | None) -> None:
    if record.author != record.key[:_OWNER_BYTES]:
        raise Refused("only the owner may change the owner's catalogue")


def in_folder(entries: Sequence[Entry], folder: str) -> list[Entry]:
    """The entry of that name and everything below it."""
    below = folder.rstrip("/") + "/"
    return [entry for entry in entries if entry.name == folder or entry.name.startswith(below)]


def cid_of(entry: Entry) -> Cid | None:
    """The object that a name stands for, if it is a file's."""
    return Reference.parse(entry.reference).cid if entry.reference else None


def reference_of(entry: Entry) -> Reference:
    """What a file's name stands for. Raises BadInput for a folder or a link."""
    if entry.kind is Kind.FILE:
        return Reference.parse(entry.reference)
    hint = f"list it with: inos ls {entry.name}/" if entry.kind is Kind.FOLDER else f"it points to {entry.target!r}"
    raise BadInput(f"{entry.name} is a {entry.kind.value}, not a file", hint=hint)
