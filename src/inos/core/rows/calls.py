"""What can be asked of the rows of a node's database: the same calls beside the database, over the API, and offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from inos.core.errors import Refused
from inos.core.rows.row import DatabaseCheck, DatabaseStats, Found, Page, Query, R, Row

MAX_FOUND: Final = 200


class RowCalls(Protocol):
    """All asynchronous; each raises InosErrors, and does all of what it says or nothing."""

    async def page(self, query: Query[R]) -> Page[R]:
        """Rows in order, as `query` asks."""

    async def get(self, kind: type[R], key: str) -> R:
        """One row by its key as text. NotFound."""

    async def put(self, kind: type[R], values: Mapping[str, Any]) -> R:
        """Insert a row, or replace the one with the same key, and give it as it is now; synced. `values` are its fields
        as in JSON; a time that must be given and is not is that of the node. Refused for kinds that only the node
        writes; Conflict where it names something that is not there."""

    async def remove(self, kind: type[Row], key: str) -> None:
        """Remove one row; synced. NotFound; Conflict while another row needs it."""

    async def search(self, text: str, kind: str, limit: int) -> tuple[Found, ...]:
        """The rows that have words starting with all words of `text`, best first; of one kind, or "" for all."""

    async def stats(self) -> DatabaseStats:
        """How large the database is and what is in it."""

    async def check(self) -> DatabaseCheck:
        """Read all of the database and say what is wrong."""


def refuse_unless_writable(kind: type[Row]) -> None:
    """Raises Refused for what only the node itself puts in."""
    if not kind.WRITABLE:
        raise Refused(f"rows of {kind.KIND} are written by the node alone", hint="inos db list shows them")


def refuse_unless_removable(kind: type[Row]) -> None:
    """Raises Refused for what only the node itself takes out."""
    if not kind.REMOVABLE:
        raise Refused(f"rows of {kind.KIND} are removed by the node alone", hint="'inos rm' removes objects")
