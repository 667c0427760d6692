"""A record: one signed, versioned fact in a replicated table, and how two versions of it merge.

Layout: `p2p/tables.capnp` Record{version, body, signature}; the body's bytes are signed as they stand, so a record is
kept, sent and compared in its encoded form. Merge is last-writer-wins by (lamport, removed, body bytes): commutative,
associative, idempotent, so replicas that saw the same records in any order are equal.
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
