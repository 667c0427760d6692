"""How a node becomes a member: `mesh.join`, asked by a stranger with a ticket, answered by a member that may invite.

    joiner                                        member
      JoinRequest(invitation, secret, node key,     checks all of it, by its own clock; redeems; certifies
                  owner, owner's proof)      --->
                                             <---  JoinAnswer(certificate, some members' records)

The joiner need not trust whom it asks: the peer id is in the ticket, and what it gets must verify against the Genesis
in the ticket. A single-use ticket is redeemed only at the node that made it, whose disk remembers by whom; the same
node may ask again, should the answer have been lost. Any member that may invite honours a ticket for many.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from inos.core.env import Env
from inos.core.errors import BadInput, BadTicket, Busy, InosError, PeerUnavailable, Refused, Unavailable
from inos.core.ids import OwnerId, PeerId
from inos.crypto.signing import SigningKey
from inos.mesh.network import Calls, Introductions, Message
from inos.mesh.throttle import Throttle
from inos.state.certificates import (
    SERIAL_BYTES,
    Certificate,
    Fault,
    Genesis,
    Grant,
    Issuer,
    refusal,
    verify_certificate,
)
from inos.state.invitations import Invitation
from inos.state.joining import (
    MAX_RECORDS,
    MAX_RECORDS_BYTES,
    JoinAnswer,
    JoinRequest,
    decode_answer,
    decode_request,
    prove_owner,
)
from inos.state.membership import Membership
from inos.state.record import Record
from inos.state.records import decode_record
from inos.state.tickets import Ticket

log = logging.getLogger(__name__)

METHOD: Final = "mesh.join"
# A burst for every machine of a large mesh started by one script; each join costs 1 ms and one synced write.
JOINS_BURST: Final = 64
JOINS_PER_S: Final = 8.0
# Dial, two messages, one synced write on a busy disk.
TIMEOUT_S: Final = 15.0
# A member that is asked too often says so; a joiner comes back this many times, a little later each time.
_ROUNDS: Final = 4
_ROUND_PAUSE_S: Final = 1.0
_NEW_TICKET: Final = "ask for a new one: inos invite"


class Redemptions(Protocol):
    """Which single-use tickets made here were used, and by whom."""

    def redeem(self, invitation_id: bytes, node: bytes) -> None:
        """Remember, on disk and synced before this returns, that `node` used it. The same node again is fine; raises
        BadTicket for another one. Blocks; atomic among callers."""


class JoinDesk:
    """The answering side. `membership` must know this node itself: its right to invite is read there every time."""

    def __init__(self, membership: Membership, node: bytes, issuer: Issuer, redemptions: Redemptions, env: Env) -> None:
        self.outcomes: Counter[str] = Counter()
        self._membership = membership
        self._node = node
        self._issuer = issuer
        self._redemptions = redemptions
        self._env = env
        self._throttle = Throttle(JOINS_PER_S, JOINS_BURST)

    def serve(self, calls: Calls) -> None:
        """Answer strangers from now on."""
        calls.serve(METHOD, self.answer, strangers=True)

    async def answer(self, peer: PeerId, message: Message) -> Message:
        """The JoinAnswer for one JoinRequest. Raises BadTicket, Refused, Busy, BadFrame, each counted by its code."""
        try:
            certificate = await self._admit(peer, message)
        except InosError as error:
            self.outcomes[error.code] += 1
            log.info("%s may not join: %s", peer.short(), error)
            raise
        self.outcomes["joined"] += 1
        log.info("%s has joined", peer.short())
        return Message(JoinAnswer(certificate, self._introductions()).encode())

    async def _admit(self, peer: PeerId, message: Message) -> Certificate:
        if not self._throttle.take(self._env.monotonic_s()):
            raise Busy("too many nodes ask to join", hint="try again in a few seconds")
        request = decode_request(message.payload)
        self._check_invitation(request)
        self._check_joiner(peer, request)
        if request.invitation.terms.single_use:
            await self._env.in_thread(self._redemptions.redeem, request.invitation.id, request.node)
        may_invite = request.invitation.terms.may_invite or request.owner == self._membership.genesis.founder
        serial, issued_ms = self._env.token_bytes(SERIAL_BYTES), int(self._env.now_s() * 1000)
        mesh = self._membership.genesis.mesh
        issuer = self._issuer
        if request.owner == self._membership.genesis.founder:
            # The founder signs its own in place of this one, which need not be worth anything.
            issuer = Issuer(issuer.key)
        return issuer.issue(Grant(mesh, request.node, request.owner, may_invite, issued_ms, serial))

    def _check_joiner(self, peer: PeerId, request: JoinRequest) -> None:
        if request.node != peer.public_key():
            raise Refused("a node can only join for itself")
        if self._membership.is_revoked(request.node):
            raise refusal(Fault.REVOKED)
        if not request.is_proven(self._membership.genesis.mesh):
            raise Refused("the owner's proof is wrong", hint="join with the identity of the node's own owner")

    def _check_invitation(self, request: JoinRequest) -> None:
        invitation, secret = request.invitation, request.secret
        if invitation.mesh != self._membership.genesis.mesh:
            raise BadTicket("the ticket is for another mesh", hint="ask the mesh you want for a ticket: inos invite")
        self._check_inviters(invitation, to_founder=request.owner == self._membership.genesis.founder)
        if not invitation.is_signed() or not invitation.opens_with(secret):
            raise BadTicket("the ticket is forged", hint=_NEW_TICKET)
        if invitation.expired(self._env.now_s()):
            raise BadTicket("the ticket has expired", hint=_NEW_TICKET)
        if invitation.terms.single_use and invitation.issuer != self._node:
            raise BadTicket("a single-use ticket works only at the node that made it", hint="is that node up?")

    def _check_inviters(self, invitation: Invitation, *, to_founder: bool) -> None:
        """The founder needs nobody's right to invite, having the key all rights come from; only to be let in."""
        for node in (self._node, invitation.issuer):
            if self._membership.is_revoked(node):
                raise BadTicket("the node that invites was revoked", hint=_NEW_TICKET)
            member = self._membership.verified(node)
            if member is None:
                raise Unavailable("the node that invites is not known here yet", hint="try again in a few seconds")
            if not member.may_invite and not to_founder:
                raise BadTicket("the node that invites may not", hint="ask the founder of the mesh for a ticket")

    def _introductions(self) -> tuple[bytes, ...]:
        """As many members' records as fit, this node's first and the others in no order, so that load spreads."""
        records = self._membership.records()
        self._env.random.shuffle(records)
        records.sort(key=lambda record: record.key != self._node)
        chosen: list[bytes] = []
        room = MAX_RECORDS_BYTES
        for record in records[:MAX_RECORDS]:
            if len(record.encoded) <= room:
                room -= len(record.encoded)
                chosen.append(record.encoded)
        return tuple(chosen)


