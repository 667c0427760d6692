"""The parts of a node's chunks: together everything, each chunk in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadInput
from inos.core.ids import Address
from inos.core.reports import VerifyPlan
from inos.node.checking import share_of


@given(st.binary(min_size=32, max_size=32), st.integers(1, 5000))
def test_each_address_is_in_one_part(address: bytes, parts: int) -> None:
    guess = int.from_bytes(address, "big") * parts >> 256
    near = [part for part in range(guess - 1, guess + 4) if 1 <= part <= parts]
    inside = [part for part in near if _is_in(Address(address), VerifyPlan(part, parts))]
    assert len(inside) == 1


def _is_in(address: Address, plan: VerifyPlan) -> bool:
    after, end = share_of(plan)
    return (after is None or address > after) and (end is None or address <= end)


@pytest.mark.parametrize(("part", "parts"), [(0, 1), (2, 1), (1, 0), (-1, 3)])
def test_a_part_that_there_is_not(part: int, parts: int) -> None:
    with pytest.raises(BadInput):
        share_of(VerifyPlan(part, parts))


def test_the_whole_has_no_ends() -> None:
    assert share_of(VerifyPlan()) == (None, None)
