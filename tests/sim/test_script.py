"""Scenarios as values: names of machines, how scripts read, and how failing ones are made short."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadInput
from inos.sim import troubles
from inos.sim.actions import Action
from inos.sim.names import letters_of, number_of
from inos.sim.plan import STORM_SETTINGS, storm
from inos.sim.play import Result
from inos.sim.script import Script, cluster
from inos.sim.settings import SimSettings
from inos.sim.shrink import shrink
from inos.sim.world import Violation


@given(st.integers(0, 100_000))
def test_names_and_numbers_are_each_others_inverse(number: int) -> None:
    assert number_of(letters_of(number)) == number


def test_names_as_people_write_them() -> None:
    assert [letters_of(number) for number in (0, 25, 26, 27, 701, 702)] == ["a", "z", "aa", "ab", "zz", "aaa"]


@pytest.mark.parametrize("name", ["", "A", "a1", "-", "ä"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(BadInput):
        number_of(name)


def test_a_script_reads_as_it_was_written() -> None:
    script = cluster(5, seed=3).put("o", 100, "a").wait(seconds=10).stop("b").at(30).corrupt("c", "o")
    assert str(script) == (
        "cluster(5, seed=3).put('o', 100, 'a', '').wait(seconds=10).stop('b').at(30).corrupt('c', 'o', 1)"
    )


def test_a_script_is_a_value_and_the_longer_one_another() -> None:
    short = cluster(5).stop("a")
    assert short.start("a") != short
    assert len(short.steps) == 1


@given(st.integers(0, 1 << 32))
def test_a_storm_is_a_function_of_its_seed(seed: int) -> None:
    settings = replace(STORM_SETTINGS, seed=seed)
    assert storm(settings, 300) == storm(settings, 300)
    assert all(0 <= (step.at_s or 0) < 300 for step in storm(settings, 300).steps)


def _result(script: Script, length_s: float, *broken: str) -> Result:
    return Result(
        script=script, length_s=length_s, trace="", events=0, frames=0, simulated_s=length_s, settled_s=0.0, puts=0,
        acknowledged=0, removed=0, actions=0, violations=tuple(Violation(40.0, name, "") for name in broken), latest=(),
    )  # fmt: skip


def test_shrinking_keeps_what_the_failure_needs_and_nothing_else() -> None:
    """Fails as long as b is stopped and c corrupted, and for another reason when d is stopped."""

    def play(script: Script, length_s: float) -> Result:
        said = str(script)
        needed = ".stop('b')" in said and ".corrupt('c'" in said
        return _result(script, length_s, *["readable"] * needed, *["equal"] * (".stop('d')" in said))

    script = cluster(12)
    for at_s, name in enumerate("abcdefgh"):
        script = script.at(at_s).stop(name).at(at_s + 0.5).corrupt(name)
    script = script.at(100).stop("l")
    found = shrink(play(script, 200), run=play)
    assert str(found.result.script) == "cluster(3).at(1).stop('b').at(2.5).corrupt('c', '', 1)"
    assert found.result.length_s == 60.0


def test_shrinking_gives_up_in_time() -> None:
    runs = 0

    def play(script: Script, length_s: float) -> Result:
        nonlocal runs
        runs += 1
        return _result(script, length_s)

    script = cluster(12)
    for _ in range(500):
        script = script.stop("b").start("b")
    shrink(_result(script, 10, "readable"), tries=7, run=play)
    assert runs == 7


def test_nothing_to_shrink() -> None:
    with pytest.raises(BadInput):
        shrink(_result(Script(SimSettings()), 10))


def kinds(kind: type[Action]) -> list[type[Action]]:
    return [one for each in kind.__subclasses__() for one in (each, *kinds(each))]


def test_every_action_prints_as_a_word_of_the_language() -> None:
    """A shrunk scenario is pasted into a test."""
    words = {kind.verb for kind in kinds(Action) if "verb" in vars(kind)}
    assert troubles.Rejoin.verb in words
    assert len(words) > 20 and not [word for word in words if not hasattr(Script, word)]
