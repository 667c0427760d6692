"""The membership view: who counts, in whatever order one hears of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core import codec
from inos.core.errors import BadFrame, BadInput, NewerFormat, NotAMember, Refused
from inos.core.ids import PeerId
from inos.state import membership as membership_module
from inos.state.capability import (
    MAX_ADDRESSES,
    MAX_CAPABILITY_BYTES,
    MAX_WEIGHT,
    Capability,
    decode_capability,
)
from inos.state.certificates import Fault, VerifiedMember
from inos.state.membership import Membership
from inos.state.record import Record
from inos.state.records import MAX_VALUE_BYTES, sign_record
from inos.state.revocation import MEMBERS
from inos.testing.members import Machine, Team, fixed_key

TEAM = Team()
A, B = TEAM.machine("a"), TEAM.machine("b")
GUEST = TEAM.machine("guest", owner=fixed_key("guest owner"), issuer=A, may_invite=False)


def check(record: Record, membership: Membership | None = None) -> None:
    table = (membership or TEAM.membership()).member_table()
    table.validate(record)
    table.authorise(record, None)


def welcomed(membership: Membership, machine: Machine) -> VerifiedMember | Fault:
    found = membership.examine(machine.certificate.encode())
    if isinstance(found, VerifiedMember):
        membership.welcome(found)
    return found


def test_a_record_makes_a_member() -> None:
    membership = TEAM.membership()
    assert not membership.admits(GUEST.peer)
    record = GUEST.record(storage_bytes=3 << 30, used_bytes=1, region="eu", profile="laptop", name="desk", cores=8)
    check(record)
    assert membership.apply_member(record)
    member = membership.members()[GUEST.node]
    assert (member.peer, member.owner, member.may_invite) == (GUEST.peer, GUEST.owner.public_key, False)
    assert (member.region, member.profile, member.name, member.cores) == ("eu", "laptop", "desk", 8)
    assert member.addresses == (GUEST.address,)
    assert member.weight == 3.0
    assert membership.admits(GUEST.peer)
    assert membership.record_of(GUEST.node) == record and membership.records() == [record]


def test_weight_is_bounded() -> None:
    membership = TEAM.membership()
    membership.apply_member(A.record(storage_bytes=2**64 - 1))
    membership.apply_member(B.record(storage_bytes=0))
    assert membership.members()[A.node].weight == MAX_WEIGHT
    assert membership.members()[B.node].weight == 0


def test_the_newest_record_holds() -> None:
    membership = TEAM.membership()
    assert membership.apply_member(A.record(5, name="new"))
    assert not membership.apply_member(A.record(4, name="old"))
    assert not membership.apply_member(A.record(5, name="new"))
    assert membership.members()[A.node].name == "new"


def test_members_is_a_live_view_nobody_can_write() -> None:
    membership = TEAM.membership()
    members = membership.members()
    membership.apply_member(A.record())
    assert A.node in members
    with pytest.raises(TypeError):
        members[A.node] = members[A.node]  # type: ignore[index]


def test_leaving_is_a_record_too() -> None:
    membership = TEAM.membership(A, B)
    gone = sign_record(A.key, MEMBERS, A.node, b"", 2, removed=True)
    check(gone)
    assert membership.apply_member(gone)
    assert A.node not in membership.members() and not membership.admits(A.peer)
    assert welcomed(membership, A) == membership.verified(A.node)
    assert membership.admits(A.peer)


def test_a_shown_certificate_admits_before_any_record() -> None:
    membership = TEAM.membership()
    verified = welcomed(membership, GUEST)
    assert isinstance(verified, VerifiedMember) and verified.peer == GUEST.peer
    assert membership.admits(GUEST.peer)
    assert GUEST.node not in membership.members()
    membership.apply_member(GUEST.record())
    assert GUEST.node in membership.members()


def test_what_is_examined_is_judged_but_not_admitted() -> None:
    membership = TEAM.membership()
    assert membership.examine(Team("other").machine("a").certificate.encode()) is Fault.FOREIGN
    forged = replace(A.certificate, signature=bytes(64))
    assert membership.examine(forged.encode()) is Fault.FORGED
    assert isinstance(membership.examine(A.certificate.encode()), VerifiedMember)
    with pytest.raises(BadFrame):
        membership.examine(b"garbage")
    assert not membership.admits(A.peer)


def test_a_known_node_cannot_slip_in_a_forged_certificate() -> None:
    membership = TEAM.membership(A)
    forged = replace(A.certificate, signature=bytes(64))
    assert membership.examine(forged.encode()) is Fault.FORGED


def test_those_shown_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership_module, "MAX_SHOWN", 2)
    membership = TEAM.membership()
    machines = [TEAM.machine(number) for number in range(3)]
    for machine in machines:
        welcomed(membership, machine)
    assert [membership.admits(machine.peer) for machine in machines] == [False, True, True]


def test_nobody_signs_for_another_node() -> None:
    value = Capability(certificate=A.certificate.encode()).encode()
    with pytest.raises(Refused, match="signed by the node itself"):
        check(sign_record(B.key, MEMBERS, A.node, value, 1))
    with pytest.raises(Refused, match="signed by the node itself"):
        check(sign_record(B.key, MEMBERS, A.node, b"", 1, removed=True))


def test_nobody_borrows_a_certificate() -> None:
    value = Capability(certificate=A.certificate.encode()).encode()
    with pytest.raises(Refused, match="of another node"):
        check(sign_record(B.key, MEMBERS, B.node, value, 1))


@pytest.mark.parametrize("name", ["other"])
def test_a_record_of_another_mesh_is_refused(name: str) -> None:
    with pytest.raises(NotAMember, match="another mesh"):
        check(Team(name).machine("a").record())


def test_a_record_with_a_forged_certificate_is_refused() -> None:
    forged = replace(A, certificate=replace(A.certificate, signature=bytes(64)))
    with pytest.raises(NotAMember, match="signature"):
        check(forged.record())
    membership = TEAM.membership(A)
    with pytest.raises(NotAMember):
        membership.apply_member(forged.record(9))
    assert membership.record_of(A.node) == A.record()


@pytest.mark.parametrize(
    "said",
    [
        {"addresses": (B.address,)},
        {"addresses": (f"{A.address}/p2p-circuit",)},
        {"addresses": (A.address,) * (MAX_ADDRESSES + 1)},
        {"addresses": ("/ip4/10.0.0.1/" + "x" * 300 + f"/p2p/{A.peer}",)},
        {"name": "evil\x1b[31m"},
        {"name": "x" * 64},
        {"region": "x" * 65},
        {"profile": "\n"},
    ],
)
def test_a_record_is_bounded_and_about_its_own_node(said: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        check(A.record(**said))


def test_a_key_of_another_size_is_refused() -> None:
    value = Capability(certificate=A.certificate.encode()).encode()
    with pytest.raises(BadFrame):
        check(sign_record(A.key, MEMBERS, A.node[:31], value, 1))


def test_capabilities_return_whole_and_fit_in_a_record() -> None:
    said = Capability(b"c" * 1000, ("/ip4/1.2.3.4/tcp/1/p2p/x",), "eu", "hub", 2**63, 5, 64, 2**40, "büro")
    assert decode_capability(said.encode()) == said
    assert MAX_CAPABILITY_BYTES < MAX_VALUE_BYTES
    with pytest.raises(NewerFormat):
        decode_capability(codec.encode("p2p/mesh.capnp:PeerCapability", version=2))


@given(st.binary(max_size=400))
def test_garbage_is_no_capability(data: bytes) -> None:
    with pytest.raises((BadFrame, NewerFormat)):
        decode_capability(data)


MACHINES = [A, B, GUEST, TEAM.machine("c")]
RECORDS = [machine.record(lamport) for machine in MACHINES for lamport in (1, 2)] + [
    sign_record(B.key, MEMBERS, B.node, b"", 2, removed=True)
]


@given(st.permutations(RECORDS), st.lists(st.sampled_from(RECORDS), max_size=4))
@settings(max_examples=60)
def test_order_and_repetition_do_not_matter(order: list[Record], again: list[Record]) -> None:
    membership, plain = TEAM.membership(), TEAM.membership()
    for record in [*order, *again]:
        membership.apply_member(record)
    for record in RECORDS:
        plain.apply_member(record)
    assert dict(membership.members()) == dict(plain.members())
    assert {peer(machine): membership.admits(machine.peer) for machine in MACHINES} == {
        peer(machine): machine is not B for machine in MACHINES
    }


def peer(machine: Machine) -> PeerId:
    return machine.peer
