"""What a transaction offers to the repositories of this layer: SQL in, rows out, and nothing of the driver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

SqlValue = int | float | str | bytes | None
Row = tuple[Any, ...]


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
