"""Liveness as a pure state machine: silence, return, pauses of our own, measured availability."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.ids import PeerId
from inos.mesh.liveness import FAILED_AFTER_S, OWN_PAUSE_S, Change, Liveness, Observed, State
from inos.testing.members import Team

TEAM = Team()
A, B, C = (TEAM.machine(name).peer for name in "abc")
DAY_S = 86_400.0


def watching(*peers: PeerId, at_s: float = 0.0) -> Liveness:
    liveness = Liveness()
    liveness.watch(peers, at_s)
    liveness.tick(at_s)
    return liveness


def ticked(liveness: Liveness, from_s: float, to_s: float, *heard: PeerId) -> list[Change]:
    """Tick every second from `from_s` (excluded) to `to_s`, hearing `heard` each time."""
    changes = []
    for second in range(round(from_s) + 1, round(to_s) + 1):
        for peer in heard:
            liveness.heard(peer, float(second))
        changes += liveness.tick(float(second))
    return changes


def test_a_peer_that_is_heard_is_alive() -> None:
    liveness = watching(A)
    assert liveness.state(A) is State.UNKNOWN
    liveness.heard(A, 0.5)
    assert liveness.tick(1.0) == [Change(A, State.ALIVE, 1.0)]
    assert liveness.alive() == {A}
    assert liveness.tick(1.5) == []


def test_five_silent_seconds_are_failure() -> None:
    liveness = watching(A)
    ticked(liveness, 0, 1, A)
    assert ticked(liveness, 1, 5) == []
    assert liveness.failed_for_s(A, 5.0) is None
    assert ticked(liveness, 5, 6) == [Change(A, State.FAILED, 6.0)]
    assert liveness.failed_for_s(A, 10.0) == 4.0
    assert liveness.alive() == frozenset()


def test_a_peer_never_heard_fails_too() -> None:
    assert ticked(watching(A), 0, 5) == [Change(A, State.FAILED, 5.0)]


def test_it_is_noticed_when_a_peer_comes_back() -> None:
    liveness = watching(A)
    ticked(liveness, 0, 8)
    liveness.heard(A, 8.5)
    assert liveness.tick(9.0) == [Change(A, State.ALIVE, 9.0)]
    assert liveness.failed_for_s(A, 9.0) is None


def test_old_news_does_not_revive() -> None:
    liveness = watching(A)
    ticked(liveness, 0, 1, A)
    ticked(liveness, 1, 7)
    liveness.heard(A, 1.5)
    assert liveness.tick(8.0) == []
    assert liveness.state(A) is State.FAILED


def test_after_a_pause_of_our_own_everybody_gets_the_time_again() -> None:
    liveness = watching(A, B)
    ticked(liveness, 0, 2, A, B)
    asleep_until_s = 10_000.0
    assert liveness.tick(asleep_until_s) == []
    assert liveness.alive() == {A, B}
    changes = ticked(liveness, asleep_until_s, asleep_until_s + 5, B)
    assert changes == [Change(A, State.FAILED, asleep_until_s + 5)]


def test_a_pause_does_not_revive_who_had_failed() -> None:
    liveness = watching(A)
    ticked(liveness, 0, 6)
    assert liveness.tick(500.0) == []
    assert liveness.state(A) is State.FAILED


def test_a_clock_that_steps_back_changes_nothing() -> None:
    liveness = watching(A)
    ticked(liveness, 0, 3, A)
    assert liveness.tick(1.0) == []
    assert liveness.alive() == {A}
    assert liveness.export()[A].observed_s <= 3.0


def test_only_the_watched_are_judged() -> None:
    liveness = watching(A)
    liveness.heard(B, 1.0)
    assert liveness.tick(1.0) == []
    assert liveness.state(B) is State.UNKNOWN
    liveness.watch([B], 1.0)
    assert ticked(liveness, 1, 7) == [Change(B, State.FAILED, 6.0)]
    assert liveness.state(A) is State.UNKNOWN


def test_the_deadline_is_when_the_next_one_fails() -> None:
    liveness = watching(A, B)
    assert liveness.deadline_s() == FAILED_AFTER_S
    liveness.heard(A, 2.0)
    assert liveness.deadline_s() == FAILED_AFTER_S
    liveness.heard(B, 1.0)
    assert liveness.deadline_s() == 1.0 + FAILED_AFTER_S
    ticked(liveness, 2, 8)
    assert liveness.deadline_s() == inf


def test_while_all_are_alive_the_deadline_follows_whoever_was_quiet_for_longest() -> None:
    liveness = watching(A, B)
    for peer in (A, B):
        liveness.heard(peer, 1.0)
    liveness.tick(1.0)
    liveness.heard(A, 3.0)
    assert liveness.doubtful(4.0) == [] and liveness.deadline_s() == 1.0 + FAILED_AFTER_S
    liveness.heard(B, 4.0)
    ticked(liveness, 1, 4)
    assert liveness.deadline_s() == 3.0 + FAILED_AFTER_S
    assert ticked(liveness, 4, 8) == [Change(A, State.FAILED, 8.0)]


def test_availability_is_measured_beyond_the_first_day() -> None:
    liveness = watching(A, B)
    assert liveness.availability(A) == liveness.availability(C) == 0.95
    liveness.restore({A: Observed(10 * DAY_S, 10 * DAY_S), B: Observed(10 * DAY_S, 5 * DAY_S)})
    assert liveness.availability(A) > 0.99
    assert 0.53 < liveness.availability(B) < 0.55


def test_observation_counts_watched_time_only() -> None:
    liveness = watching(A)
    ticked(liveness, 0, 10, A)
    assert liveness.export()[A] == Observed(9.0, 9.0)  # from the tick that found it alive
    ticked(liveness, 10, 30)
    observed = liveness.export()[A]
    assert observed.observed_s == 29.0
    assert observed.alive_s == 9.0 + FAILED_AFTER_S
    liveness.tick(10_000.0)  # asleep meanwhile
    assert liveness.export()[A] == observed


def test_measurements_survive_a_restart_and_can_be_forgotten() -> None:
    liveness = watching(A, B)
    ticked(liveness, 0, 20, A)
    again = Liveness()
    again.restore(liveness.export())
    assert again.availability(A) == liveness.availability(A)
    again.forget(A)
    assert A not in again.export()
    assert again.availability(A) == 0.95


def test_the_distant_past_counts_less() -> None:
    liveness = watching(A)
    liveness.restore({A: Observed(30 * DAY_S, 20 * DAY_S)})
    ticked(liveness, 0, 10, A)
    observed = liveness.export()[A]
    assert observed.observed_s == pytest.approx(15 * DAY_S, abs=10)
    assert observed.alive_s == pytest.approx(10 * DAY_S, abs=10)


STEPS = st.lists(
    st.tuples(st.floats(0, 40, allow_nan=False), st.sets(st.sampled_from([A, B, C])), st.booleans()), max_size=40
)


@given(STEPS)
@settings(max_examples=100)
def test_whatever_happens_states_follow_the_rules(steps: list[tuple[float, set[PeerId], bool]]) -> None:
    liveness, now_s, ticked_s = watching(A, B, C), 0.0, 0.0
    heard_s: dict[PeerId, float] = {}
    for passed_s, heard, tick in steps:
        now_s += passed_s
        for peer in heard:
            liveness.heard(peer, now_s)
            heard_s[peer] = now_s
        if not tick:
            continue
        changes, paused = liveness.tick(now_s), now_s - ticked_s > OWN_PAUSE_S
        ticked_s = now_s
        assert len({change.peer for change in changes}) == len(changes)
        for change in changes:
            recent = now_s - heard_s.get(change.peer, -inf) < FAILED_AFTER_S
            assert change.state is (State.ALIVE if recent else State.FAILED)
            assert not (paused and change.state is State.FAILED)
        for peer in (A, B, C):
            observed = liveness.export().get(peer, Observed())
            assert 0 <= observed.alive_s <= observed.observed_s <= now_s
            assert 0 < liveness.availability(peer) <= 1
