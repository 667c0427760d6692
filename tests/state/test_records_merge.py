"""Merging versions, logical time, sectors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import Conflict
from inos.crypto.hashing import blake3_digest
from inos.state.lamport import GENERATION, LAMPORT_LIMIT, MAX_JUMP, LamportClock, derived
from inos.state.merge import newest, supersedes
from inos.state.record import Record
from inos.state.sectors import SECTORS, replica_count, replicas, sector_of
from inos.state.tables import Scope, TableSpec


def version(lamport: int, encoded: bytes = b"e", removed: bool = False) -> Record:
    return Record("t", b"k", b"", removed, lamport, b"a" * 32, encoded)


VERSIONS = st.builds(version, st.integers(1, 3), st.sampled_from([b"a", b"b", b"c"]), st.booleans())


@given(st.lists(VERSIONS, min_size=1, max_size=4))
def test_any_order_any_number_of_times_gives_the_same(versions: list[Record]) -> None:
    ends = set()
    for order in permutations(versions):
        held: Record | None = None
        for one in (*order, *order):
            if supersedes(one, held):
                held = one
        ends.add(held)
    assert ends == {newest(versions)}


@given(VERSIONS, VERSIONS)
def test_the_order_is_total(a: Record, b: Record) -> None:
    assert [supersedes(a, b), supersedes(b, a), a == b].count(True) == 1


def test_later_wins_and_removal_wins_a_tie() -> None:
    assert supersedes(version(2), version(1, removed=True))
    assert supersedes(version(1, b"a", removed=True), version(1, b"z"))
    assert supersedes(version(1), None)
    assert newest([None, None]) is None


def test_ticks_only_grow() -> None:
    clock = LamportClock()
    assert [clock.tick(), clock.tick(), clock.tick(after=10), clock.tick()] == [1, 2, 11, 12]
    clock.observe(5)
    assert clock.tick() == 13
    clock.observe(100)
    assert clock.tick() == 101


def test_a_liar_cannot_end_logical_time() -> None:
    clock = LamportClock()
    absurd = LAMPORT_LIMIT - 2
    clock.observe(absurd)
    assert clock.now == MAX_JUMP
    assert clock.tick(after=absurd) == LAMPORT_LIMIT - 1
    assert clock.now <= 2 * MAX_JUMP
    with pytest.raises(Conflict):
        clock.tick(after=LAMPORT_LIMIT - 1)
    assert clock.tick() < 2 * MAX_JUMP + 2


def test_removing_beats_repairing_elsewhere() -> None:
    owner, steward = LamportClock(), LamportClock()
    created = owner.open_generation()
    repair = created
    for _ in range(50):
        repair = derived(repair)
    steward.observe(10 * GENERATION)
    removal = owner.open_generation(after=created)
    assert removal > repair
    assert owner.open_generation(after=removal) > removal
    with pytest.raises(Conflict):
        derived(created + GENERATION - 1)


def test_a_sector_comes_from_the_partition_alone() -> None:
    spec = TableSpec("t", Scope.SECTORS, lambda _: None, lambda *_: None, partition_bytes=4)
    assert spec.sector_of(b"ownra") == spec.sector_of(b"ownrb") == sector_of(b"ownr")
    assert replace(spec, scope=Scope.EVERYWHERE).sector_of(b"ownr") == 0
    assert {sector_of(str(n).encode()) for n in range(2000)} == set(range(SECTORS))


def test_golden_sectors() -> None:
    members = {blake3_digest(bytes([n])): 1.0 for n in range(30)}
    numbers = {blake3_digest(bytes([n])): n for n in range(30)}
    assert sector_of(b"inos") == 53
    assert [numbers[m] for m in replicas("placement", 5, members)] == [5, 2, 8, 16, 24, 1, 13]


@pytest.mark.parametrize(("members", "count"), [(1, 5), (19, 5), (20, 7), (700, 7)])
def test_replicas_five_then_seven(members: int, count: int) -> None:
    assert replica_count(members) == count
    weights = {blake3_digest(bytes([n % 256, n // 256])): 1.0 for n in range(members)}
    assert len(replicas("t", 0, weights)) == min(count, members)


@settings(max_examples=20)
@given(st.integers(8, 19), st.integers(0, 7))
def test_a_member_that_leaves_moves_one_replica_of_its_sectors(size: int, gone: int) -> None:
    members = {blake3_digest(bytes([n])): 1.0 for n in range(size)}
    left = blake3_digest(bytes([gone]))
    rest = {m: w for m, w in members.items() if m != left}
    for sector in range(8):
        before, after = replicas("t", sector, members), replicas("t", sector, rest)
        assert set(before) - {left} <= set(after)


def test_sectors_are_spread() -> None:
    members = {blake3_digest(bytes([n])): 1.0 for n in range(10)}
    load = Counter(m for sector in range(SECTORS) for m in replicas("t", sector, members))
    assert sum(load.values()) == SECTORS * 5
    assert max(load.values()) < 2 * SECTORS * 5 / 10
