"""What all repositories have in common: rows of one kind, read by key and in bounded pages, written in transactions.

A page goes on behind the last row of the one before (`core/rows/cursor.py`), along an index, however far into the list.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Generic, Protocol

from inos.core.errors import BadInput, InosError, NotFound
from inos.core.rows.cursor import cursor_behind, parse_cursor
from inos.core.rows.fields import rule_of
from inos.core.rows.row import Order, Page, Query, R, field_names, to_json
from inos.store.cursor import Cursor, SqlValue, first, one
from inos.store.database import Database

# A page of manifests is cut here, so that whoever asks for a thousand rows gets megabytes neither in memory nor sent.
MAX_PAGE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Form:
    """How a field that SQLite has no type for lies in its column."""

    to_sql: Callable[[Any], SqlValue]
    from_sql: Callable[[Any], Any]


JSON_TEXT: Final = Form(partial(json.dumps, ensure_ascii=False, separators=(",", ":")), json.loads)
_PLAIN: Final = Form(lambda value: value, lambda value: value)


class Remains(Protocol):
    """A damaged database, read without trust."""

    def rows(self, table: str, columns: Sequence[str], key: Sequence[str]) -> Iterator[Sequence[Any]]:
        """`columns` of the rows that can be read, each once."""


class ReadRepository(Generic[R]):
    """Rows of one kind, to be looked at. Blocking; safe from several threads."""

    kind: ClassVar[Any]
    table: ClassVar[str]
    columns: ClassVar[Mapping[str, str]] = {}
    """Column (or expression) of each field that is not called like it, less its unit."""
    forms: ClassVar[Mapping[str, Form]] = {}

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fields = dataclasses.fields(self.kind)
        listed = ", ".join(self._column(each.name) for each in self._fields)
        self._select = f"SELECT {listed} FROM {self.table}"
        self._key_column = self._column(self.kind.KEY)
        self._formed = [
            (at, self.forms[each.name].from_sql) for at, each in enumerate(self._fields) if each.name in self.forms
        ]

    def get(self, key: Any) -> R | None:
        """The row of this key."""
        return self._database.read(lambda cursor: self._find(cursor, key))

    def need(self, key: Any) -> R:
        """The row of this key. NotFound."""
        row = self.get(key)
        if row is None:
            raise self._absent(key)
        return row

    def every(self) -> list[R]:
        """All rows, in order of key; for kinds of which there are few."""
        rows: list[R] = []
        after = ""
        while True:
            page = self.page(Query(self.kind, after=after))
            rows += page.rows
            if not (after := page.next):
                return rows

    def page(self, query: Query[R]) -> Page[R]:
        """The next rows in order, at most the query's limit and MAX_PAGE_BYTES of them."""
        order = query.chosen()
        sql, bindings = self._page_sql(query, order)
        return self._database.read(lambda cursor: self._cut(query, cursor.execute(sql, bindings)))

    def count(self) -> int:
        """How many rows there are; reads an index of them."""
        sql = f"SELECT count(*) FROM {self.table}"
        return self._database.read(lambda cursor: int(one(cursor.execute(sql))[0]))

    def _column(self, field: str) -> str:
        return self.columns.get(field) or field.removesuffix("_s").removesuffix("_bytes")

    def _form(self, field: str) -> Form:
        return self.forms.get(field, _PLAIN)

    def _find(self, cursor: Cursor, key: Any) -> R | None:
        row = first(cursor.execute(f"{self._select} WHERE {self._key_column} = ?", (self._to_sql(self.kind.KEY, key),)))
        return None if row is None else self._read(row)

    def _read(self, values: Sequence[Any]) -> R:
        row: R = self.kind.stored(self._from_sql(values))
        return row

    def _checked(self, values: Sequence[Any]) -> R:
        """A row of a database that is damaged. Raises BadInput and whatever its forms do for what is none."""
        found = dict(zip(field_names(self.kind), self._from_sql(values), strict=True))
        row: R = self.kind(**found)
        return row

    def _from_sql(self, values: Sequence[Any]) -> list[Any]:
        found = list(values)
        for at, from_sql in self._formed:
            if found[at] is not None:
                found[at] = from_sql(found[at])
        return found

    def _to_sql(self, field: str, value: Any) -> SqlValue:
        return None if value is None else self._form(field).to_sql(value)

    def _absent(self, key: Any) -> NotFound:
        shown = to_json(self.kind, self.kind.KEY, key)
        return NotFound(f"no {self.kind.KIND} row has the {self.kind.KEY} {shown!r}")

    # Pages

    def _page_sql(self, query: Query[R], order: Order) -> tuple[str, tuple[SqlValue, ...]]:
        columns = [self._column(name) for name in order.fields]
        optional = {each.name for each in self._fields if rule_of(each).optional}
        clauses = [f"{self._column(name)} IS NOT NULL" for name in order.fields if name in optional]
        bindings: list[SqlValue] = []
        if order.equals:
            if wrong := rule_of(next(f for f in self._fields if f.name == order.equals)).complaint(query.equals):
                raise BadInput(f"{order.equals} {wrong}")
            clauses.insert(0, f"{self._column(order.equals)} = ?")
            bindings.append(self._to_sql(order.equals, query.equals))
        if query.after:
            last = parse_cursor(query)
            beyond = "<" if query.descending else ">"
            clauses.append(f"({', '.join(columns)}) {beyond} ({', '.join('?' * len(columns))})")
            bindings += [self._to_sql(name, value) for name, value in zip(order.fields, last, strict=True)]
        way = " DESC" if query.descending else ""
        where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
        ordered = ", ".join(column + way for column in columns)
        return f"{self._select}{where} ORDER BY {ordered} LIMIT ?", (*bindings, query.limit + 1)

    def _cut(self, query: Query[R], found: Iterable[Sequence[Any]]) -> Page[R]:
        rows: list[R] = []
        size = 0
        for values in found:
            size += sum(len(value) for value in values if isinstance(value, str | bytes))
            if rows and (len(rows) == query.limit or size > MAX_PAGE_BYTES):
                return Page(tuple(rows), cursor_behind(query, rows[-1]))
            rows.append(self._read(values))
        return Page(tuple(rows))


