"""Schemes against the tables of the specification, and against what must hold for every size and mesh."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.replication.scheme import (
    DEFAULT_RULES,
    GB,
    KB,
    MAX_STRIPE_SHARDS,
    MB,
    MIN_COPIES,
    MIN_PARITY_SHARE,
    UNREADABLE_TARGET,
    PlanRules,
    base_members,
    choose_plan,
    shards_needed,
    unreadable_chance,
)

nodes_there = st.integers(1, 700)
availability = st.floats(0.5, 1.0)
sizes = st.integers(0, 100 * GB)


@pytest.mark.parametrize(
    ("size", "members"),
    [
        (0, 5),
        (MB - 1, 5),
        (MB, 10),
        (10 * MB - 1, 10),
        (10 * MB, 30),
        (100 * MB - 1, 30),
        (100 * MB, 100),
        (GB - 1, 100),
        (GB, 300),
        (10 * GB - 1, 300),
        (10 * GB, 500),
        (1000 * GB, 500),
    ],
)
def test_members_by_size(size: int, members: int) -> None:
    assert base_members(size) == members
    assert choose_plan(size, [1.0] * 700).members == members


@pytest.mark.parametrize(("size", "copied"), [(KB, True), (100 * MB - 1, True), (100 * MB, False), (20 * GB, False)])
def test_stripes_replace_copies_from_100_mb(size: int, copied: bool) -> None:
    assert choose_plan(size, [0.99] * 50).scheme.is_copies is copied


def test_the_stripe_of_a_large_mesh_is_that_of_the_specification() -> None:
    scheme = choose_plan(20 * GB, [0.99] * 700).scheme
    assert (scheme.data_shards, scheme.parity_shards) == (100, 20)


@pytest.mark.parametrize(("nodes", "scheme"), [(1, "copies"), (5, "copies"), (6, "2+2"), (7, "3+2"), (8, "4+2")])
def test_stripes_of_small_meshes(nodes: int, scheme: str) -> None:
    assert str(choose_plan(GB, [1.0] * nodes).scheme) == scheme


@given(sizes, nodes_there, availability, st.integers(0, 5))
def test_what_holds_for_every_plan(size: int, nodes: int, mean: float, tolerated: int) -> None:
    plan = choose_plan(size, [mean] * nodes, PlanRules(tolerated_losses=tolerated))
    data, parity = plan.scheme.data_shards, plan.scheme.parity_shards
    assert 1 <= plan.members <= nodes
    assert MIN_COPIES <= plan.copies <= max(7, plan.scheme.parity_shards + 1)
    assert plan.copies > plan.scheme.parity_shards  # what says where the pieces are outlives what they outlive
    if plan.scheme.is_copies:
        assert shards_needed(plan.scheme, plan.copies) == plan.copies
        return
    assert size >= DEFAULT_RULES.erasure_from_bytes
    assert parity >= MIN_PARITY_SHARE * data
    assert parity >= tolerated
    assert data + parity <= min(nodes - tolerated, MAX_STRIPE_SHARDS)
    assert shards_needed(plan.scheme, plan.copies) <= plan.members
    assert unreadable_chance(data + parity, parity, mean) <= UNREADABLE_TARGET


@given(st.integers(1, 9), st.integers(0, 9), st.floats(0.0, 1.0))
def test_the_chance_of_being_unreadable_is_that_of_all_cases_together(shards: int, parity: int, mean: float) -> None:
    expected = 0.0
    for there in itertools.product((True, False), repeat=shards):
        if there.count(False) > parity:
            expected += mean ** there.count(True) * (1 - mean) ** there.count(False)
    assert unreadable_chance(shards, parity, mean) == pytest.approx(expected, abs=1e-9)


@given(availability, availability)
def test_less_reliable_nodes_never_get_less_redundancy(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert choose_plan(KB, [low] * 20).copies >= choose_plan(KB, [high] * 20).copies


def test_a_mesh_of_nobody_still_has_this_node() -> None:
    assert choose_plan(GB, []).members == 1