@dataclass(frozen=True, slots=True)
class Joined:
    """What a new member starts from: its proof, and verified records of table `members`."""

    genesis: Genesis
    certificate: Certificate
    members: tuple[Record, ...]


async def join_mesh(
    network: Introductions, ticket: Ticket, *, node: bytes, owner: SigningKey, timeout_s: float = TIMEOUT_S
) -> Joined:
    """Become a member with `node` as a machine of `owner`. Asks the peers in the ticket in turn, `timeout_s` each.

    Raises BadTicket or Refused when a member said no, Busy or Unavailable when nobody could say yes.
    """
    proof = prove_owner(owner, ticket.genesis.mesh, node)
    request = JoinRequest(ticket.invitation, ticket.secret, node, OwnerId(owner.public_key), proof)
    errors: list[InosError] = []
    for pauses in range(_ROUNDS):
        await trio.sleep(pauses * _ROUND_PAUSE_S)
        outcome = await _ask_each(network, ticket, request, owner, timeout_s)
        if isinstance(outcome, Joined):
            return outcome
        errors = outcome
        if not any(isinstance(error, Busy) for error in errors):
            break
    raise _clearest(errors)


async def _ask_each(
    network: Introductions, ticket: Ticket, request: JoinRequest, owner: SigningKey, timeout_s: float
) -> Joined | list[InosError]:
    errors: list[InosError] = []
    for addresses in _by_peer(ticket.addresses):
        try:
            answer = await network.ask(addresses, METHOD, Message(request.encode()), timeout_s=timeout_s)
            return _accepted(answer, ticket.genesis, request, owner)
        except InosError as error:
            errors.append(error)
    return errors


def _by_peer(addresses: tuple[str, ...]) -> list[list[str]]:
    """The addresses grouped by the peer they end in, in the ticket's order."""
    grouped: dict[str, list[str]] = {}
    for address in addresses:
        grouped.setdefault(address.rpartition("/p2p/")[2], []).append(address)
    return list(grouped.values())


def _accepted(answer: Message, genesis: Genesis, request: JoinRequest, owner: SigningKey) -> Joined:
    """Raises Refused when the answer does not make this node a member."""
    try:
        decoded = decode_answer(answer.payload)
        certificate = _certificate(decoded.certificate, genesis, request, owner)
        verified = verify_certificate(certificate, genesis)
    except BadInput as error:
        raise Refused(f"the member's answer is garbled: {error}") from None
    if (verified.node, verified.owner) != (request.node, request.owner):
        raise Refused("the member certified somebody else")
    return Joined(genesis, certificate, tuple(_verified_records(decoded.members, genesis)))


def _certificate(answered: Certificate, genesis: Genesis, request: JoinRequest, owner: SigningKey) -> Certificate:
    """The certificate the member answered with; the founder signs its own, which needs no chain."""
    if request.owner != genesis.founder:
        return answered
    grant = Grant(genesis.mesh, request.node, request.owner, True, answered.issued_ms, answered.serial)
    return Issuer(owner).issue(grant)


def _verified_records(encoded: tuple[bytes, ...], genesis: Genesis) -> list[Record]:
    membership = Membership(genesis)
    table = membership.member_table()
    good = []
    for data in encoded:
        try:
            record = decode_record(data)
            if record.table == table.name:
                table.validate(record)
                table.authorise(record, None)
                good.append(record)
        except InosError as error:
            log.warning("a member's record in the answer to joining is bad: %s", error)
    return good


def _clearest(errors: list[InosError]) -> InosError:
    """What to tell the user: a clear no, before silence."""
    for kind in (BadTicket, Refused, Busy):
        for error in errors:
            if isinstance(error, kind):
                return error
    if all(isinstance(error, PeerUnavailable) for error in errors):
        return PeerUnavailable("no member named in the ticket answers", hint="is the inviting node up and reachable?")
    return errors[-1]
