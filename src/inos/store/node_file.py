"""node.json: which of its owner's nodes a data root is.

    {"node":"<public key, hex>","nonce":"<16 bytes, hex>","version":1}

Nothing in it is secret. The public key is there to be compared with the one the cocoon's keys give for the nonce: a
flipped bit would otherwise make it, without a word, another node. Only this exact spelling is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inos.core.errors import Corrupt, NewerFormat
from inos.crypto.derive import NODE_NONCE_BYTES, Keyring
from inos.crypto.signing import PUBLIC_KEY_BYTES
from inos.store.private_files import read_private

VERSION: Final = 1
# Some 150 bytes; a newer release may add to it.
_MAX_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node's nonce and the public key that follows from it."""

    nonce: bytes
    public_key: bytes

    @classmethod
    def of(cls, keyring: Keyring, nonce: bytes) -> NodeRecord:
        """The record of the node with this nonce."""
        return cls(nonce, keyring.node_key(nonce).public_key)

    def belongs_to(self, keyring: Keyring) -> bool:
        """Whether this is a node of the keyring's owner."""
        return NodeRecord.of(keyring, self.nonce) == self

    def encode(self) -> bytes:
        """The bytes of node.json."""
        fields = {"node": self.public_key.hex(), "nonce": self.nonce.hex(), "version": VERSION}
        return json.dumps(fields, separators=(",", ":")).encode()


def read_node_file(path: Path) -> NodeRecord:
    """What node.json says. Raises NotFound, Refused, Corrupt, NewerFormat."""
    return decoded(read_private(path, _MAX_BYTES, secret=False), str(path))


def decoded(data: bytes, where: str) -> NodeRecord:
    """What the bytes of a node.json say; `where` is for messages. Raises Corrupt, NewerFormat."""
    hint = "restore it from a copy; without it this becomes a new node of the same owner: see docs/format.md"
    try:
        fields = json.loads(data)
        version = fields["version"]
        if isinstance(version, int) and version > VERSION:
            raise NewerFormat(f"{where} has format {version}; this release knows {VERSION}", hint="upgrade INOS")
        record = NodeRecord(bytes.fromhex(fields["nonce"]), bytes.fromhex(fields["node"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Corrupt(f"{where} is damaged: it does not read as a node record", hint=hint) from None
    sizes = (len(record.nonce), len(record.public_key))
    if sizes != (NODE_NONCE_BYTES, PUBLIC_KEY_BYTES) or record.encode() != data:
        raise Corrupt(f"{where} is damaged: it does not read as a node record", hint=hint)
    return record
