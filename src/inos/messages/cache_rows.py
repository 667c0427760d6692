"""Single rows of a cache, in terms of a cursor: facts, messages by place, places by id and by time.

Ids and seq grow together, so whatever is asked by id or by time is found by halving: some 20 looks in a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inos.core.messages.ids import MessageId, to_bytes
from inos.messages.cache_schema import SETBACK
from inos.store.cursor import Cursor, Row, SqlValue, first, one

_TIME_SHIFT: Final = 80  # bits of an id behind its time
_LAST_TIME_MS: Final = (1 << 48) - 1  # that an id can hold


def run(cursor: Cursor, sql: str, bindings: Sequence[SqlValue] = ()) -> None:
    """Run what gives no rows."""
    for _ in cursor.execute(sql, bindings):
        pass


def run_many(cursor: Cursor, sql: str, bindings: Sequence[Sequence[SqlValue]]) -> None:
    """Run what gives no rows once for each of `bindings`."""
    for _ in cursor.executemany(sql, bindings):
        pass


def fact(cursor: Cursor, name: str) -> int:
    """A number that was kept under a name, 0 before."""
    row = first(cursor.execute("SELECT value FROM facts WHERE name = ?", (name,)))
    return 0 if row is None else int(row[0])


def set_fact(cursor: Cursor, name: str, value: SqlValue) -> None:
    """Keep a fact."""
    run(cursor, "INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def last_row(cursor: Cursor) -> Row | None:
    """(seq, id) of the newest message."""
    return first(cursor.execute("SELECT seq, id FROM messages ORDER BY seq DESC LIMIT 1"))


def ends(cursor: Cursor) -> tuple[int, int]:
    """The least and the greatest seq; (1, 0) when there is no message."""
    low = one(cursor.execute("SELECT min(seq) FROM messages"))[0]
    return (1, 0) if low is None else (low, one(cursor.execute("SELECT max(seq) FROM messages"))[0])


def place_of_id(cursor: Cursor, wanted: bytes) -> int:
    """The seq of the first message whose id is not below `wanted`; behind the last when there is none."""
    low, last = ends(cursor)
    high = last + 1
    while low < high:
        middle = (low + high) // 2
        row = first(cursor.execute("SELECT seq, id FROM messages WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,)))
        if row is None or row[1] >= wanted:
            high = middle
        else:
            low = row[0] + 1
    return low


def row_of_id(cursor: Cursor, wanted: MessageId) -> Row | None:
    """(seq, time_ms, body) of a message."""
    as_bytes = to_bytes(wanted)
    seq = place_of_id(cursor, as_bytes)
    sql = "SELECT seq, time_ms, body, id FROM messages WHERE seq >= ? ORDER BY seq LIMIT 1"
    row = first(cursor.execute(sql, (seq,)))
    return row[:3] if row is not None and row[3] == as_bytes else None


def place_since(cursor: Cursor, time_ms: int) -> int:
    """A seq below which no message is of `time_ms` or later: an id is never older than its message."""
    return place_of_id(cursor, _least_id(time_ms))


def place_until(cursor: Cursor, time_ms: int) -> int:
    """A seq from which on no message is older than `time_ms`: an id is ahead of its message by no more than the clock
    was ever set back."""
    return place_of_id(cursor, _least_id(time_ms + fact(cursor, SETBACK)))


def _least_id(time_ms: int) -> bytes:
    return (min(time_ms, _LAST_TIME_MS) << _TIME_SHIFT).to_bytes(16, "big")
