"""Answers what is asked of the rows of a node's database (`core/rows/calls.py`), away from the event loop.

The same desk serves the API of a running node and the command line where none runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from inos.core.env import Env
from inos.core.errors import NotFound
from inos.core.rows.calls import refuse_unless_removable, refuse_unless_writable
from inos.core.rows.row import DatabaseCheck, DatabaseStats, Found, Page, Query, R, Row, parse_key, required_times
from inos.store.cursor import Cursor, one
from inos.store.database import Database
from inos.store.migrations.step import taken_at
from inos.store.repositories import Repositories
from inos.store.repositories.repository import Repository

T = TypeVar("T")


class RowDesk:
    """`RowCalls` on one database."""

    def __init__(self, database: Database, rows: Repositories, env: Env) -> None:
        self._database = database
        self._rows = rows
        self._env = env

    async def page(self, query: Query[R]) -> Page[R]:
        return await self._run(lambda: self._rows.of(query.kind).page(query))

    async def get(self, kind: type[R], key: str) -> R:
        return await self._run(lambda: self._rows.of(kind).need(parse_key(kind, key)))

    async def put(self, kind: type[R], values: Mapping[str, Any]) -> R:
        refuse_unless_writable(kind)
        now = int(self._env.now_s())
        row = kind.from_dict(dict.fromkeys(required_times(kind), now) | dict(values))
        repository = self._writable(kind)

        def work() -> R:
            repository.put(row)
            return repository.need(row.key)

        return await self._run(work)

    async def remove(self, kind: type[Row], key: str) -> None:
        refuse_unless_removable(kind)
        repository = self._writable(kind)
        parsed = parse_key(kind, key)
        if not await self._run(lambda: repository.remove(parsed)):
            raise NotFound(f"no {kind.KIND} row has the {kind.KEY} {key!r}", hint=f"inos db list {kind.KIND}")

    async def search(self, text: str, kind: str, limit: int) -> tuple[Found, ...]:
        return await self._run(lambda: self._rows.search.find(text, kind, limit))

    async def stats(self) -> DatabaseStats:
        return await self._run(self._stats)

    async def check(self) -> DatabaseCheck:
        def work() -> DatabaseCheck:
            problems = self._database.check() or [*self._references(), *self._rows.search.problems()]
            return DatabaseCheck(not problems, tuple(problems))

        return await self._run(work)

    def _writable(self, kind: type[R]) -> Repository[R]:
        repository = self._rows.of(kind)
        assert isinstance(repository, Repository)
        return repository

    def _stats(self) -> DatabaseStats:
        size = self._database.size()
        schema, upgraded_at_s = self._database.read(_schema)
        counts = {repository.kind.KIND: repository.count() for repository in self._rows.all}
        return DatabaseStats(
            schema, upgraded_at_s, size.file_bytes, size.log_bytes, size.free_bytes, counts, size.previous
        )

    def _references(self) -> list[str]:
        rows = self._database.read(lambda cursor: list(cursor.execute("PRAGMA foreign_key_check")))
        return [f"a row of {row[0]} refers to one of {row[2]} that is not there" for row in rows]

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._env.in_thread(work)


def _schema(cursor: Cursor) -> tuple[int, int | None]:
    version = int(one(cursor.execute("PRAGMA user_version"))[0])
    return version, taken_at(cursor, version)
