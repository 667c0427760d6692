"""The index of what was fetched from the mesh and kept."""

from __future__ import annotations

from collections.abc import Sequence

from inos.core.errors import Conflict
from inos.core.ids import Address
from inos.core.rows.kept import Cached
from inos.store.cursor import Cursor, first
from inos.store.repositories.repository import Form, Repository

_ADDRESS = Form(bytes, Address)


class Cache(Repository[Cached]):
    """One row for each address asked for; it goes with the chunk that has its bytes."""

    kind = Cached
    table = "mesh_cache"
    forms = {"address": _ADDRESS, "chunk": _ADDRESS}

    def touch(self, addresses: Sequence[Address], now_s: float) -> None:
        """Count one more access to each of those that are there, just now, in one transaction."""
        sql = "UPDATE mesh_cache SET last_accessed = max(last_accessed, ?), access_count = access_count + 1"
        values = ((int(now_s), bytes(address)) for address in addresses)
        self._database.write(lambda cursor: list(cursor.executemany(f"{sql} WHERE address = ?", values)))

    def _before_put(self, cursor: Cursor, row: Cached) -> None:
        if first(cursor.execute("SELECT 1 FROM chunks WHERE address = ?", (bytes(row.chunk),))) is None:
            raise Conflict(f"chunk {row.chunk} is not on this disk", hint="the chunk comes first, its row after it")
