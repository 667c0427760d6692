"""One numbered step of the schema: how it is taken, verified and written down.

`PRAGMA user_version` says how many steps were taken and decides; the table `schema_version` remembers when, for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inos.core.errors import Corrupt, NewerFormat
from inos.store.cursor import Cursor, first, one

_HISTORY: Final = "schema_version"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: what it is about, SQL, and the tables and views that must exist once it has run."""

    description: str
    sql: str
    tables: frozenset[str]


def check_version(cursor: Cursor, steps: Sequence[Migration]) -> int:
    """The steps already taken. Raises NewerFormat when there are more than this release knows."""
    version: int = one(cursor.execute("PRAGMA user_version"))[0]
    if version > len(steps):
        raise NewerFormat(
            f"the database has schema {version}, this release knows up to {len(steps)}",
            hint="install the release that wrote it, or a newer one; nothing was changed",
        )
    return version


def take_step(cursor: Cursor, steps: Sequence[Migration], number: int, now_s: float) -> None:
    """Take step `number` (from 0) inside the caller's transaction and verify it; Corrupt when it did not hold."""
    step = steps[number]
    list(cursor.execute(step.sql))
    found = {row[0] for row in cursor.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")}
    broken = list(cursor.execute("PRAGMA foreign_key_check"))
    if not step.tables <= found or broken:
        missing = ", ".join(sorted(step.tables - found)) or "references"
        raise Corrupt(
            f"the upgrade of the database to schema {number + 1} did not hold ({missing})",
            hint="the database is as it was before; restore it from a backup or rebuild it",
        )
    if _HISTORY in found:
        _remember(cursor, steps, number, int(now_s))
    list(cursor.execute(f"PRAGMA user_version = {number + 1}"))


def _remember(cursor: Cursor, steps: Sequence[Migration], number: int, now: int) -> None:
    """Steps that were taken before there was such a table have no time."""
    sql = f"INSERT OR IGNORE INTO {_HISTORY} VALUES (?, ?, ?)"  # noqa: S608 - a constant
    for earlier in range(number):
        list(cursor.execute(sql, (earlier + 1, None, steps[earlier].description)))
    list(cursor.execute(sql, (number + 1, now, steps[number].description)))


def taken_at(cursor: Cursor, version: int) -> int | None:
    """When the step to `version` was taken, in seconds since 1970; None where that is not known."""
    if first(cursor.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (_HISTORY,))) is None:
        return None
    row = first(cursor.execute(f"SELECT applied_at FROM {_HISTORY} WHERE version = ?", (version,)))  # noqa: S608
    return None if row is None else row[0]
