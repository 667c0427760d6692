"""Who an owner's hub is: one record in table `hubs`, signed by the owner, kept by every member.

Key = owner id. The version that holds is the hub's; whoever finds another node in it than itself is not the hub, or not
any more. A change is a later version with the next term, so that of two nodes that took over apart from each other one
holds everywhere once they meet. Other members see which node it is, and nothing else of the messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.core.codec import encode, reading
from inos.core.errors import BadFrame, BadInput, Refused
from inos.core.ids import DIGEST_BYTES, OwnerId, PeerId
from inos.crypto.signing import SigningKey
from inos.state.fields import check_version, exactly
from inos.state.record import Record
from inos.state.records import sign_record
from inos.state.tables import Scope, TableSpec

TABLE: Final = "hubs"
MAX_HUB_BYTES: Final = 256
_STRUCT: Final = "p2p/messages.capnp:HubRecord"


@dataclass(frozen=True, slots=True)
class HubRecord:
    """One term of office. `node` is a public key; `since_ms` milliseconds since 1970 by that node's clock."""

    node: bytes
    term: int
    since_ms: int

    @property
    def peer(self) -> PeerId:
        return PeerId.from_public_key(self.node)


def hub_table() -> TableSpec:
    """The table as every node knows it."""
    return TableSpec(TABLE, Scope.EVERYWHERE, _validate, _authorise)


def sign_hub(owner_key: SigningKey, hub: HubRecord, lamport: int) -> Record:
    """The record that makes `hub` the owner's."""
    return sign_record(owner_key, TABLE, owner_key.public_key, encode_hub(hub), lamport)


def encode_hub(hub: HubRecord) -> bytes:
    """The value of a record."""
    return encode(_STRUCT, version=1, node=hub.node, term=hub.term, sinceMs=hub.since_ms)


def decode_hub(value: bytes) -> HubRecord:
    """The hub in the value of a record. Raises BadFrame, NewerFormat."""
    with reading(_STRUCT, value, max_bytes=MAX_HUB_BYTES) as r:
        version, hub = r.version, HubRecord(bytes(r.node), r.term, r.sinceMs)
    check_version(version, 1, "the record of a hub")
    exactly(hub.node, DIGEST_BYTES, "node of a hub")
    if not hub.term:
        raise BadFrame("the terms of hubs begin at 1")
    return hub


def key_of(owner: OwnerId) -> bytes:
    """The key of an owner's record."""
    return bytes(owner)


def _validate(record: Record) -> None:
    exactly(record.key, DIGEST_BYTES, "owner")
    if record.removed:
        raise BadInput("the record of a hub is followed by another, never removed")
    decode_hub(record.value)


def _authorise(record: Record, _current: Record | None) -> None:
    if record.author != record.key:
        raise Refused("only the owner may say which node is the owner's hub")
