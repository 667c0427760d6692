"""What a caller may require of a put, and when that is met."""

from __future__ import annotations

import pytest

from inos.core.errors import BadInput, NotEnoughNodes
from inos.core.ids import Cid
from inos.vault.outcome import LOCAL, QUORUM, REPLICATED, Requirement

CID = Cid(bytes(32))
LEVELS = (LOCAL, QUORUM, REPLICATED)


@pytest.mark.parametrize("text", ["", "local", "quorum", "replicated", "1", "3", "700", "007"])
def test_what_may_be_required(text: str) -> None:
    assert Requirement(text).text == text


@pytest.mark.parametrize(
    "text", ["0", "-1", "+1", "1.5", " 3", "3 ", "Quorum", "all", "three", "1e3", "²", "1\n", "1" * 5000, "9" * 10]
)
def test_what_may_not(text: str) -> None:
    with pytest.raises(BadInput, match="cannot require"):
        Requirement(text)


@pytest.mark.parametrize(
    ("text", "least"), [("", 1), ("local", 1), ("quorum", 2), ("replicated", 2), ("1", 1), ("3", 3)]
)
def test_what_cannot_be_is_refused_before_a_byte_is_read(text: str, least: int) -> None:
    Requirement(text).check_possible(least)
    with pytest.raises(NotEnoughNodes, match=f"{least - 1} node") as error:
        Requirement(text).check_possible(least - 1)
    assert error.value.hint


def test_levels_are_in_order_whatever_the_count() -> None:
    for asked in LEVELS:
        met = [level for level in LEVELS if Requirement(asked).is_met(level, 0)]
        assert met == list(LEVELS[LEVELS.index(asked) :])
    assert all(Requirement().is_met(level, 0) for level in LEVELS)


def test_a_count_is_met_by_nodes_that_hold_it_whatever_the_level() -> None:
    assert not Requirement("3").is_met(REPLICATED, 2)
    assert Requirement("3").is_met(LOCAL, 3)
    Requirement("3").check_reached(CID, LOCAL, 4)
    with pytest.raises(
        NotEnoughNodes, match="3 was required; 2 nodes hold the object, which reaches replicated"
    ) as error:
        Requirement("3").check_reached(CID, REPLICATED, 2)
    assert error.value.hint.endswith(f"inos rm {CID}")
