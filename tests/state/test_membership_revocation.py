"""Revocations: who may say it, that it holds for good, and what becomes of those a revoked node had let in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadFrame, BadInput, NewerFormat, Refused
from inos.core.ids import OwnerId
from inos.crypto.signing import SigningKey
from inos.state.certificates import Fault, Grant, VerifiedMember, issue_certificate
from inos.state.membership import Membership
from inos.state.record import Record
from inos.state.records import MAX_VALUE_BYTES, sign_record
from inos.state.revocation import (
    MAX_KEEPS,
    REVOCATIONS,
    Revocation,
    decode_revocation,
    revoke_as_founder,
    revoke_as_owner,
)
from inos.testing.members import ISSUED_MS, Machine, Team, fixed_key

TEAM = Team()
FIRST = TEAM.machine("first")
ANNE = fixed_key("anne")
LAPTOP = TEAM.machine("laptop", owner=ANNE)
GUEST = TEAM.machine("guest", owner=fixed_key("guest"), issuer=LAPTOP)
GUESTS_GUEST = TEAM.machine("guest's guest", owner=fixed_key("guest"), issuer=GUEST)
ALL = (FIRST, LAPTOP, GUEST, GUESTS_GUEST)


def by_founder(node: bytes, *keeps: bytes, lamport: int = 2) -> Record:
    return revoke_as_founder(TEAM.founder, node, keeps=keeps, lamport=lamport, reason="lost", now_s=1e9)


def by_owner(machine: Machine, key: SigningKey | None = None, member: Record | None = None) -> Record:
    return revoke_as_owner(key or machine.owner, member or machine.record(), reason="lost", now_s=1e9)


def check(record: Record) -> None:
    table = Membership(TEAM.genesis).revocation_table()
    table.validate(record)
    table.authorise(record, None)


def admitted(membership: Membership) -> list[Machine]:
    return [machine for machine in ALL if membership.admits(machine.peer)]


def test_the_founder_revokes_anybody() -> None:
    membership = TEAM.membership(*ALL)
    record = by_founder(GUESTS_GUEST.node)
    check(record)
    assert membership.apply_revocation(record)
    assert membership.is_revoked(GUESTS_GUEST.node)
    assert admitted(membership) == [FIRST, LAPTOP, GUEST]
    assert GUESTS_GUEST.node not in membership.members()
    assert membership.verified(GUESTS_GUEST.node) is None
    assert membership.examine(GUESTS_GUEST.certificate.encode()) is Fault.REVOKED


def test_the_founder_revokes_a_node_nobody_has_heard_of() -> None:
    check(by_founder(bytes(32)))


def test_an_owner_revokes_its_own_node() -> None:
    membership = TEAM.membership(*ALL)
    record = by_owner(GUESTS_GUEST)
    check(record)
    membership.apply_revocation(record)
    assert admitted(membership) == [FIRST, LAPTOP, GUEST]


def test_nobody_else_revokes() -> None:
    with pytest.raises(Refused, match="only the founder or its owner"):
        check(by_owner(GUEST, key=ANNE))
    value = Revocation("because").encode()
    with pytest.raises(Refused, match="does not show who owns"):
        check(sign_record(LAPTOP.key, REVOCATIONS, GUEST.node, value, 1))


def test_an_inviter_cannot_revoke_by_certifying_somebody_elses_node_as_its_own() -> None:
    mesh = TEAM.genesis.mesh
    grant = Grant(mesh, FIRST.node, OwnerId(ANNE.public_key), True, ISSUED_MS, bytes(16))
    stolen = Machine(LAPTOP.key, ANNE, issue_certificate(LAPTOP.key, grant, LAPTOP.certificate))
    value = Revocation(member=stolen.record().encoded).encode()
    with pytest.raises(Refused, match="not the node's own record"):
        check(sign_record(ANNE, REVOCATIONS, FIRST.node, value, 1))


def test_the_enclosed_record_must_be_good() -> None:
    foreign = Team("other").machine("laptop", owner=ANNE)
    with pytest.raises(Refused, match="another mesh"):
        check(by_owner(foreign))
    wrong_table = sign_record(LAPTOP.key, "placement", LAPTOP.node, LAPTOP.record().value, 1)
    with pytest.raises(Refused, match="not the node's own record"):
        check(by_owner(LAPTOP, member=wrong_table))
    borrowed = Machine(LAPTOP.key, ANNE, GUEST.certificate)
    with pytest.raises(Refused, match="certificate of another node"):
        check(by_owner(borrowed))


def test_a_revocation_is_never_removed() -> None:
    removal = sign_record(TEAM.founder, REVOCATIONS, GUEST.node, b"", 9, removed=True)
    with pytest.raises(Refused, match="cannot be undone"):
        check(removal)


def test_the_founders_word_beats_an_owners() -> None:
    owners, founders = by_owner(LAPTOP), by_founder(LAPTOP.node, GUEST.node)
    for order in ((owners, founders), (founders, owners)):
        membership = TEAM.membership(*ALL)
        for record in order:
            membership.apply_revocation(record)
        assert admitted(membership) == [FIRST, GUEST, GUESTS_GUEST]


def test_lamports_keep_the_two_apart() -> None:
    late = sign_record(ANNE, REVOCATIONS, LAPTOP.node, by_owner(LAPTOP).value, 2)
    with pytest.raises(Refused, match="lamport 1"):
        check(late)
    early = sign_record(TEAM.founder, REVOCATIONS, LAPTOP.node, by_founder(LAPTOP.node).value, 1)
    with pytest.raises(Refused, match="above 1"):
        check(early)


def test_those_kept_stay_and_later_ones_do_not_get_in() -> None:
    membership = TEAM.membership(*ALL)
    assert membership.certified_by(LAPTOP.node) == {GUEST.node}
    membership.apply_revocation(by_founder(LAPTOP.node, *membership.certified_by(LAPTOP.node)))
    assert admitted(membership) == [FIRST, GUEST, GUESTS_GUEST]
    minted = TEAM.machine("minted with the stolen key", issuer=LAPTOP)
    assert membership.examine(minted.certificate.encode()) is Fault.REVOKED
    membership.apply_member(minted.record())
    assert not membership.admits(minted.peer) and minted.node not in membership.members()


def test_without_a_list_those_let_in_fall_too() -> None:
    membership = TEAM.membership(*ALL)
    membership.apply_revocation(by_founder(LAPTOP.node))
    assert admitted(membership) == [FIRST]


def test_a_later_list_brings_them_back() -> None:
    membership = TEAM.membership(*ALL)
    membership.apply_revocation(by_founder(LAPTOP.node))
    assert membership.apply_revocation(by_founder(LAPTOP.node, GUEST.node, lamport=3))
    assert admitted(membership) == [FIRST, GUEST, GUESTS_GUEST]


def test_an_owners_list_keeps_nobody() -> None:
    membership = TEAM.membership(*ALL)
    value = Revocation(keeps=frozenset({GUEST.node}), member=LAPTOP.record().encoded).encode()
    record = sign_record(ANNE, REVOCATIONS, LAPTOP.node, value, 1)
    check(record)
    membership.apply_revocation(record)
    assert admitted(membership) == [FIRST]


def test_a_fallen_guest_returns_with_a_new_certificate() -> None:
    membership = TEAM.membership(*ALL)
    membership.apply_revocation(by_founder(LAPTOP.node))
    again = TEAM.machine("guest", owner=GUEST.owner, issuer=FIRST)
    assert again.node == GUEST.node
    verified = membership.examine(again.certificate.encode())
    assert isinstance(verified, VerifiedMember)
    membership.welcome(verified)
    assert membership.admits(GUEST.peer)
    membership.apply_member(again.record(2))
    assert membership.members()[GUEST.node].owner == GUEST.owner.public_key


def test_a_revoked_node_does_not_return_with_a_new_certificate() -> None:
    membership = TEAM.membership(*ALL)
    membership.apply_revocation(by_founder(GUEST.node))
    again = TEAM.machine("guest", owner=GUEST.owner, issuer=FIRST)
    assert membership.examine(again.certificate.encode()) is Fault.REVOKED


def test_garbled_and_oversized_revocations_are_refused() -> None:
    with pytest.raises(BadInput):
        check(sign_record(TEAM.founder, REVOCATIONS, GUEST.node[:5], Revocation().encode(), 2))
    for bad in (Revocation("x" * 300), Revocation("\x1b[2J"), Revocation(keeps=frozenset({b"short"}))):
        with pytest.raises(BadFrame):
            decode_revocation(bad.encode())
    many = frozenset(number.to_bytes(32, "big") for number in range(MAX_KEEPS))
    assert len(Revocation("x" * 256, 1, many).encode()) <= MAX_VALUE_BYTES
    with pytest.raises(BadFrame, match="entries"):
        decode_revocation(Revocation(keeps=many | {b"\xff" * 32}).encode())


@given(st.binary(max_size=400))
def test_garbage_is_no_revocation(data: bytes) -> None:
    with pytest.raises((BadFrame, NewerFormat)):
        decode_revocation(data)


EVENTS = [
    *((Membership.apply_member, machine.record()) for machine in ALL),
    (Membership.apply_revocation, by_founder(LAPTOP.node, GUEST.node)),
    (Membership.apply_revocation, by_owner(LAPTOP)),
    (Membership.apply_revocation, by_owner(GUESTS_GUEST)),
]


@given(st.permutations(EVENTS))
@settings(max_examples=60)
def test_members_and_revocations_in_any_order_give_one_view(order: list[tuple[Any, Record]]) -> None:
    membership = Membership(TEAM.genesis)
    for apply, record in order:
        apply(membership, record)
    assert admitted(membership) == [FIRST, GUEST]
    assert set(membership.members()) == {FIRST.node, GUEST.node}
