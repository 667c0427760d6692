"""What a transaction offers to the repositories of this layer: SQL in, rows out, and nothing of the driver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final, Protocol

SqlValue = int | float | str | bytes | None
Row = tuple[Any, ...]
# 20 rows in a statement take three quarters of the time of 20 statements; 50 no less.
_ROWS_AT_ONCE: Final = 20


class Cursor(Protocol):
    """Good only inside the function it was given to. Rows come lazily: consume them, also of `executemany`, whose
    later bindings run only as its rows are taken."""

    def execute(self, statements: str, bindings: Sequence[SqlValue] = ..., /) -> Iterable[Row]: ...

    def executemany(self, statements: str, bindings: Iterable[Sequence[SqlValue]], /) -> Iterable[Row]: ...


def one(rows: Iterable[Row]) -> Row:
    """The only row of a query that always has one."""
    (row,) = rows
    return row


def first(rows: Iterable[Row]) -> Row | None:
    """The first row, None when there is none."""
    return next(iter(rows), None)


class Rows:
    """Many rows into one table, several in a statement."""

    def __init__(self, insert: str, columns: int) -> None:
        """`insert` is the SQL in front of VALUES."""
        row = f"({', '.join('?' * columns)})"
        self._one = f"{insert} VALUES {row}"
        self._several = f"{insert} VALUES {', '.join([row] * _ROWS_AT_ONCE)}"

    def put(self, cursor: Cursor, rows: Sequence[Sequence[SqlValue]]) -> None:
        """Insert all of them, in order."""
        whole = len(rows) - len(rows) % _ROWS_AT_ONCE
        for start in range(0, whole, _ROWS_AT_ONCE):
            list(cursor.execute(self._several, tuple(chain.from_iterable(rows[start : start + _ROWS_AT_ONCE]))))
        list(cursor.executemany(self._one, rows[whole:]))
