"""Counting how many nodes may be lost, against trying every set of losses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.ids import Address
from inos.replication.durability import UNREADABLE, Group, group_losses, quorum_losses, survivable_losses

NODES = [bytes([number]) * 32 for number in range(6)]


def address(number: int) -> Address:
    return Address(number.to_bytes(32, "big"))


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """Copies of one piece on different nodes, or a stripe of distinct shards wherever they lie."""
    if draw(st.booleans()):
        holders = tuple(draw(st.lists(st.sampled_from(NODES), min_size=1, unique=True)))
        return Group(1, (address(0),) * len(holders), (1,) * len(holders), holders)
    holders = tuple(draw(st.lists(st.sampled_from(NODES), min_size=2, max_size=7)))
    need = draw(st.integers(1, len(holders) - 1))
    return Group(need, tuple(map(address, range(len(holders)))), (1,) * len(holders), holders)


def readable(group: Group, there: Collection[bytes]) -> bool:
    return sum(holder in there for holder in group.holders) >= group.need


def by_trying(all_groups: Sequence[Group], good: Sequence[bytes]) -> int:
    """The largest number of nodes of which any may be lost with every group still readable."""
    if not all(readable(group, good) for group in all_groups):
        return UNREADABLE
    for count in range(1, len(good) + 1):
        for lost in combinations(good, count):
            left = set(good).difference(lost)
            if not all(readable(group, left) for group in all_groups):
                return count - 1
    return len(good)


@given(st.lists(groups(), min_size=1, max_size=4), st.lists(st.sampled_from(NODES), unique=True))
def test_it_is_the_number_found_by_trying_every_loss(some: list[Group], good: list[bytes]) -> None:
    assert survivable_losses(some, good) == by_trying(some, good)
    assert min(group_losses(group, good) for group in some) == survivable_losses(some, good)


def test_an_object_without_groups_survives_nothing() -> None:
    assert survivable_losses([], NODES) == 0


@pytest.mark.parametrize(("wanted", "quorum"), [(0, 0), (1, 1), (2, 1), (4, 2), (5, 3), (6, 3), (20, 10)])
def test_a_quorum_is_half_of_the_losses_wanted(wanted: int, quorum: int) -> None:
    assert quorum_losses(wanted) == quorum
