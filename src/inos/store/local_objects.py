"""Objects that were used on this node, and those pinned to it: what eviction goes by. Not replicated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inos.core.errors import BadInput
from inos.core.ids import Cid
from inos.store.cursor import Cursor, Row, first
from inos.store.database import Database

MAX_PAGE: Final = 10_000
_COLUMNS: Final = "cid, used_at, uses, pinned"


@dataclass(frozen=True, slots=True)
class LocalObject:
    """`used_at_s` is wall-clock seconds; `uses` a decayed count."""

    cid: Cid
    used_at_s: int
    uses: float
    pinned: bool


class LocalObjects:
    """Blocking; safe from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, cid: Cid) -> LocalObject | None:
        sql = f"SELECT {_COLUMNS} FROM local_objects WHERE cid = ?"  # noqa: S608 - constants
        row = self._database.read(lambda cursor: first(cursor.execute(sql, (cid,))))
        return None if row is None else _local(row)

    def page(self, after: Cid | None, limit: int, *, pinned: bool = False) -> list[LocalObject]:
        """The next `limit` (at most MAX_PAGE) in order of cid; with `pinned`, of the pinned ones."""
        if not 0 < limit <= MAX_PAGE:
            raise BadInput(f"a page is 1 to {MAX_PAGE} objects, not {limit}")
        only = "AND pinned = 1" if pinned else ""
        sql = f"SELECT {_COLUMNS} FROM local_objects WHERE cid > ? {only} ORDER BY cid LIMIT ?"  # noqa: S608 - constants
        return self._database.read(lambda cursor: [_local(row) for row in cursor.execute(sql, (after or b"", limit))])

    def used(self, uses: Mapping[Cid, tuple[int, float]]) -> None:
        """Note when these were last used and how often; whether they are pinned stays as it is."""
        sql = (
            "INSERT INTO local_objects VALUES (?1, ?2, ?3, 0)"
            " ON CONFLICT DO UPDATE SET used_at = max(used_at, ?2), uses = ?3"
        )
        rows = [(cid, at_s, count) for cid, (at_s, count) in uses.items()]
        self._database.write(lambda cursor: list(cursor.executemany(sql, rows)))

    def pin(self, cid: Cid, pinned: bool, now_s: float) -> bool:
        """Pin an object or let go of it; whether that changed anything. Synced when this returns."""

        def work(cursor: Cursor) -> bool:
            row = first(cursor.execute("SELECT pinned FROM local_objects WHERE cid = ?", (cid,)))
            if bool(row and row[0]) == pinned:
                return False
            sql = "INSERT INTO local_objects VALUES (?1, ?2, 1, ?3) ON CONFLICT DO UPDATE SET pinned = ?3"
            list(cursor.execute(sql, (cid, int(now_s), int(pinned))))
            return True

        return self._database.write(work)

    def forget(self, cids: Sequence[Cid]) -> None:
        """Delete the rows of those that are not pinned."""
        sql = "DELETE FROM local_objects WHERE cid = ? AND pinned = 0"
        self._database.write(lambda cursor: list(cursor.executemany(sql, ((cid,) for cid in cids))))


def _local(row: Row) -> LocalObject:
    return LocalObject(Cid(row[0]), row[1], row[2], bool(row[3]))
