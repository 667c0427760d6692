"""The objects this node holds: one row an object, the truth behind every "held" it answers.

States
    held      this node is one of the object's members and had every piece assigned to it, synced
    dropping  removed or moved away; its pieces are freed once the removal delay has passed

The epoch of a held object never goes back: a late request of an older placement cannot undo what a newer one settled.
A dropping one may be taken up at any epoch, because an object removed and put again begins anew.

The schema also allows a state `local` and indexes `dropped_at`; nothing writes the one or needs the other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Final

from inos.core.errors import BadInput
from inos.core.ids import Cid
from inos.store.cursor import Cursor, Row, first, one
from inos.store.database import Database

# A page of rows of 60 bytes; enough to make the cost of a transaction vanish.
MAX_PAGE: Final = 10_000
# So many rows are kept in memory, some 300 KB: background rounds go through all of them again and again.
FEW: Final = 1000


class HoldingState(StrEnum):
    HELD = "held"
    DROPPING = "dropping"


@dataclass(frozen=True, slots=True)
class Holding:
    """One object on this node. `size_bytes` are the stored bytes of the pieces assigned here; times are wall-clock
    seconds; `dropped_at_s` is given exactly when it is dropping. `begun`: the object's manifest was here once, and
    pieces of it may be; it stays so."""

    cid: Cid
    epoch: int
    state: HoldingState
    size_bytes: int
    attached_at_s: int
    dropped_at_s: int | None = None
    begun: bool = True


_COLUMNS: Final = "cid, epoch, state, size, attached_at, dropped_at, begun"


class Holdings:
    """Blocking; safe from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._changes = 0
        # All rows in order, where they are few and none has changed since they were read.
        self._few: dict[Cid, Holding] | None = None

    def save(self, holdings: Sequence[Holding]) -> list[bool]:
        """Insert or replace; False where a newer epoch was there, which then stays. Synced when this returns."""
        try:
            return self._database.write(partial(_save, holdings=holdings))
        finally:
            self._changed()

    def get(self, cid: Cid) -> Holding | None:
        if (few := self._few) is not None:
            return few.get(cid)
        sql = f"SELECT {_COLUMNS} FROM holdings WHERE cid = ?"  # noqa: S608 - constants
        row = self._database.read(lambda cursor: first(cursor.execute(sql, (cid,))))
        return None if row is None else _holding(row)

    def page(self, after: Cid | None, limit: int) -> list[Holding]:
        """The next `limit` (at most MAX_PAGE) holdings in order of cid."""
        if not 0 < limit <= MAX_PAGE:
            raise BadInput(f"a page is 1 to {MAX_PAGE} holdings, not {limit}")
        if (few := self._few) is not None:
            following = few.values() if after is None else (one for one in few.values() if one.cid > after)
            return list(islice(following, limit))
        sql = f"SELECT {_COLUMNS} FROM holdings WHERE cid > ? ORDER BY cid LIMIT ?"  # noqa: S608 - constants
        bindings, changes = (after or b"", limit), self._changes
        found = self._database.read(lambda cursor: [_holding(row) for row in cursor.execute(sql, bindings)])
        if after is None and len(found) < min(limit, FEW):
            with self._lock:
                if self._changes == changes:
                    self._few = {one.cid: one for one in found}
        return found

    def _changed(self) -> None:
        with self._lock:
            self._changes += 1
            self._few = None

    def forget(self, cids: Sequence[Cid]) -> int:
        """Delete the rows of dropping ones among `cids`; how many. One that was taken up again meanwhile stays."""
        sql = "DELETE FROM holdings WHERE cid = ? AND state = 'dropping' RETURNING cid"
        try:
            return self._database.write(lambda cursor: len(list(cursor.executemany(sql, ((cid,) for cid in cids)))))
        finally:
            self._changed()

    def count_held(self) -> int:
        """Objects that are held and not dropping. Reads their whole index, unless they are few."""
        if (few := self._few) is not None:
            return sum(one.state is HoldingState.HELD for one in few.values())
        sql = "SELECT count(*) FROM holdings WHERE state = 'held'"
        return self._database.read(lambda cursor: int(one(cursor.execute(sql))[0]))


_SAVE: Final = """
INSERT INTO holdings (cid, epoch, state, size, attached_at, dropped_at, begun) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET epoch = excluded.epoch, state = excluded.state, size = excluded.size,
    attached_at = excluded.attached_at, dropped_at = excluded.dropped_at,
    begun = max(begun, excluded.begun)
WHERE excluded.epoch >= holdings.epoch OR holdings.state = 'dropping'
RETURNING 1
"""


def _save(cursor: Cursor, holdings: Sequence[Holding]) -> list[bool]:
    return [bool(list(cursor.execute(_SAVE, _values(holding)))) for holding in holdings]


def _values(holding: Holding) -> tuple[bytes, int, str, int, int, int | None, bool]:
    if (holding.dropped_at_s is not None) != (holding.state is HoldingState.DROPPING):
        raise BadInput("a holding has a time of being dropped exactly when it is dropping")
    return (
        holding.cid,
        holding.epoch,
        holding.state.value,
        holding.size_bytes,
        holding.attached_at_s,
        holding.dropped_at_s,
        holding.begun,
    )


def _holding(row: Row) -> Holding:
    cid, epoch, state, size, attached_at, dropped_at, begun = row
    return Holding(Cid(cid), epoch, HoldingState(state), size, attached_at, dropped_at, bool(begun))
