"""The objects this node holds: one row an object, the truth behind every "held" it answers.

States
    local     put here, not yet acknowledged by a quorum; the repair worker completes it
    held      this node is one of the object's members and had every piece assigned to it, synced
    dropping  removed or moved away; its pieces are freed once the removal delay has passed

The epoch of a held object never goes back: a late request of an older placement cannot undo what a newer one settled.
A dropping one may be taken up at any epoch, because an object removed and put again begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from inos.core.errors import BadInput
from inos.core.ids import Cid
from inos.store.cursor import Cursor, Row, first, one
from inos.store.database import Database

# A page of rows of 60 bytes; enough to make the cost of a transaction vanish.
MAX_PAGE: Final = 10_000


class HoldingState(StrEnum):
    LOCAL = "local"
    HELD = "held"
    DROPPING = "dropping"


@dataclass(frozen=True, slots=True)
class Holding:
    """One object on this node. `size_bytes` are the stored bytes of the pieces assigned here; times are wall-clock
    seconds; `dropped_at_s` is given exactly when it is dropping."""

    cid: Cid
    epoch: int
    state: HoldingState
    size_bytes: int
    attached_at_s: int
    dropped_at_s: int | None = None


@dataclass(frozen=True, slots=True)
class HoldingTotals:
    """Objects in one state, and the bytes of their pieces."""

    objects: int
    bytes: int


_COLUMNS: Final = "cid, epoch, state, size, attached_at, dropped_at"


class Holdings:
    """Blocking apart from `save_async`; safe from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, holdings: Sequence[Holding]) -> list[bool]:
        """Insert or replace; False where a newer epoch was there, which then stays. Synced when this returns."""
        return self._database.write(partial(_save, holdings=holdings))

    async def save_async(self, holdings: Sequence[Holding]) -> list[bool]:
        """As `save`; concurrent callers share one sync."""
        return await self._database.write_async(partial(_save, holdings=holdings))

    def get(self, cid: Cid) -> Holding | None:
        sql = f"SELECT {_COLUMNS} FROM holdings WHERE cid = ?"  # noqa: S608 - constants
        row = self._database.read(lambda cursor: first(cursor.execute(sql, (cid,))))
        return None if row is None else _holding(row)

    def page(self, after: Cid | None, limit: int, *, state: HoldingState | None = None) -> list[Holding]:
        """The next `limit` (at most MAX_PAGE) holdings in order of cid, of one state where it is given."""
        _check_limit(limit)
        where = "cid > ?1" if state is None else "cid > ?1 AND state = ?3"
        sql = f"SELECT {_COLUMNS} FROM holdings WHERE {where} ORDER BY cid LIMIT ?2"  # noqa: S608 - constants
        bindings = (after or b"", limit) if state is None else (after or b"", limit, state.value)
        return self._database.read(lambda cursor: [_holding(row) for row in cursor.execute(sql, bindings)])

    def dropped_before(self, moment_s: float, limit: int) -> list[Holding]:
        """Holdings dropped before then (wall clock), the longest dropped first."""
        _check_limit(limit)
        sql = f"SELECT {_COLUMNS} FROM holdings WHERE dropped_at < ? ORDER BY dropped_at LIMIT ?"  # noqa: S608
        return self._database.read(lambda cursor: [_holding(row) for row in cursor.execute(sql, (moment_s, limit))])

    def forget(self, cids: Sequence[Cid]) -> int:
        """Delete the rows of dropping ones among `cids`; how many. One that was taken up again meanwhile stays."""
        sql = "DELETE FROM holdings WHERE cid = ? AND state = 'dropping' RETURNING cid"
        return self._database.write(lambda cursor: len(list(cursor.executemany(sql, ((cid,) for cid in cids)))))

    def totals(self) -> dict[HoldingState, HoldingTotals]:
        """Of every state, those without objects too. Reads all rows."""
        return self._database.read(_totals)


_SAVE: Final = """
INSERT INTO holdings (cid, epoch, state, size, attached_at, dropped_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET epoch = excluded.epoch, state = excluded.state, size = excluded.size,
    attached_at = excluded.attached_at, dropped_at = excluded.dropped_at
WHERE excluded.epoch >= holdings.epoch OR holdings.state = 'dropping'
RETURNING 1
"""


def _save(cursor: Cursor, holdings: Sequence[Holding]) -> list[bool]:
    return [bool(list(cursor.execute(_SAVE, _values(holding)))) for holding in holdings]


def _values(holding: Holding) -> tuple[bytes, int, str, int, int, int | None]:
    if (holding.dropped_at_s is not None) != (holding.state is HoldingState.DROPPING):
        raise BadInput("a holding has a time of being dropped exactly when it is dropping")
    return (
        holding.cid,
        holding.epoch,
        holding.state.value,
        holding.size_bytes,
        holding.attached_at_s,
        holding.dropped_at_s,
    )


def _holding(row: Row) -> Holding:
    cid, epoch, state, size, attached_at, dropped_at = row
    return Holding(Cid(cid), epoch, HoldingState(state), size, attached_at, dropped_at)


def _totals(cursor: Cursor) -> dict[HoldingState, HoldingTotals]:
    sql = "SELECT count(*), coalesce(sum(size), 0) FROM holdings WHERE state = ?"
    return {state: HoldingTotals(*one(cursor.execute(sql, (state.value,)))) for state in HoldingState}


def _check_limit(limit: int) -> None:
    if not 0 < limit <= MAX_PAGE:
        raise BadInput(f"a page is 1 to {MAX_PAGE} holdings, not {limit}")
