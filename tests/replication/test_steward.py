"""Who is in charge of an object and who should hold it: nobody who is there is ever dropped."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from inos.core.ids import Cid, OwnerId
from inos.objects.layout import COPIES, Scheme
from inos.replication.placement import Candidate, Placement
from inos.replication.scheme import shards_needed
from inos.replication.steward import margin, members_wanted, steward_of

NODES = [bytes([number]) * 32 for number in range(12)]
CID = Cid(b"\x07" * 32)
node_sets = st.sets(st.sampled_from(NODES))
schemes = st.sampled_from([COPIES, Scheme(3, 2), Scheme(5, 4)])


def placed(members: list[bytes], scheme: Scheme = COPIES) -> Placement:
    return Placement(CID, OwnerId(bytes(32)), scheme, 5, tuple(members), 1000, 1)


@given(st.lists(st.sampled_from(NODES), min_size=1, unique=True), node_sets)
def test_the_steward_is_a_live_member_and_the_same_for_everybody(members: list[bytes], alive: set[bytes]) -> None:
    steward = steward_of(CID, members, alive)
    assert steward == steward_of(CID, sorted(members), set(alive))
    assert (steward in alive and steward in members) if alive.intersection(members) else steward is None


@given(st.lists(st.sampled_from(NODES), min_size=2, unique=True), node_sets)
def test_the_steward_stays_while_it_is_there(members: list[bytes], alive: set[bytes]) -> None:
    steward = steward_of(CID, members, alive)
    assume(steward is not None)
    for other in alive - {steward}:
        assert steward_of(CID, members, alive - {other}) == steward


@given(st.lists(st.sampled_from(NODES), min_size=1, unique=True), node_sets, node_sets, schemes)
def test_wanted_members(members: list[bytes], gone: set[bytes], there: set[bytes], scheme: Scheme) -> None:
    placement = placed(members, scheme)
    candidates = [Candidate(key, 1.0, 0.0) for key in sorted(there)]
    wanted = members_wanted(placement, gone, candidates)
    staying = [member for member in members if member not in gone]
    assert list(wanted[: len(staying)]) == staying  # who is there stays, in order
    assert not gone.intersection(wanted)
    assert len(set(wanted)) == len(wanted)
    assert set(wanted) <= set(staying) | there
    needed = shards_needed(scheme, placement.copies)
    assert len(wanted) == max(len(staying), min(needed, len(set(staying) | (there - gone))))


@given(st.lists(st.sampled_from(NODES), min_size=1, unique=True), node_sets, schemes)
def test_losing_one_more_member_brings_an_object_nearer_to_loss(
    members: list[bytes], alive: set[bytes], scheme: Scheme
) -> None:
    placement = placed(members, scheme)
    for member in alive.intersection(members):
        assert margin(placement, alive - {member}) < margin(placement, alive)


def test_fewer_copies_are_nearer_to_loss_than_more() -> None:
    assert margin(placed(NODES[:2]), NODES) < margin(placed(NODES[:5]), NODES)
    assert margin(placed(NODES[:5], Scheme(3, 2)), NODES) < margin(placed(NODES[:5]), NODES)
