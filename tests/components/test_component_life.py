"""The life of a component as a machine of states: only statuses that may follow, starts that thin out and end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inos.components.life import FOLLOWING, MAX_DELAY_S, Ended, Life, asked_to_start, ended, silent_for_s, starting
from inos.components.manifest import POLICIES, Restart

RULES = st.builds(Restart, st.sampled_from(POLICIES), st.integers(1, 20), st.floats(1, 3600))
WELL = Ended(0)


def running(life: Life) -> Life:
    return starting(life, again=life.delay_s is not None).to("running")


def test_a_crash_is_followed_by_a_start_after_a_pause_that_doubles_until_it_is_given_up() -> None:
    life, now_s, delays = Life(), 0.0, []
    while True:
        life = ended(running(life), Ended(3), Restart(crashes=5), now_s)
        assert life.status == "crashed"
        if life.delay_s is None:
            break
        delays.append(life.delay_s)
        now_s += life.delay_s
    assert delays == [1, 2, 4, 8]
    assert life.restarts == 4
    assert life.error == "gave up after 5 ends within 60 s; the last: exit code 3"


def test_crashes_that_are_far_apart_are_each_the_first() -> None:
    life = Life()
    for number in range(20):
        life = ended(running(life), Ended(-9), Restart(), number * 100.0)
        assert (life.delay_s, life.error) == (1.0, "killed by signal 9")


@pytest.mark.parametrize(("policy", "after"), [("on-crash", None), ("never", None), ("always", 1.0)])
def test_who_ends_well_is_started_again_only_where_that_is_asked_for(policy: str, after: float | None) -> None:
    life = ended(running(Life()), WELL, Restart(policy), 0.0)
    assert (life.status, life.delay_s, life.error) == ("stopped", after, "")


def test_whoever_asks_starts_a_new_count() -> None:
    life = Life()
    for _ in range(5):
        life = ended(running(life), Ended(1), Restart(), 0.0)
    assert life.delay_s is None
    life = ended(running(asked_to_start(life)), Ended(1), Restart(), 0.0)
    assert life.delay_s == 1.0


def test_what_was_asked_to_stop_is_stopped_however_it_ended() -> None:
    stopping = running(Life()).to("stopping")
    assert ended(stopping, Ended(-9), Restart(), 0.0) == Life("stopped")


def test_silence() -> None:
    assert silent_for_s(2, first=False) == 6
    assert silent_for_s(2, first=True) == 30
    assert silent_for_s(20, first=True) == 60


class Lives(RuleBasedStateMachine):
    """One component through any history; `starts` are the moments of starts nobody asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life()
        self.rule = Restart()
        self.now_s = 0.0
        self.before = self.life.status
        self.starts: list[float] = []

    def become(self, life: Life) -> None:
        assert life.status == self.life.status or life.status in FOLLOWING[self.life.status]
        self.life = life

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: self.life.status in ("stopped", "crashed"))
    @rule(rules=RULES)
    def somebody_asks(self, rules: Restart) -> None:
        self.rule, self.starts = rules, []
        self.become(asked_to_start(self.life))
        self.become(starting(self.life, again=False))

    @precondition(lambda self: self.life.delay_s is not None)
    @rule()
    def its_pause_ends(self) -> None:
        assert self.life.delay_s is not None and 0 < self.life.delay_s <= MAX_DELAY_S
        self.now_s += self.life.delay_s
        self.starts.append(self.now_s)
        self.become(starting(self.life, again=True))

    @precondition(lambda self: self.life.status == "starting")
    @rule()
    def it_runs(self) -> None:
        self.become(self.life.to("running"))

    @precondition(lambda self: self.life.status in ("starting", "running"))
    @rule()
    def it_is_to_stop(self) -> None:
        self.become(self.life.to("stopping"))

    @precondition(lambda self: self.life.status in ("starting", "running", "stopping"))
    @rule(code=st.sampled_from([0, 0, 1, 3, -9]))
    def it_ends(self, code: int) -> None:
        self.become(ended(self.life, Ended(code), self.rule, self.now_s))

    @invariant()
    def starts_within_the_window_are_bounded(self) -> None:
        within = [at for at in self.starts if self.now_s - at < self.rule.within_s]
        assert len(within) <= self.rule.crashes

    @invariant()
    def only_what_is_down_waits_to_be_started(self) -> None:
        assert self.life.delay_s is None or self.life.status in ("stopped", "crashed")


TestLives = Lives.TestCase


@given(st.integers(-64, 255))
def test_how_it_ended_in_words(code: int) -> None:
    assert str(Ended(code)) == (f"exit code {code}" if code >= 0 else f"killed by signal {-code}")
