"""Holdings that were begun, and those of which nothing was ever here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from inos.core.ids import Cid, OwnerId
from inos.node.holding_book import HoldingBook
from inos.objects.layout import COPIES
from inos.replication.placement import Placement
from inos.store.database import Database
from inos.store.holdings import Holdings
from inos.store.migrations import MIGRATIONS
from inos.testing.chunks import Clock


@pytest.fixture
def holdings(tmp_path: Path) -> Iterator[Holdings]:
    with closing(Database(tmp_path / "inos.db", bytes(32), Clock(), migrations=MIGRATIONS)) as database:
        yield Holdings(database)


def placed(number: int, epoch: int = 1) -> Placement:
    return Placement(Cid(bytes([number]) * 32), OwnerId(bytes(32)), COPIES, 3, (bytes(32),), 10, epoch)


def begun(book: HoldingBook) -> list[bool]:
    return [row.begun for row in book.rows()]


def test_one_is_begun_when_its_manifest_is_here_and_stays_so(holdings: Holdings) -> None:
    book, one, other = HoldingBook(holdings, Clock()), placed(1), placed(2)
    book.attach_all([one, other], {one.cid})
    assert begun(book) == [True, False]
    book.drop(one.cid, 5.0)
    book.keep(one.cid)
    book.attach_all([placed(1, epoch=2)], ())
    assert begun(book) == [True, False]
    book.begin(other.cid)
    book.begin(Cid(bytes([9]) * 32))
    assert begun(book) == [True, True]


def test_what_a_rebuilt_table_has_not_may_have_been_here(holdings: Holdings) -> None:
    clock = Clock()
    book = HoldingBook(holdings, clock, kept_until_s=clock.now_s() + 10)
    book.attach_all([placed(1)], ())
    clock.wall_s += 11
    book.attach_all([placed(2)], ())
    assert begun(book) == [True, False]
