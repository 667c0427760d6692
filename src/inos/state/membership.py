"""The members of one mesh, as a view over the records of tables `members` and `revocations`.

    Genesis -> certificates -> who could be a member;  minus revocations -> who is;  plus capabilities -> where and what

Rules: records may be applied in any order, any number of times, and the view is the same. Whether a record may enter a
table depends on the record and the Genesis alone, so that all replicas agree; revocations act on the view, not on what
the table holds. A member is admitted as soon as its certificate was shown, before its record has come. Pure: no clock,
no I/O; owned by the event loop, except that the two tables' checks only read and may run in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from inos.core.errors import Refused
from inos.core.ids import PeerId
from inos.crypto.signing import PUBLIC_KEY_BYTES
from inos.state.capability import Capability, Member, check_addresses, decode_capability
from inos.state.certificates import (
    Fault,
    Genesis,
    VerifiedMember,
    as_member,
    decode_certificate,
    find_fault,
    refusal,
)
from inos.state.fields import exactly
from inos.state.merge import supersedes
from inos.state.record import Record
from inos.state.revocation import (
    MEMBERS,
    REVOCATIONS,
    Revocation,
    authorise_revocation,
    check_revocation,
    decode_revocation,
)
from inos.state.tables import Scope, TableSpec

# Members that have shown a certificate and whose record has not come yet; the first to come goes first. A mesh has at
# most 700 nodes, and records arrive within seconds.
MAX_SHOWN: Final = 1024


@dataclass(frozen=True, slots=True)
class _Known:
    """A verified record of table `members`."""

    record: Record
    verified: VerifiedMember
    capability: Capability


class Membership:
    """Who is in the mesh of `genesis`."""

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self._records: dict[bytes, Record] = {}
        self._known: dict[bytes, _Known] = {}
        self._shown: dict[bytes, VerifiedMember] = {}
        self._revocations: dict[bytes, Record] = {}
        self._revoked: dict[bytes, Revocation] = {}
        self._members: dict[bytes, Member] = {}
        self._admitted: set[PeerId] = set()
        self.changes = 0
        """Grows whenever `members` may have become others."""

    def members(self) -> Mapping[bytes, Member]:
        """Everybody whose record is known and who is not revoked, by node key; a live view."""
        return MappingProxyType(self._members)

    def admits(self, peer: PeerId) -> bool:
        """Whether `peer` has proven membership and is not revoked. One set lookup."""
        return peer in self._admitted

    def is_revoked(self, node: bytes) -> bool:
        return node in self._revoked

    def verified(self, node: bytes) -> VerifiedMember | None:
        """What `node` has proven, unless it is revoked or unknown."""
        known, shown = self._known.get(node), self._shown.get(node)
        # Both, because a node whose inviter was revoked shows its new certificate before its new record has come.
        proofs = (known.verified if known is not None else None, shown)
        return next((proof for proof in proofs if proof is not None and not self._is_out(proof)), None)

    def certified_by(self, node: bytes) -> frozenset[bytes]:
        """Known members whose certificate `node` signed itself: what a revocation of `node` should keep."""
        verified = [known.verified for known in self._known.values()] + list(self._shown.values())
        links = {link for member in verified if not self._is_out(member) for link in member.links}
        return frozenset(subject for subject, issuer in links if issuer == node)

    def records(self) -> list[Record]:
        """The members' records: what a newcomer needs to find others."""
        return [self._known[node].record for node in self._members]

    def record_of(self, node: bytes) -> Record | None:
        """The record in force of `node` in table `members`, for an owner that wants to revoke it."""
        return self._records.get(node)

    def examine(self, certificate: bytes) -> VerifiedMember | Fault:
        """What an encoded certificate proves now. Raises BadFrame or NewerFormat when it does not decode."""
        decoded = decode_certificate(certificate)
        known = self._known.get(decoded.node)
        if known is not None and known.capability.certificate == certificate:
            verified = known.verified  # its signatures were checked when the record came
        else:
            fault = find_fault(decoded, self.genesis)
            if fault is not None:
                return fault
            verified = as_member(decoded)
        return Fault.REVOKED if self._is_out(verified) else verified

    def welcome(self, member: VerifiedMember) -> None:
        """Admit a member by the certificate it has shown (`examine`)."""
        self._shown.pop(member.node, None)
        while len(self._shown) >= MAX_SHOWN:
            oldest = next(iter(self._shown))
            del self._shown[oldest]
            self._refresh(oldest)
        self._shown[member.node] = member
        self._refresh(member.node)

    def apply_member(self, record: Record) -> bool:
        """Take in a record that passed `member_table`. True when it changed the view. Raises what those raise."""
        if not supersedes(record, self._records.get(record.key)):
            return False
        known = None if record.removed else self._verify(record)
        self._records[record.key] = record
        if known is not None:
            self._known[record.key] = known
        else:
            self._known.pop(record.key, None)
            self._shown.pop(record.key, None)
        self._refresh(record.key)
        return True

    def apply_revocation(self, record: Record) -> bool:
        """Take in a record that passed `revocation_table`. True when it changed the view."""
        if not supersedes(record, self._revocations.get(record.key)):
            return False
        revocation = decode_revocation(record.value)
        if record.author != self.genesis.founder:
            revocation = Revocation(revocation.reason, revocation.revoked_ms, member=revocation.member)
        self._revocations[record.key] = record
        self._revoked[record.key] = revocation
        for node in [*self._known, *self._shown]:  # those certified by the revoked node may fall with it
            self._refresh(node)
        return True

    def member_table(self) -> TableSpec:
        """Who may write what in table `members`: every node its own record, with a certificate of this mesh."""
        return TableSpec(MEMBERS, Scope.EVERYWHERE, self._check_member, self._authorise_member)

    def revocation_table(self) -> TableSpec:
        """Who may write what in table `revocations`: see `revocation.py`."""
        genesis = self.genesis
        return TableSpec(
            REVOCATIONS, Scope.EVERYWHERE, check_revocation, lambda new, _: authorise_revocation(new, genesis)
        )

    def _check_member(self, record: Record) -> None:
        exactly(record.key, PUBLIC_KEY_BYTES, "node key")
        if not record.removed:
            check_addresses(decode_capability(record.value).addresses, PeerId.from_public_key(record.key))

    def _authorise_member(self, record: Record, _current: Record | None) -> None:
        if record.author != record.key:
            raise Refused("a node's record is signed by the node itself")
        if not record.removed:
            self._verify(record)

    def _verify(self, record: Record) -> _Known:
        capability = decode_capability(record.value)
        known = self._known.get(record.key)
        if known is not None and known.capability.certificate == capability.certificate:
            return _Known(record, known.verified, capability)
        certificate = decode_certificate(capability.certificate)
        fault = find_fault(certificate, self.genesis)
        if fault is not None:
            raise refusal(fault)
        if certificate.node != record.key:
            raise Refused("the certificate in a node's record is of another node")
        return _Known(record, as_member(certificate), capability)

    def _is_out(self, member: VerifiedMember) -> bool:
        if member.node in self._revoked:
            return True
        return any(
            issuer in self._revoked and subject not in self._revoked[issuer].keeps for subject, issuer in member.links
        )

    def _refresh(self, node: bytes) -> None:
        """Bring what is served to readers into line with what is known of `node`."""
        self.changes += 1
        verified, known = self.verified(node), self._known.get(node)
        peer = PeerId.from_public_key(node)
        if verified is None:
            self._admitted.discard(peer)
        else:
            self._admitted.add(peer)
        if verified is None or known is None:
            self._members.pop(node, None)
        else:
            self._members[node] = _member(peer, verified, known.capability)


def _member(peer: PeerId, verified: VerifiedMember, said: Capability) -> Member:
    return Member(
        node=verified.node,
        peer=peer,
        owner=verified.owner,
        may_invite=verified.may_invite,
        addresses=said.addresses,
        region=said.region,
        profile=said.profile,
        storage_bytes=said.storage_bytes,
        used_bytes=said.used_bytes,
        cores=said.cores,
        memory_bytes=said.memory_bytes,
        name=said.name,
    )
