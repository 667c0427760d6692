"""Fair shares: whoever takes all there is to take leaves room for the next, and a rate is what it says over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import Busy
from inos.core.messages.shares import BURST_S, MAX_KNOWN, Rates, Room


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def filled(room: Room, who: str) -> int:
    """How much `who` gets, one by one."""
    count = 0
    while True:
        try:
            room.take(who)
        except Busy:
            return count
        count += 1


@given(st.integers(20, 2_000), st.integers(1, 4))
def test_those_who_flood_leave_room_for_the_next(most: int, flooding: int) -> None:
    room = Room(most, "messages wait")
    got = [filled(room, f"flood-{number}") for number in range(flooding)]
    assert got[0] in (most // 2, (most + 1) // 2)
    room.take("quiet")
    room.give("quiet")
    for number, count in enumerate(got):
        room.give(f"flood-{number}", count)
    assert room.used == 0


def test_one_that_is_refused_took_nothing() -> None:
    room = Room(10, "messages wait")
    with pytest.raises(Busy, match="too many messages wait at once"):
        room.take("a", 11)
    room.take("a", 5)
    with pytest.raises(Busy):
        room.take("a")
    room.take("b", 2)
    assert room.used == 7


@given(st.integers(1, 5_000), st.lists(st.tuples(st.integers(1, 500), st.floats(0, 3)), min_size=1, max_size=50))
def test_over_time_an_agent_gets_its_rate_and_one_burst(per_s: int, course: list[tuple[int, float]]) -> None:
    clock = Clock()
    rates, taken, largest = Rates(per_s, clock), 0, 0
    for count, pause_s in course:
        clock.now_s += pause_s
        try:
            rates.take({"a": count})
            taken, largest = taken + count, max(largest, count)
        except Busy as busy:
            clock.now_s += busy.retry_after_s + 1e-6
            rates.take({"a": count})  # that is when it may come again
            taken, largest = taken + count, max(largest, count)
    assert taken <= per_s * (clock.now_s - 100.0 + BURST_S) * 1.001 + largest


def test_one_that_writes_too_much_costs_no_other_anything() -> None:
    rates = Rates(10, Clock())
    rates.take({"flood": 500})
    with pytest.raises(Busy) as busy:
        rates.take({"flood": 1})
    assert busy.value.retry_after_s == pytest.approx(500 / 10 - BURST_S)
    with pytest.raises(Busy):
        rates.take({"quiet": 1, "flood": 1})
    for _ in range(20):
        rates.take({"quiet": 1})
    rates.take({})


def test_what_is_remembered_is_bounded_and_whoever_owes_most_stays() -> None:
    clock = Clock()
    rates = Rates(1, clock)
    rates.take({"flood": 100_000})
    for number in range(3 * MAX_KNOWN):
        rates.take({f"agent-{number}": 10})
    assert len(rates._spent) <= MAX_KNOWN
    with pytest.raises(Busy):
        rates.take({"flood": 1})
    clock.now_s += 1000
    for number in range(2 * MAX_KNOWN):
        rates.take({f"later-{number}": 1})
    with pytest.raises(Busy):
        rates.take({"flood": 1})
