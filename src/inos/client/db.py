"""`mesh.db`: the rows of the node's own database, over its API.

    async for component in mesh.db.rows(Component, where="type", equals="backend"):
        print(component.name)
    await mesh.db.save(Preference("theme", "dark", updated_at_s=int(time.time())))

The kinds are in `inos.core.rows`; `docs/api.md` lists their fields and the orders each can be listed in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import quote

from inos.client.calls import Calls, json_request
from inos.client.http import Request
from inos.core.errors import BadFrame, BadInput
from inos.core.rows.calls import MAX_FOUND, refuse_unless_writable
from inos.core.rows.row import DatabaseCheck, DatabaseStats, Found, Page, Query, R, Row, field_names, to_json


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    found: tuple[Found, ...]


class Db:
    """Rows of one node. Every failure is an InosError."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def rows(
        self, kind: type[R], *, where: str = "", equals: Any = None, by: str = "", descending: bool = False
    ) -> AsyncGenerator[R, None]:
        """All rows of a kind, or those whose field `where` has the value `equals`, in the order called `by`."""
        query = Query(kind, where, equals, by, descending)
        while True:
            page = await self.page(query)
            for row in page.rows:
                yield row
            if not page.next:
                return
            query = dataclasses.replace(query, after=page.next)

    async def page(self, query: Query[R]) -> Page[R]:
        """One page of rows."""
        kind = query.kind
        order = query.chosen()
        asked = {"by": order.name, "descending": str(query.descending).lower(), "limit": str(query.limit)}
        if query.where:
            asked |= {"where": query.where, "equals": str(to_json(kind, query.where, query.equals))}
        if query.after:
            asked["after"] = query.after
        value = await self._calls.json(Request("GET", f"/v1/db/{kind.KIND}", asked))
        if not isinstance(value, dict) or not isinstance(found := value.get("rows"), list):
            raise BadFrame("the node's answer is not a page of rows")
        return Page(tuple(_row(kind, each) for each in found), str(value.get("next", "")))

    async def get(self, kind: type[R], key: str) -> R:
        """One row by its key as text. NotFound."""
        return _row(kind, await self._calls.json(Request("GET", _path(kind, key))))

    async def save(self, row: R) -> R:
        """Insert, or replace the one with the same key."""
        return await self.put(type(row), row.to_dict())

    async def put(self, kind: type[R], values: Mapping[str, Any]) -> R:
        """As `save`, from fields as JSON has them; a time that must be given and is not is that of the node."""
        refuse_unless_writable(kind)
        key = values.get(kind.KEY)
        if not isinstance(key, str):
            raise BadInput(f"{kind.KEY} is missing", hint=f"it names a row of {kind.KIND}")
        return _row(kind, await self._calls.json(json_request("PUT", _path(kind, key), values)))

    async def remove(self, kind: type[Row], key: str) -> None:
        """Remove one row. NotFound; Conflict while another row needs it."""
        await self._calls.json(Request("DELETE", _path(kind, key)))

    async def search(self, text: str, kind: str = "", limit: int = MAX_FOUND) -> tuple[Found, ...]:
        """The rows that have words starting with all words of `text`, best first."""
        asked = {"text": text, "kind": kind, "limit": str(limit)}
        return (await self._calls.get(_Found, "/v1/db/search", asked)).found

    async def stats(self) -> DatabaseStats:
        """How large the database is and what is in it."""
        return await self._calls.get(DatabaseStats, "/v1/db")

    async def check(self) -> DatabaseCheck:
        """Read all of the database and say what is wrong."""
        return await self._calls.post(DatabaseCheck, "/v1/db/check", {})


def _path(kind: type[Row], key: str) -> str:
    if not key:
        raise BadInput(f"a row of {kind.KIND} is named by its {kind.KEY}")
    return f"/v1/db/{kind.KIND}/{quote(key, safe='')}"


def _row(kind: type[R], value: Any) -> R:
    try:
        known = {name: value[name] for name in field_names(kind) if name in value}  # a newer node may add some
        return kind.from_dict(known)
    except (BadInput, TypeError) as error:
        raise BadFrame(f"the node's answer is not a row of {kind.KIND}: {error}") from None
