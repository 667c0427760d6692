"""Copies of messages that were read from a hub, for when it is away: bounded, the first to go when room is short."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from inos.core.errors import NotFound, StorageFull
from inos.core.messages.ids import parse_id, to_bytes
from inos.core.messages.query import StoredMessage
from inos.messages.cache_room import Room
from inos.messages.cache_rows import run
from inos.store.cursor import Cursor, first
from inos.store.database import Database

# Some 20 pages of the largest kind, or 5 MB of usual messages.
MAX_COPIES: Final = 10_000
_LEVEL: Final = 1


class Copies:
    """Messages of other agents, as the hub last showed them. Blocking."""

    def __init__(self, database: Database, room: Room) -> None:
        self._database = database
        self._room = room

    def keep(self, found: Sequence[StoredMessage]) -> None:
        """Keep these, in the place of older copies. Where there is no room, none are kept."""
        rows = [(to_bytes(each.message.id), _packed(each)) for each in found]

        def work(cursor: Cursor) -> None:
            self._room.make(cursor, [len(body) for _, body in rows])
            for row in rows:
                run(cursor, "DELETE FROM copies WHERE id = ?", row[:1])
                run(cursor, "INSERT INTO copies VALUES (NULL, ?, ?)", row)
            run(cursor, "DELETE FROM copies WHERE number <= (SELECT max(number) FROM copies) - ?", (MAX_COPIES,))

        if rows:
            with suppress(StorageFull):
                self._database.write(work)

    def get(self, message_id: str) -> StoredMessage:
        """The copy of one message. NotFound."""
        wanted = parse_id(message_id)
        sql = "SELECT body FROM copies WHERE id = ?"
        row = self._database.read(lambda cursor: first(cursor.execute(sql, (to_bytes(wanted),))))
        if row is None:
            raise NotFound(f"no copy of the message {wanted}")
        return StoredMessage.from_json(json.loads(zlib.decompress(row[0])))

    def newest(self, limit: int) -> list[StoredMessage]:
        """The copies made last, the newest message on the hub first."""
        sql = "SELECT body FROM copies ORDER BY number DESC LIMIT ?"
        rows = self._database.read(lambda cursor: [row[0] for row in cursor.execute(sql, (limit,))])
        found = (StoredMessage.from_json(json.loads(zlib.decompress(row))) for row in rows)
        return sorted(found, key=lambda each: each.seq, reverse=True)


def _packed(stored: StoredMessage) -> bytes:
    return zlib.compress(json.dumps(stored.to_json(), separators=(",", ":")).encode(), _LEVEL)