class Repository(ReadRepository[R]):
    """Rows of one kind, to be looked at and changed. What a call wrote is synced when it returns."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        stored = [each.name for each in self._fields if not self._column(each.name).startswith("(")]
        self._stored = stored
        columns = [self._column(name) for name in stored]
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column != self._key_column)
        self._upsert = (
            f"INSERT INTO {self.table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            f" ON CONFLICT ({self._key_column}) DO UPDATE SET {changes}"
        )

    def put(self, *rows: R) -> None:
        """Insert, or replace those of the same keys: all of `rows` or none. Conflict where one names something that is
        not there."""

        def work(cursor: Cursor) -> None:
            for row in rows:
                self._write(cursor, row)

        self._database.write(work)

    def take(self, rows: Iterable[Sequence[Any]]) -> int:
        """Put in what `remains` reads of another database; how many. What is no row, or names something that is not
        there, is left out."""

        def work(cursor: Cursor) -> int:
            taken = 0
            for values in rows:
                with suppress(InosError, ValueError, TypeError):
                    self._write(cursor, self._checked(values))
                    taken += 1
            return taken

        return self._database.write(work)

    def remains(self, damaged: Remains) -> Iterator[Sequence[Any]]:
        """What can still be read of these rows in a damaged database."""
        columns = [self._column(each.name) for each in self._fields]
        return damaged.rows(self.table, columns, (self._key_column,))

    def update(self, key: Any, change: Callable[[R], R]) -> R:
        """Replace one row by what `change`, a plain function, makes of it; nobody writes in between. NotFound."""

        def work(cursor: Cursor) -> R:
            row = self._find(cursor, key)
            if row is None:
                raise self._absent(key)
            changed = change(row)
            if changed.key != key:
                raise BadInput(f"a change may not give the row another {self.kind.KEY}")
            self._write(cursor, changed)
            return changed

        return self._database.write(work)

    def remove(self, key: Any) -> bool:
        """Remove one row; whether it was there. Conflict while another row needs it."""

        def work(cursor: Cursor) -> bool:
            self._before_remove(cursor, key)
            sql = f"DELETE FROM {self.table} WHERE {self._key_column} = ? RETURNING 1"
            return bool(list(cursor.execute(sql, (self._to_sql(self.kind.KEY, key),))))

        return self._database.write(work)

    def _write(self, cursor: Cursor, row: R) -> None:
        self._before_put(cursor, row)
        list(cursor.execute(self._upsert, tuple(self._to_sql(name, getattr(row, name)) for name in self._stored)))
        self._after_put(cursor, row)

    def _before_put(self, cursor: Cursor, row: R) -> None:
        """Raise Conflict where `row` names something that is not there."""

    def _after_put(self, cursor: Cursor, row: R) -> None:
        """Write what of `row` lies in other tables."""

    def _before_remove(self, cursor: Cursor, key: Any) -> None:
        """Raise Conflict where another row needs this one."""
