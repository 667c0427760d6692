"""Admission: who is welcomed over a connection, who is not, and that every refusal is counted by its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core import codec
from inos.core.errors import NotAMember, PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh.admission import JoinerAdmission, MemberAdmission
from inos.mesh.network import Message
from inos.sim.fabric import MemoryFabric
from inos.sim.network import MemoryNetwork
from inos.state.hello import Hello, decode_hello
from inos.state.membership import Membership
from inos.state.revocation import revoke_as_founder
from inos.testing.env import SimEnv
from inos.testing.members import Machine, Team
from inos.testing.run import trio_test

TEAM = Team()
A, B = TEAM.machine("a"), TEAM.machine("b")


def admission(membership: Membership | None = None, me: Machine = A) -> MemberAdmission:
    register = membership or TEAM.membership()
    return MemberAdmission(register, me.certificate.encode(), lambda: [me.address])


def hello(machine: Machine = B, **changes: object) -> bytes:
    return replace(Hello(machine.certificate.encode(), (machine.address,)), **changes).encode()  # type: ignore[arg-type]


def refused(door: MemberAdmission, peer: PeerId, shown: bytes) -> str:
    before = door.refusals.copy()
    with pytest.raises(NotAMember):
        door.welcome(peer, shown)
    assert not door.admits(peer)
    (reason,) = door.refusals - before
    return reason


def test_a_member_shows_itself_and_is_admitted() -> None:
    door, other = admission(), admission(me=B)
    assert not door.admits(B.peer)
    door.welcome(B.peer, other.hello())
    assert door.admits(B.peer)
    assert not door.refusals


def test_a_hello_holds_certificate_and_addresses() -> None:
    shown = decode_hello(admission().hello())
    assert shown == Hello(A.certificate.encode(), (A.address,))


def test_addresses_are_passed_on() -> None:
    heard: list[tuple[PeerId, Sequence[str]]] = []
    door = admission()
    door.on_welcome(lambda peer, addresses: heard.append((peer, addresses)))
    door.welcome(B.peer, hello())
    assert heard == [(B.peer, (B.address,))]


def test_each_refusal_has_its_reason() -> None:
    door = admission()
    forged = replace(B.certificate, signature=bytes(64))
    guest = TEAM.machine("guest", may_invite=False)
    unchained = replace(TEAM.machine("x", issuer=A).certificate, chain=(guest.certificate,))
    later = codec.encode("p2p/mesh.capnp:Hello", version=2)
    assert refused(door, B.peer, b"garbage") == "garbled"
    assert refused(door, B.peer, hello(certificate=b"garbage")) == "garbled"
    assert refused(door, B.peer, hello(addresses=(A.address,))) == "garbled"
    assert refused(door, B.peer, hello(addresses=(B.address,) * 17)[:-8]) == "garbled"
    assert refused(door, B.peer, later) == "newer"
    assert refused(door, B.peer, Hello().encode()) == "no_certificate"
    assert refused(door, B.peer, hello(certificate=A.certificate.encode())) == "wrong_key"
    assert refused(door, B.peer, hello(certificate=forged.encode())) == "forged"
    assert refused(door, B.peer, hello(certificate=unchained.encode())) == "unchained"
    assert refused(door, B.peer, hello(certificate=Team("other").machine("b").certificate.encode())) == "foreign"


def test_a_revoked_member_is_refused_and_thrown_out() -> None:
    membership = TEAM.membership()
    door = admission(membership)
    door.welcome(B.peer, hello())
    membership.apply_revocation(revoke_as_founder(TEAM.founder, B.node, keeps=(), lamport=2, reason="lost", now_s=0))
    assert not door.admits(B.peer)
    assert refused(door, B.peer, hello()) == "revoked"


@given(st.binary(max_size=300))
def test_garbage_is_never_welcome(data: bytes) -> None:
    with pytest.raises(NotAMember):
        admission().welcome(B.peer, data)


def test_a_joiner_admits_nobody_until_it_is_a_member() -> None:
    door = JoinerAdmission()
    assert decode_hello(door.hello()) == Hello()
    assert not door.admits(B.peer)
    with pytest.raises(NotAMember, match="not a member of a mesh yet"):
        door.welcome(B.peer, hello())
    door.become(admission())
    door.welcome(B.peer, hello())
    assert door.admits(B.peer)
    assert decode_hello(door.hello()).certificate == A.certificate.encode()


def networks(*machines: Machine, membership: Membership) -> list[MemoryNetwork]:
    fabric = MemoryFabric(SimEnv())
    return [fabric.join(machine.peer, admission(membership, machine)) for machine in machines]


@trio_test
async def test_members_meet_over_a_network() -> None:
    a, b = networks(A, B, membership=TEAM.membership())
    assert await a.connect(b.addresses(), timeout_s=1) == B.peer
    assert a.connected() == {B.peer} and b.connected() == {A.peer}


@trio_test
async def test_a_stranger_is_refused_before_anything_is_served() -> None:
    stranger = Team("other").machine("stranger")
    a, b = networks(A, stranger, membership=TEAM.membership())
    asked: list[PeerId] = []

    async def secret(peer: PeerId, _request: Message) -> Message:
        asked.append(peer)
        return Message(b"secret")

    a.serve("chunk.get", secret)
    with pytest.raises(NotAMember):
        await b.connect(a.addresses(), timeout_s=1)
    with pytest.raises(PeerUnavailable):
        await b.call(A.peer, "chunk.get", Message(), timeout_s=1)
    with pytest.raises(NotAMember):
        await b.ask(a.addresses(), "chunk.get", Message(), timeout_s=1)
    assert not asked


@trio_test
async def test_revocation_ends_service_on_an_open_connection() -> None:
    membership = TEAM.membership()
    a, b = networks(A, B, membership=membership)

    async def answer(_peer: PeerId, request: Message) -> Message:
        return request

    a.serve("echo", answer)
    await b.connect(a.addresses(), timeout_s=1)
    assert await b.call(A.peer, "echo", Message(b"x"), timeout_s=1) == Message(b"x")
    membership.apply_revocation(revoke_as_founder(TEAM.founder, B.node, keeps=(), lamport=2, reason="", now_s=0))
    with pytest.raises(NotAMember):
        await b.call(A.peer, "echo", Message(b"x"), timeout_s=1)
