"""Small facts a node keeps across restarts: its mesh, its certificate, the port it listened on. Bytes by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inos.core.errors import BadTicket
from inos.store.cursor import Cursor
from inos.store.database import Database

_REDEEMED = "redeemed/"


class Settings:
    """Settings in one database. Calls block; a value is synced when `put` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> bytes | None:
        def work(cursor: Cursor) -> bytes | None:
            return next(
                (bytes(row[0]) for row in cursor.execute("SELECT value FROM settings WHERE key = ?", (key,))), None
            )

        return self._database.read(work)

    def put(self, values: Mapping[str, bytes]) -> None:
        """Set all of these, or none."""
        self._database.write(lambda cursor: _put(cursor, values))

    def under(self, prefix: str) -> dict[str, bytes]:
        """All whose name begins with `prefix`, in order."""
        sql = "SELECT key, value FROM settings WHERE key >= ? AND key < ? ORDER BY key"
        return self._database.read(
            lambda cursor: {key: bytes(value) for key, value in cursor.execute(sql, (prefix, prefix + "\U0010ffff"))}
        )

    def change(self, values: Mapping[str, bytes], gone: Sequence[str]) -> None:
        """Set all of `values` and remove all that are `gone`, or do nothing."""

        def work(cursor: Cursor) -> None:
            _put(cursor, values)
            for key in gone:
                cursor.execute("DELETE FROM settings WHERE key = ?", (key,))

        self._database.write(work)

    def redeem(self, invitation_id: bytes, node: bytes) -> None:
        """Remember that `node` used a single-use invitation. Raises BadTicket when another one did."""
        key = _REDEEMED + invitation_id.hex()

        def work(cursor: Cursor) -> None:
            for (used_by,) in cursor.execute("SELECT value FROM settings WHERE key = ?", (key,)):
                if bytes(used_by) != node:
                    raise BadTicket("the ticket was used already", hint="ask for a new one: inos invite --single-use")
            _put(cursor, {key: node})

        self._database.write(work)


def _put(cursor: Cursor, values: Mapping[str, bytes]) -> None:
    for key, value in values.items():
        cursor.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))
