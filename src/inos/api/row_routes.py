"""The calls under /v1/db: the rows of the node's own database, in and out as JSON.

A row is a JSON object with the fields of its kind (docs/api.md); its value type checks them, here as everywhere. A page
of rows is a raw route: to have seven fields of a query parsed by a model took longer than to read the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from inos.api.content import integer, query_of, send_json
from inos.api.service import RowKeeping
from inos.core.errors import BadInput
from inos.core.rows import kind_named
from inos.core.rows import row as rows
from inos.core.rows.calls import MAX_FOUND
from inos.core.rows.row import DatabaseCheck, DatabaseStats, Found, Row, from_json

# A cursor holds the values of a key and of what was asked for.
_CURSOR_MAX: Final = 8192
_TEXT_MAX: Final = 500
_DEFAULT_PAGE: Final = 100

_WORD_MAX: Final = 64
_LONGEST: Final = {"where": _WORD_MAX, "equals": _TEXT_MAX, "by": _WORD_MAX, "after": _CURSOR_MAX}
_YES: Final = frozenset({"true", "1", "yes", "on"})
_NO: Final = frozenset({"false", "0", "no", "off", ""})


class FoundRows(BaseModel):
    """What a search found, best first."""

    found: tuple[Found, ...]


class Removed(BaseModel):
    """One row was removed."""

    removed: str


def row_routes(service: RowKeeping) -> APIRouter:
    """Every call on rows."""
    router = APIRouter(prefix="/v1/db", tags=["rows"])

    # These first: a word of the API is nobody's kind.
    @router.get("", summary="How large the database is and what is in it")
    async def database_stats() -> DatabaseStats:
        return await service.db.stats()

    @router.post("/check", summary="Read all of the database and say what is wrong")
    async def database_check() -> DatabaseCheck:
        return await service.db.check()

    @router.get("/search", summary="Rows that have words starting with all of these")
    async def search_rows(
        text: Annotated[str, Query(min_length=1, max_length=_TEXT_MAX)],
        kind: Annotated[str, Query(max_length=64)] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_FOUND)] = MAX_FOUND,
    ) -> FoundRows:
        return FoundRows(found=await service.db.search(text, kind, limit))

    @router.get("/{kind}/{key:path}", summary="One row by its key")
    async def get_row(kind: str, key: str) -> dict[str, Any]:
        return (await service.db.get(kind_named(kind), key)).to_dict()

    @router.put("/{kind}/{key:path}", summary="Insert a row, or replace the one with this key")
    async def put_row(kind: str, key: str, body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        found = kind_named(kind)
        if body.get(found.KEY, key) != key:
            raise BadInput(f"{found.KEY} in the row is not {key!r}, as it is in the address")
        return (await service.db.put(found, body | {found.KEY: key})).to_dict()

    @router.delete("/{kind}/{key:path}", summary="Remove a row")
    async def remove_row(kind: str, key: str) -> Removed:
        await service.db.remove(kind_named(kind), key)
        return Removed(removed=key)

    return router


class ListRows:
    """GET /v1/db/{kind}: rows of a kind in order"""

    def __init__(self, service: RowKeeping) -> None:
        self._service = service

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        page = await self._service.db.page(rows_query(scope["path_params"]["kind"], query_of(scope)))
        await send_json(send, {"rows": [row.to_dict() for row in page.rows], "next": page.next})


def rows_query(kind: str, fields: Mapping[str, str]) -> rows.Query[Any]:
    """What the query of a request asks for. Raises BadInput, NotFound for no kind."""
    for name, longest in _LONGEST.items():
        if len(fields.get(name, "")) > longest:
            raise BadInput(f"{name} has at most {longest} characters")
    descending = fields.get("descending", "").lower()
    if descending not in _YES | _NO:
        raise BadInput(f"descending is true or false, not {descending[:20]!r}")
    found, where = kind_named(kind), fields.get("where", "")
    value = _value(found, where, fields.get("equals", "")) if where else None
    limit = integer(fields, "limit", _DEFAULT_PAGE)
    return rows.Query(found, where, value, fields.get("by", ""), descending in _YES, fields.get("after", ""), limit)


def _value(kind: type[Row], field: str, text: str) -> Any:
    if field not in rows.field_names(kind):
        return None  # the query says which fields there are
    return from_json(kind, field, text)
