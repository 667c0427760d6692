"""The calls under /v1/db: the rows of the node's own database, in and out as JSON.

A row is a JSON object with the fields of its kind (docs/api.md); its value type checks them, here as everywhere.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel

from inos.api.service import RowKeeping
from inos.core.errors import BadInput
from inos.core.rows import kind_named
from inos.core.rows import row as rows
from inos.core.rows.calls import MAX_FOUND
from inos.core.rows.row import MAX_PAGE, DatabaseCheck, DatabaseStats, Found, Row, from_json

# A cursor holds the values of a key and of what was asked for.
_CURSOR_MAX: Final = 8192
_TEXT_MAX: Final = 500
_DEFAULT_PAGE: Final = 100

Where = Annotated[str, Query(max_length=64, description="A field; only rows where it is `equals`")]
Equals = Annotated[str, Query(max_length=_TEXT_MAX)]
By = Annotated[str, Query(max_length=64, description="The name of an order of this kind")]
After = Annotated[str, Query(max_length=_CURSOR_MAX, description="The `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


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

    @router.get("/{kind}", summary="List rows of a kind in order")
    async def list_rows(
        kind: str,
        where: Where = "",
        equals: Equals = "",
        by: By = "",
        descending: bool = False,
        after: After = "",
        limit: Limit = _DEFAULT_PAGE,
    ) -> Response:
        found = kind_named(kind)
        value = _value(found, where, equals) if where else None
        page = await service.db.page(rows.Query(found, where, value, by, descending, after, limit))
        # The rows are JSON already: to have them gone through as a model again took longer than all else here.
        answer = {"rows": [row.to_dict() for row in page.rows], "next": page.next}
        return Response(json.dumps(answer), media_type="application/json")

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


def _value(kind: type[Row], field: str, text: str) -> Any:
    if field not in rows.field_names(kind):
        return None  # the query says which fields there are
    return from_json(kind, field, text)
