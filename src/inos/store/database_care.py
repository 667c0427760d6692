"""What the upkeep of a database looks at and does, in terms of its reads and writes: its tables, its free pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.store.cursor import Cursor, one
from inos.store.database import Database

PAGE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class PageRoom:
    """Pages of PAGE_BYTES in the database file, and how many of them are free."""

    pages: int
    free: int


class DatabaseCare:
    """Upkeep of one database. Calls block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def checkpoint(self, shrink: bool) -> None:
        """Write the log back, give back the room it keeps if it is to `shrink`; let go of what an upgrade of long ago
        kept."""
        self._database.checkpoint(shrink=shrink)
        self._database.drop_previous()

    def tables(self) -> list[str]:
        """The tables there are, in order of name."""
        sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name"
        return self._database.read(lambda cursor: [row[0] for row in cursor.execute(sql)])

    def check(self, table: str) -> list[str]:
        """What is wrong with a table; nothing when all is well. Reads all of it."""
        return self._database.check(table)

    def room(self) -> PageRoom:
        """How much of the file is in use."""
        return self._database.read(lambda cursor: PageRoom(_number(cursor, "page_count"), _free(cursor)))

    def vacuum(self, pages: int) -> int:
        """Give up to `pages` free pages back to the disk, a bounded write; how many. The file shrinks with the next
        checkpoint. Only a few pages are moved for each, so it may run beside everything else."""

        def work(cursor: Cursor) -> int:
            free = _free(cursor)
            list(cursor.execute(f"PRAGMA incremental_vacuum({pages})"))
            return free - _free(cursor)

        return self._database.write(work)


def _free(cursor: Cursor) -> int:
    return _number(cursor, "freelist_count")


def _number(cursor: Cursor, pragma: str) -> int:
    return int(one(cursor.execute(f"PRAGMA {pragma}"))[0])
