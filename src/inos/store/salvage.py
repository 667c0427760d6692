"""Reading what can still be read of a damaged database.

Every page carries a tag under the database's key, so a row that comes out is one that this node wrote; what is lost is
whole pages. A table is read from both ends towards the damage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import apsw

from inos.core.errors import Corrupt
from inos.store.connection import connect, translated
from inos.store.cursor import Row, SqlValue
from inos.store.filesystem import Files


class OpenedDamaged:
    """A database read without trust; a context manager."""

    def __init__(self, path: Path, key: bytes, files: Files) -> None:
        """Raises Corrupt when not even its beginning can be read."""
        self._path = path
        self._connection = connect(path, key, files)

    def __enter__(self) -> OpenedDamaged:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What is here is evidence: the log stays as it is.
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._connection.close()

    def rows(self, table: str, columns: Sequence[str], key: Sequence[str]) -> Iterator[Row]:
        """`columns` of the rows that can be read, each once; `key` is what the table is ordered by on the disk."""
        last: Row | None = None
        try:
            for row in self._select(table, columns, key, None):
                last = row[len(columns) :]
                yield row[: len(columns)]
        except Corrupt:
            yield from self._from_the_end(table, columns, key, last)

    def _from_the_end(self, table: str, columns: Sequence[str], key: Sequence[str], after: Row | None) -> Iterator[Row]:
        try:
            for row in self._select(table, columns, key, after or (), descending=True):
                yield row[: len(columns)]
        except Corrupt:
            return

    def _select(
        self, table: str, columns: Sequence[str], key: Sequence[str], after: Row | None, *, descending: bool = False
    ) -> Iterator[Row]:
        names = ", ".join((*columns, *key))
        order = ", ".join(name + (" DESC" if descending else "") for name in key)
        marks = ", ".join("?" * len(key))
        where = f"WHERE ({', '.join(key)}) > ({marks})" if after else ""
        sql = f"SELECT {names} FROM {table} {where} ORDER BY {order}"  # noqa: S608 - constants of the caller
        bindings: Sequence[SqlValue] = after or ()
        with translated(self._connection, self._path):
            try:
                yield from self._connection.execute(sql, bindings)
            except apsw.SQLError:  # no such table: an older schema, or its page of the schema is gone
                return
