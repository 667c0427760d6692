"""Weighted rendezvous hashing: golden order, stability under change, shares by weight, speed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.crypto.hashing import blake3_digest
from inos.state.rendezvous import best, ranked, ranked_evenly, score


def member(number: int) -> bytes:
    return blake3_digest(f"member {number}".encode())


def item(number: int) -> bytes:
    return blake3_digest(f"item {number}".encode())


MEMBERS = st.dictionaries(st.integers(0, 40).map(member), st.floats(0.01, 1000.0), min_size=1, max_size=20)


def test_golden_scores() -> None:
    golden = [0.753552242163, 5.00029791271, 1.60931934054, 21.9099471684]
    assert [score(item(0), member(n), 1.0) for n in range(4)] == pytest.approx(golden, rel=1e-11)
    assert score(b"", b"", 2.5) == pytest.approx(0.727665201346, rel=1e-11)


def test_golden_order() -> None:
    members = {member(n): 1.0 + n % 3 for n in range(8)}
    numbers = {member(n): n for n in range(8)}
    assert [numbers[m] for m in ranked(item(1), members)] == [3, 4, 2, 1, 5, 7, 0, 6]


@settings(max_examples=60)
@given(st.binary(max_size=64), MEMBERS)
def test_ranked_is_by_score_and_independent_of_insertion_order(key: bytes, members: dict[bytes, float]) -> None:
    order = ranked(key, members)
    scores = [score(key, m, members[m]) for m in order]
    assert scores == sorted(scores, reverse=True)
    assert ranked(key, dict(reversed(members.items()))) == order
    assert sorted(order) == sorted(members)


@settings(max_examples=60)
@given(st.binary(max_size=64), MEMBERS, st.data())
def test_removing_a_member_moves_only_its_items(key: bytes, members: dict[bytes, float], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(members)))
    rest = {m: w for m, w in members.items() if m != gone}
    assert ranked(key, rest) == [m for m in ranked(key, members) if m != gone]


@settings(max_examples=60)
@given(st.binary(max_size=64), MEMBERS, st.floats(1.0, 50.0), st.data())
def test_more_weight_never_loses_a_place(
    key: bytes, members: dict[bytes, float], factor: float, data: st.DataObject
) -> None:
    one = data.draw(st.sampled_from(sorted(members)))
    heavier = members | {one: members[one] * factor}
    assert ranked(key, heavier).index(one) <= ranked(key, members).index(one)


@settings(max_examples=40)
@given(st.binary(max_size=64), MEMBERS, st.integers(0, 25))
def test_best_is_the_head_of_ranked(key: bytes, members: dict[bytes, float], count: int) -> None:
    assert best(key, members, count) == ranked(key, members)[:count]


def test_weightless_members_are_left_out() -> None:
    members = {member(0): 1.0, member(1): 0.0, member(2): -1.0, member(3): float("nan")}
    assert ranked(item(0), members) == [member(0)]
    assert score(item(0), member(1), 0.0) == 0.0


def test_share_is_proportional_to_weight() -> None:
    members = {member(0): 1.0, member(1): 2.0, member(2): 5.0}
    firsts = Counter(best(item(n), members, 1)[0] for n in range(8000))
    for one, weight in members.items():
        assert firsts[one] / 8000 == pytest.approx(weight / 8.0, abs=0.02)


def test_a_mesh_of_700_ranks_a_hundred_items_quickly() -> None:
    members = {member(n): 1.0 for n in range(700)}
    orders = [best(item(n), members, 7) for n in range(100)]
    load = Counter(m for order in orders for m in order)
    assert max(load.values()) <= 8


@given(st.binary(max_size=40), st.sets(st.binary(min_size=32, max_size=32), max_size=30))
def test_even_weights_need_no_logarithm(item: bytes, members: set[bytes]) -> None:
    assert ranked_evenly(item, members) == ranked(item, dict.fromkeys(members, 1.0))
