"""A record: one signed, versioned fact in a replicated table.

Layout: `p2p/tables.capnp` Record{version, body, signature}; the body's bytes are signed as they stand, so a record is
kept, sent and compared in its encoded form. How two versions of one key merge is `merge.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """A decoded record. `author` is the raw 32-byte Ed25519 key (of a node, or of an owner) that signed `encoded`."""

    table: str
    key: bytes
    value: bytes
    removed: bool
    lamport: int
    author: bytes
    encoded: bytes
