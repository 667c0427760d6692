"""Objects used on this node and pinned to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inos.core.env import RealEnv
from inos.core.errors import BadInput
from inos.core.ids import Cid
from inos.store.database import Database
from inos.store.local_objects import LocalObject, LocalObjects

CIDS = [Cid(bytes([number]) * 32) for number in range(5)]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalObjects]:
    database = Database(tmp_path / "inos.db", bytes(32), RealEnv())
    yield LocalObjects(database)
    database.close()


def test_uses_and_pins_do_not_undo_each_other(local: LocalObjects) -> None:
    local.used({CIDS[0]: (100, 1.5), CIDS[1]: (50, 1.0)})
    assert local.pin(CIDS[0], True, 200) and not local.pin(CIDS[0], True, 201)
    local.used({CIDS[0]: (90, 2.5)})
    assert local.get(CIDS[0]) == LocalObject(CIDS[0], 100, 2.5, True)
    assert [one.cid for one in local.page(None, 10)] == CIDS[:2]
    assert [one.cid for one in local.page(None, 10, pinned=True)] == CIDS[:1]
    local.forget(CIDS)
    assert [one.cid for one in local.page(None, 10)] == CIDS[:1]
    assert local.pin(CIDS[0], False, 300) and not local.pin(CIDS[4], False, 300)
    local.forget(CIDS)
    assert local.page(None, 10) == [] and local.get(CIDS[0]) is None


def test_pages_are_bounded(local: LocalObjects) -> None:
    local.used(dict.fromkeys(CIDS, (1, 1.0)))
    assert [one.cid for one in local.page(CIDS[1], 2)] == CIDS[2:4]
    for limit in (0, 10_001):
        with pytest.raises(BadInput):
            local.page(None, limit)
