"""Making tickets: the right to, their lifetime, and whom they name."""

from __future__ import annotations

import pytest

from inos.core.errors import BadInput
from inos.mesh.invite import MAX_LIFETIME_S, MIN_LIFETIME_S, Wish, invite, may_invite
from inos.state.membership import Membership
from inos.state.tickets import MAX_ADDRESSES, parse_ticket
from inos.testing.env import EPOCH_S, SimEnv
from inos.testing.members import Machine, Team
from inos.testing.run import sim_test

TEAM = Team()
A, B, C = (TEAM.machine(name) for name in "abc")
GUEST = TEAM.machine("guest", may_invite=False)
WISH = Wish(3600.0)


def by(machine: Machine, membership: Membership, wish: Wish = WISH, addresses: int = 1) -> list[str]:
    mine = [machine.address] * addresses
    return list(invite(SimEnv(), machine.key, membership, mine, wish).addresses)


@sim_test
async def test_a_ticket_holds_what_was_wished() -> None:
    membership = TEAM.membership(A)
    made = invite(SimEnv(), A.key, membership, [A.address], Wish(3600.0, single_use=True, may_invite=True))
    terms = parse_ticket(made.text()).invitation.terms
    assert terms.expires_ms == int((EPOCH_S + 3600) * 1000)
    assert terms.single_use and terms.may_invite
    assert made.invitation.is_signed() and made.invitation.issuer == A.node
    again = invite(SimEnv(1), A.key, membership, [A.address], WISH)
    assert again.secret != made.secret and again.invitation.id != made.invitation.id


@sim_test
async def test_a_single_use_ticket_names_its_maker_only() -> None:
    assert by(A, TEAM.membership(A, B)) == [A.address]


@sim_test
async def test_a_ticket_for_many_names_others_that_may_invite() -> None:
    wish = Wish(3600.0, single_use=False)
    membership = TEAM.membership(A, B, C, GUEST)
    assert by(A, membership, wish)[0] == A.address
    assert set(by(A, membership, wish)) == {A.address, B.address, C.address}
    assert len(by(A, membership, wish, addresses=20)) == MAX_ADDRESSES // 2 + 2


@sim_test
async def test_who_may_not_invite_makes_tickets_for_the_founder_only() -> None:
    membership = TEAM.membership(A, GUEST)
    assert by(GUEST, membership) == [GUEST.address]
    assert [may_invite(machine.key, membership) for machine in (A, GUEST, C)] == [True, False, False]


@sim_test
async def test_a_lifetime_has_bounds() -> None:
    for lifetime_s in (0.0, MIN_LIFETIME_S - 1, MAX_LIFETIME_S + 1, float("inf"), float("nan"), -5.0):
        with pytest.raises(BadInput, match="between a second and 30 days"):
            by(A, TEAM.membership(A), Wish(lifetime_s))


@sim_test
async def test_a_node_nobody_can_reach_makes_no_ticket() -> None:
    with pytest.raises(BadInput, match="no address"):
        by(A, TEAM.membership(A), addresses=0)
