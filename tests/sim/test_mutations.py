"""Every known class of fault is noticed when it is put back into the code, and the same scenario passes without it."""

from __future__ import annotations

import pytest

from inos.core.errors import BadInput
from inos.sim.mutations import MUTATIONS
from inos.sim.mutations.hunt import in_its_scenario
from inos.sim.mutations.mutation import replaced
from inos.sim.play import play


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_fault_is_noticed(name: str) -> None:
    mutation = MUTATIONS[name]
    caught = in_its_scenario(mutation)
    assert caught is not None, f"nobody noticed that {mutation.what}"
    assert caught.invariant in mutation.caught_by


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_same_scenario_passes_without_it(name: str) -> None:
    script, length_s = MUTATIONS[name].scenario(0)
    play(script, length_s).check()


def test_at_least_ten_classes() -> None:
    assert len(MUTATIONS) >= 10


class _Door:
    def open(self, key: str) -> str:
        return f"opened with {key}"


def test_a_replacement_lasts_as_long_as_its_block() -> None:
    def stay_shut(self: _Door, key: str) -> str:
        return f"{key} does not fit"

    with replaced(_Door, "open", stay_shut):
        assert _Door().open("a") == "a does not fit"
    assert _Door().open("a") == "opened with a"


def test_what_is_not_there_any_more_cannot_be_replaced() -> None:
    with pytest.raises(BadInput), replaced(_Door, "close", lambda self: None):
        pass


def test_what_takes_other_arguments_cannot_be_replaced() -> None:
    with pytest.raises(BadInput), replaced(_Door, "open", lambda self: ""):
        pass
    assert _Door().open("a") == "opened with a"
