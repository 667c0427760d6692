"""The rows of what this node holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inos.core.env import RealEnv
from inos.core.errors import BadInput
from inos.core.ids import Cid
from inos.store.database import Database
from inos.store.holdings import MAX_PAGE, Holding, Holdings, HoldingState


@pytest.fixture
def holdings(tmp_path: Path) -> Iterator[Holdings]:
    database = Database(tmp_path / "inos.db", bytes(32), RealEnv())
    yield Holdings(database)
    database.close()


def holding(number: int, state: HoldingState = HoldingState.HELD, *, epoch: int = 1) -> Holding:
    dropped_at_s = 1000 + number if state is HoldingState.DROPPING else None
    return Holding(Cid(number.to_bytes(32, "big")), epoch, state, 10 * number, 500, dropped_at_s)


def test_saved_is_read_and_replaced(holdings: Holdings) -> None:
    first = holding(1)
    assert holdings.get(first.cid) is None
    assert holdings.save([first]) == [True]
    assert holdings.get(first.cid) == first
    moved = replace(first, epoch=2, size_bytes=99)
    assert holdings.save([moved]) == [True]
    assert holdings.get(first.cid) == moved


def test_an_older_epoch_changes_nothing_unless_it_was_dropping(holdings: Holdings) -> None:
    newer = holding(1, epoch=5)
    holdings.save([newer])
    assert holdings.save([holding(1, epoch=4), holding(2)]) == [False, True]
    assert holdings.get(newer.cid) == newer
    holdings.save([holding(1, HoldingState.DROPPING, epoch=5)])
    assert holdings.save([holding(1, epoch=0)]) == [True]


def test_pages_go_through_all_in_order(holdings: Holdings) -> None:
    states = list(HoldingState)
    rows = [holding(number, states[number % 2]) for number in range(1, 20)]
    holdings.save(rows)
    found: list[Holding] = []
    while page := holdings.page(found[-1].cid if found else None, 4):
        found += page
    assert found == rows
    for limit in (0, MAX_PAGE + 1):
        with pytest.raises(BadInput):
            holdings.page(None, limit)


def test_only_dropping_ones_are_forgotten(holdings: Holdings) -> None:
    rows = [holding(number, HoldingState.DROPPING) for number in (3, 1, 2)]
    holdings.save([*rows, holding(4)])
    assert holdings.forget([row.cid for row in rows] + [holding(4).cid, holding(9).cid]) == 3
    assert holdings.page(None, 10) == [holding(4)]


def test_what_was_listed_is_not_remembered_beyond_a_change(holdings: Holdings) -> None:
    one, two, gone = holding(1), holding(2), holding(3, HoldingState.DROPPING)
    holdings.save([two, gone])
    assert holdings.page(None, MAX_PAGE) == [two, gone] and holdings.get(one.cid) is None
    holdings.save([one])
    assert holdings.get(one.cid) == one and holdings.page(None, MAX_PAGE) == [one, two, gone]
    assert holdings.page(one.cid, 1) == [two] and holdings.count_held() == 2
    holdings.forget([gone.cid])
    assert holdings.get(gone.cid) is None and holdings.page(None, MAX_PAGE) == [one, two]


def test_those_held_are_counted(holdings: Holdings) -> None:
    assert holdings.count_held() == 0
    holdings.save([holding(1), holding(2), holding(3, HoldingState.DROPPING)])
    assert holdings.count_held() == 2


def test_a_time_of_dropping_belongs_to_dropping(holdings: Holdings) -> None:
    for broken in (replace(holding(1), dropped_at_s=5), replace(holding(1, HoldingState.DROPPING), dropped_at_s=None)):
        with pytest.raises(BadInput):
            holdings.save([broken])
    assert holdings.page(None, 10) == []
