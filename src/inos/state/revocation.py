"""Revocations: a node is a member no more, for good. Value types, bytes, and who may say it.

Key: the node's public key. Signed by the founder, or by the node's owner. Whoever judges one needs nothing but the
record and the Genesis, so every replica comes to the same verdict in any order:

- The founder signs at lamport 2 or above, and may sign again to change `keeps`.
- An owner signs at lamport exactly 1, and encloses the node's own record of table `members`, which names the owner. The
  certificate alone would not do: an inviter could certify somebody else's node key with itself as the owner.
  Lamport 1 makes the founder's word win whenever there is one; an owner's has nothing worth changing.
- A revocation is never removed.

What a revoked node had certified stays valid where the founder lists it in `keeps`, and only there: a revoked key can
still sign, and nothing but a list tells what it signed before from what it signs after. An owner's revocation keeps
nobody, so a node that has invited others is better revoked by the founder. Layout: schema/p2p/mesh.capnp Revocation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from inos.core import codec
from inos.core.errors import BadFrame, InosError, Refused
from inos.crypto.signing import PUBLIC_KEY_BYTES, SigningKey
from inos.state.capability import decode_capability
from inos.state.certificates import Genesis, decode_certificate, verify_certificate
from inos.state.fields import at_most, check_version, exactly, line
from inos.state.record import Record
from inos.state.records import MAX_VALUE_BYTES, decode_record, sign_record

REVOCATIONS: Final = "revocations"
MEMBERS: Final = "members"
VERSION: Final = 1
OWNER_LAMPORT: Final = 1
MAX_REASON_CHARS: Final = 256
# 29 of the 32 KiB a value may have; a node that has let in more is better replaced before it is revoked.
MAX_KEEPS: Final = 600

_REVOCATION: Final = "p2p/mesh.capnp:Revocation"


@dataclass(frozen=True, slots=True)
class Revocation:
    """Why and when (wall clock of the author, for people); `member` is the node's encoded record, for an owner's."""

    reason: str = ""
    revoked_ms: int = 0
    keeps: frozenset[bytes] = frozenset()
    member: bytes = b""

    def encode(self) -> bytes:
        return codec.encode(
            _REVOCATION,
            version=VERSION,
            reason=self.reason,
            revokedMs=self.revoked_ms,
            keeps=sorted(self.keeps),
            member=self.member,
        )


def decode_revocation(data: bytes) -> Revocation:
    """Raises BadFrame or NewerFormat."""
    with codec.reading(_REVOCATION, data, max_bytes=MAX_VALUE_BYTES) as fields:
        check_version(fields.version, VERSION, "revocation")
        at_most(fields.keeps, MAX_KEEPS, "nodes to keep")
        return Revocation(
            reason=line(str(fields.reason), MAX_REASON_CHARS, "reason"),
            revoked_ms=fields.revokedMs,
            keeps=frozenset(exactly(node, PUBLIC_KEY_BYTES, "node to keep") for node in fields.keeps),
            member=bytes(fields.member),
        )


def revoke_as_founder(
    key: SigningKey, node: bytes, *, keeps: Iterable[bytes], lamport: int, reason: str, now_s: float
) -> Record:
    """The founder's record that `node` is out; the nodes in `keeps`, certified by it, stay."""
    value = Revocation(reason, int(now_s * 1000), frozenset(keeps)).encode()
    return sign_record(key, REVOCATIONS, node, value, max(lamport, OWNER_LAMPORT + 1))


def revoke_as_owner(key: SigningKey, member: Record, *, reason: str, now_s: float) -> Record:
    """The owner's record that its own node, known by its record of table `members`, is out."""
    value = Revocation(reason, int(now_s * 1000), member=member.encoded).encode()
    return sign_record(key, REVOCATIONS, member.key, value, OWNER_LAMPORT)


def check_revocation(record: Record) -> None:
    """What a record of table `revocations` must look like. Raises BadInput or Refused."""
    exactly(record.key, PUBLIC_KEY_BYTES, "node key")
    if record.removed:
        raise Refused("a revocation cannot be undone", hint="invite the machine again under a new node key")
    decode_revocation(record.value)


def authorise_revocation(record: Record, genesis: Genesis) -> None:
    """Raises Refused unless the author may revoke that node."""
    if record.author == genesis.founder:
        if record.lamport <= OWNER_LAMPORT:
            raise Refused("a founder's revocation has a lamport above 1")
        return
    if record.lamport != OWNER_LAMPORT:
        raise Refused("an owner's revocation has lamport 1")
    if _owner_by_own_word(decode_revocation(record.value).member, record.key, genesis) != record.author:
        raise Refused("only the founder or its owner may revoke a node")


def _owner_by_own_word(data: bytes, node: bytes, genesis: Genesis) -> bytes:
    """Who owns `node`, by a record it signed itself."""
    try:
        member = decode_record(data)
        if (member.table, member.key, member.author) != (MEMBERS, node, node):
            raise BadFrame("not the node's own record")
        certificate = decode_certificate(decode_capability(member.value).certificate)
        verified = verify_certificate(certificate, genesis)
    except InosError as error:
        raise Refused(f"the revocation does not show who owns the node: {error}") from None
    if verified.node != node:
        raise Refused("the revocation shows the certificate of another node")
    return bytes(verified.owner)
