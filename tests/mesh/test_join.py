"""Joining over a network: tickets good and bad, who redeems them, races and retries."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadFrame, BadTicket, Busy, NewerFormat, NotAMember, PeerUnavailable, Refused, Unavailable
from inos.core.ids import OwnerId, PeerId
from inos.crypto.signing import SigningKey
from inos.mesh.admission import JoinerAdmission, MemberAdmission
from inos.mesh.join import JOINS_BURST, METHOD, JoinDesk, Joined, join_mesh
from inos.mesh.network import Calls, Message
from inos.sim.fabric import MemoryFabric
from inos.sim.network import MemoryNetwork
from inos.state.certificates import Genesis, issuer_for, verify_certificate
from inos.state.invitations import Invitation, Terms, make_invitation
from inos.state.joining import MAX_ANSWER_BYTES, JoinAnswer, JoinRequest, decode_answer, decode_request, prove_owner
from inos.state.membership import Membership
from inos.state.revocation import revoke_as_founder
from inos.state.tickets import Ticket, make_ticket, parse_ticket
from inos.testing.env import EPOCH_S, SimEnv
from inos.testing.members import Machine, Team, fixed_key
from inos.testing.run import sim_test

TEAM = Team()
A, B = TEAM.machine("a"), TEAM.machine("b")
SECRET = b"0123456789abcdef"
HOUR_S = 3600.0
BOB = fixed_key("bob")
NEW, OTHER = fixed_key("new node"), fixed_key("other node")


class BookOfRedemptions:
    """The contract of Redemptions in memory: the check and the entry are one step."""

    def __init__(self) -> None:
        self.used: dict[bytes, bytes] = {}

    def redeem(self, invitation_id: bytes, node: bytes) -> None:
        if self.used.setdefault(invitation_id, node) != node:
            raise BadTicket("the ticket was used already", hint="ask for a new one: inos invite")


class Town:
    """A fabric with some members behind their desks."""

    def __init__(self, *machines: Machine, env: SimEnv | None = None) -> None:
        self.env = env or SimEnv()
        self.fabric = MemoryFabric(self.env)
        self.membership = TEAM.membership(*machines)
        self.redemptions = BookOfRedemptions()
        self.desks = {machine.node: self._desk(machine) for machine in machines}

    def _desk(self, machine: Machine) -> JoinDesk:
        issuer = issuer_for(TEAM.genesis, machine.owner, machine.key, machine.certificate)
        desk = JoinDesk(self.membership, machine.node, issuer, self.redemptions, self.env)
        certificate = machine.certificate.encode()
        network = self.fabric.join(machine.peer, MemberAdmission(self.membership, certificate, list))
        desk.serve(network)
        return desk

    def newcomer(self, key: SigningKey = NEW) -> MemoryNetwork:
        return self.fabric.join(PeerId.from_public_key(key.public_key), JoinerAdmission())


def invitation(
    by: Machine = A, *, single_use: bool = True, may_invite: bool = False, lasts_s: float = HOUR_S
) -> Invitation:
    terms = Terms(int((EPOCH_S + lasts_s) * 1000), single_use, may_invite)
    return make_invitation(by.key, TEAM.genesis.mesh, terms, invitation_id=b"i" * 16, secret=SECRET)


def ticket(found: Invitation | None = None, *at: Machine, genesis: Genesis = TEAM.genesis) -> Ticket:
    return make_ticket(genesis, found or invitation(), SECRET, [machine.address for machine in at or (A,)])


async def join(
    town: Town, found: Ticket, key: SigningKey = NEW, owner: SigningKey = BOB, timeout_s: float = 5.0
) -> Joined:
    return await join_mesh(town.newcomer(key), found, node=key.public_key, owner=owner, timeout_s=timeout_s)


@sim_test
async def test_a_ticket_makes_a_member() -> None:
    town = Town(A, B)
    joined = await join(town, parse_ticket(ticket().text()))
    verified = verify_certificate(joined.certificate, TEAM.genesis)
    assert (verified.node, verified.owner, verified.may_invite) == (NEW.public_key, BOB.public_key, False)
    assert joined.genesis == TEAM.genesis
    assert {record.key for record in joined.members} == {A.node, B.node}
    assert joined.members[0].key == A.node
    assert town.desks[A.node].outcomes == {"joined": 1}


@sim_test
async def test_a_new_member_is_served_at_once() -> None:
    town = Town(A)
    admission = JoinerAdmission()
    network = town.fabric.join(PeerId.from_public_key(NEW.public_key), admission)
    joined = await join_mesh(network, ticket(), node=NEW.public_key, owner=BOB)
    mine = Membership(joined.genesis)
    for record in joined.members:
        mine.apply_member(record)
    admission.become(MemberAdmission(mine, joined.certificate.encode(), network.addresses))
    assert await network.connect(mine.members()[A.node].addresses, timeout_s=1) == A.peer


@sim_test
async def test_the_founders_other_machine_may_invite_and_needs_no_chain() -> None:
    joined = await join(Town(A), ticket(), owner=TEAM.founder)
    assert joined.certificate.may_invite
    assert joined.certificate.chain == ()


@sim_test
async def test_the_founder_returns_through_a_member_that_may_not_invite() -> None:
    guest = TEAM.machine("guest", owner=fixed_key("friend"), may_invite=False)
    found = ticket(invitation(guest, single_use=False), guest)
    joined = await join(Town(guest), found, owner=TEAM.founder)
    verified = verify_certificate(joined.certificate, TEAM.genesis)
    assert (verified.node, verified.owner, verified.may_invite) == (NEW.public_key, TEAM.founder.public_key, True)
    with pytest.raises(BadTicket, match="may not"):
        await join(Town(guest), found)


@sim_test
async def test_an_invitation_may_pass_on_the_right_to_invite() -> None:
    assert (await join(Town(A), ticket(invitation(may_invite=True)))).certificate.may_invite


@sim_test
async def test_a_member_of_another_owner_invites_by_its_own_certificate() -> None:
    friend = TEAM.machine("friend", owner=fixed_key("friend"))
    joined = await join(Town(friend), ticket(invitation(friend), friend))
    assert [link.node for link in joined.certificate.chain] == [friend.node]


@sim_test
async def test_a_single_use_ticket_is_used_once() -> None:
    town = Town(A)
    await join(town, ticket())
    with pytest.raises(BadTicket, match="used already"):
        await join(town, ticket(), OTHER)


@sim_test
async def test_of_two_racing_for_one_ticket_one_gets_in() -> None:
    town = Town(A)
    outcomes: list[bool] = []

    async def race(key: SigningKey) -> None:
        try:
            await join(town, ticket(), key)
            outcomes.append(True)
        except BadTicket:
            outcomes.append(False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(race, NEW)
        nursery.start_soon(race, OTHER)
    assert sorted(outcomes) == [False, True]
    assert len(town.redemptions.used) == 1


@sim_test
async def test_the_same_node_may_ask_again() -> None:
    town = Town(A)
    network = town.newcomer()
    for _ in range(2):
        joined = await join_mesh(network, ticket(), node=NEW.public_key, owner=BOB)
        assert joined.certificate.node == NEW.public_key


@sim_test
async def test_a_single_use_ticket_works_only_where_it_was_made() -> None:
    with pytest.raises(BadTicket, match="only at the node that made it"):
        await join(Town(A, B), ticket(invitation(A), B))


@sim_test
async def test_a_ticket_for_many_works_anywhere_and_again() -> None:
    town = Town(A, B)
    many = ticket(invitation(single_use=False), B)
    for key in (NEW, OTHER):
        assert (await join(town, many, key)).certificate.node == key.public_key
    assert not town.redemptions.used


@sim_test
async def test_the_next_member_is_asked_when_the_first_is_gone() -> None:
    town = Town(B)
    town.membership.apply_member(A.record())
    joined = await join(town, ticket(invitation(A, single_use=False), A, B))
    assert joined.certificate.node == NEW.public_key


@sim_test
async def test_when_nobody_answers_it_says_so() -> None:
    with pytest.raises(PeerUnavailable, match="no member named in the ticket") as caught:
        await join(Town(B), ticket())
    assert "is the inviting node up" in caught.value.hint


@sim_test
async def test_an_expired_ticket_is_refused_by_the_members_clock() -> None:
    with pytest.raises(BadTicket, match="expired"):
        await join(Town(A, env=SimEnv(skew_s=2 * HOUR_S)), ticket())
    with pytest.raises(BadTicket, match="expired"):
        await join(Town(A), ticket(invitation(lasts_s=-1.0)))


@sim_test
async def test_forged_tickets_are_refused() -> None:
    good = invitation()
    impostor = make_invitation(
        B.key, TEAM.genesis.mesh, good.terms, invitation_id=good.id, secret=SECRET
    )  # signed by B in A's name
    for bad in (replace(good, signature=bytes(64)), replace(impostor, body=good.body, issuer=A.node)):
        with pytest.raises(BadTicket, match="forged"):
            await join(Town(A), ticket(bad))
    with pytest.raises(BadTicket, match="forged"):
        await join(Town(A), replace(ticket(), secret=b"guessed guessed!"))


@sim_test
async def test_a_ticket_of_another_mesh_is_refused() -> None:
    other = Team("other")
    foreign = make_invitation(A.key, other.genesis.mesh, invitation().terms, invitation_id=b"i" * 16, secret=SECRET)
    with pytest.raises(BadTicket, match="another mesh"):
        await join(Town(A), ticket(foreign, genesis=other.genesis))


@sim_test
async def test_who_may_not_invite_or_is_unknown_is_no_inviter() -> None:
    guest = TEAM.machine("guest", may_invite=False)
    town = Town(A)
    town.membership.apply_member(guest.record())
    with pytest.raises(BadTicket, match="may not"):
        await join(town, ticket(invitation(guest, single_use=False)))
    with pytest.raises(Unavailable, match="not known here yet"):
        await join(town, ticket(invitation(TEAM.machine("unheard of"), single_use=False)), OTHER)


@sim_test
async def test_a_revoked_inviters_ticket_is_worthless() -> None:
    town = Town(A, B)
    town.membership.apply_revocation(revoke_as_founder(TEAM.founder, A.node, keeps=(), lamport=2, reason="", now_s=0))
    for at in (A, B):
        with pytest.raises(BadTicket, match="revoked"):
            await join(town, ticket(invitation(A, single_use=False), at), fixed_key("node at", at.peer))


@sim_test
async def test_a_revoked_node_does_not_return() -> None:
    town = Town(A)
    town.membership.apply_revocation(
        revoke_as_founder(TEAM.founder, NEW.public_key, keeps=(), lamport=2, reason="", now_s=0)
    )
    with pytest.raises(NotAMember, match="revoked"):
        await join(town, ticket())
    assert not town.redemptions.used


def request(node: SigningKey = NEW, owner: SigningKey = BOB, proof: bytes | None = None) -> JoinRequest:
    proof = proof or prove_owner(owner, TEAM.genesis.mesh, node.public_key)
    return JoinRequest(invitation(), SECRET, node.public_key, OwnerId(owner.public_key), proof)


async def ask(town: Town, payload: bytes, key: SigningKey = NEW) -> Message:
    network = town.fabric.node(PeerId.from_public_key(key.public_key)) or town.newcomer(key)
    return await network.ask([A.address], METHOD, Message(payload), timeout_s=5)


@sim_test
async def test_nobody_joins_for_another_node() -> None:
    town = Town(A)
    with pytest.raises(Refused, match="only join for itself"):
        await ask(town, request(OTHER).encode(), NEW)
    assert not town.redemptions.used


@sim_test
async def test_nobody_joins_in_another_owners_name() -> None:
    town = Town(A)
    for wrong in (
        prove_owner(fixed_key("mallory"), TEAM.genesis.mesh, NEW.public_key),
        prove_owner(BOB, TEAM.genesis.mesh, OTHER.public_key),
        prove_owner(BOB, Team("other").genesis.mesh, NEW.public_key),
    ):
        with pytest.raises(Refused, match="owner's proof"):
            await ask(town, request(proof=wrong).encode())
    assert not town.redemptions.used
    assert town.desks[A.node].outcomes == {"refused": 3}


@sim_test
async def test_garbage_is_refused_and_changes_nothing() -> None:
    town = Town(A)
    for payload in (b"", b"garbage", bytes(5000), request().encode()[:-16]):
        with pytest.raises(BadFrame):
            await ask(town, payload)
    assert not town.redemptions.used


@sim_test
async def test_a_crowd_is_told_to_wait_and_gets_in_later() -> None:
    town = Town(A)
    for number in range(JOINS_BURST):
        with pytest.raises(BadFrame):
            await ask(town, b"garbage", fixed_key("noise", number))
    with pytest.raises(Busy):
        await ask(town, request().encode())
    with trio.fail_after(10):
        joined = await join(town, ticket(), OTHER)
    assert joined.certificate.node == OTHER.public_key
    assert town.desks[A.node].outcomes["busy"] >= 1


def serve_answer(calls: Calls, answer: bytes) -> None:
    async def handler(_peer: PeerId, _request: Message) -> Message:
        await trio.lowlevel.checkpoint()
        return Message(answer)

    calls.serve(METHOD, handler, strangers=True)


@sim_test
async def test_the_answer_is_not_taken_on_trust() -> None:
    foreign = Team("other").machine("x", owner=BOB).certificate
    not_mine = TEAM.machine("somebody", owner=BOB).certificate
    for answer, complaint in (
        (b"garbage", "garbled"),
        (JoinAnswer(foreign, ()).encode(), "another mesh"),
        (JoinAnswer(not_mine, ()).encode(), "certified somebody else"),
    ):
        fabric = MemoryFabric(SimEnv())
        liar = fabric.join(A.peer, JoinerAdmission())
        serve_answer(liar, answer)
        network = fabric.join(PeerId.from_public_key(NEW.public_key), JoinerAdmission())
        with pytest.raises(Refused, match=complaint):
            await join_mesh(network, ticket(), node=NEW.public_key, owner=BOB)


@sim_test
async def test_bad_records_in_an_answer_are_left_out() -> None:
    town = Town(A)
    good = decode_answer((await ask(town, request().encode())).payload)
    foreign = Team("other").machine("x").record().encoded
    fabric = MemoryFabric(SimEnv())
    answer = JoinAnswer(good.certificate, (b"garbage", foreign, B.record().encoded, A.record().encoded[:-8]))
    serve_answer(fabric.join(A.peer, JoinerAdmission()), answer.encode())
    network = fabric.join(PeerId.from_public_key(NEW.public_key), JoinerAdmission())
    joined = await join_mesh(network, ticket(), node=NEW.public_key, owner=BOB)
    assert [record.key for record in joined.members] == [B.node]


@sim_test
async def test_a_large_mesh_still_answers_in_a_small_frame() -> None:
    town = Town(A)
    for number in range(200):
        town.membership.apply_member(TEAM.machine(number).record(region="r" * 64, addresses=()))
    answer = await ask(town, request().encode())
    assert len(answer.payload) <= MAX_ANSWER_BYTES < 64 * 1024
    members = decode_answer(answer.payload).members
    assert members[0] == A.record().encoded
    assert len(members) > 30


@given(st.binary(max_size=500))
def test_no_bytes_break_the_decoders(data: bytes) -> None:
    for decode in (decode_request, decode_answer):
        with pytest.raises((BadFrame, NewerFormat)):
            decode(data)


def test_a_request_never_prints_its_secret() -> None:
    assert SECRET.hex() not in repr(request()) and SECRET.decode() not in repr(request())
