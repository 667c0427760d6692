"""How a corpus in SQLite is read: the one row, pages, searches. Functions of a cursor, on one snapshot each.

What a query names is followed along an index: of those that would do, the one with the fewest rows (counted up to
PROBE). The rest of what it names is compared on the narrow rows that the index gives, in the order of seq, so that a
page ends as soon as it is full.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from inos.core.errors import NotFound
from inos.core.messages.ids import from_bytes, parse_id, to_bytes
from inos.core.messages.marks import Marks
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.ranking import RANKED, best, may_have
from inos.core.messages.words import has_words, query_words, snippet, text_of
from inos.messages.corpus import MAX_ANSWER_BYTES, MarkChange
from inos.messages.fresh_words import among
from inos.messages.sqlite_plan import Plan, driver_for, limits, page_sql, search_sql
from inos.messages.stored_form import message_of, text_in, unpack
from inos.store.cursor import Cursor, Row, first, one

_COLUMNS: Final = "seq, received_ms, marks, (SELECT body FROM bodies WHERE bodies.seq = messages.seq) AS body"
_NO_MARKS: Final = Marks()
Fresh = Callable[[int], str | None]
# So few are gone through sooner than the index of words is asked.
_FEW: Final = 200


def identity(cursor: Cursor) -> str:
    """The corpus' name, "" before it has one."""
    row = first(cursor.execute("SELECT identity FROM corpus"))
    return "" if row is None else str(row[0])


def counters(cursor: Cursor) -> tuple[int, int, int, int]:
    """last_seq, unread, last_mark_seq, indexed_seq."""
    last_seq, unread, last_mark_seq, indexed_seq = one(
        cursor.execute("SELECT last_seq, unread, last_mark_seq, indexed_seq FROM corpus")
    )
    return last_seq, unread, last_mark_seq, indexed_seq


def unindexed(behind: int, most: int, cursor: Cursor) -> list[tuple[int, bytes]]:
    """The first messages behind a seq, as they are kept."""
    sql = "SELECT seq, body FROM bodies WHERE seq > ? ORDER BY seq LIMIT ?"
    return [(seq, body) for seq, body in cursor.execute(sql, (behind, most))]


def get(message_id: str, cursor: Cursor) -> StoredMessage:
    """One message. NotFound."""
    key = to_bytes(parse_id(message_id))
    row = first(cursor.execute(f"SELECT {_COLUMNS} FROM messages WHERE id = ?", (key,)))
    if row is None:
        raise NotFound(f"no message has the id {message_id[:80]}", hint="see which there are: inos msg tail")
    return _stored(row)


def after(seq: int, limit: int, cursor: Cursor) -> list[StoredMessage]:
    """Messages behind `seq`."""
    rows = cursor.execute(f"SELECT {_COLUMNS} FROM messages WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
    found: list[StoredMessage] = []
    size = 0
    for row in rows:
        size += len(row[3])
        if found and size > MAX_ANSWER_BYTES:
            break
        found.append(_stored(row))
    return found


def marks_after(mark_seq: int, limit: int, cursor: Cursor) -> list[MarkChange]:
    """Changes of marks behind `mark_seq`."""
    sql = "SELECT id, marks, mark_seq FROM messages WHERE mark_seq > ? ORDER BY mark_seq LIMIT ?"
    rows = cursor.execute(sql, (mark_seq, limit))
    return [MarkChange(from_bytes(key), marks_of(encoded), number) for key, encoded, number in rows]


def marks_of(encoded: str | None) -> Marks:
    """Marks as they are kept."""
    return _NO_MARKS if encoded is None else Marks.from_json(json.loads(encoded))


def _stored(row: Row, words: list[str] | None = None) -> StoredMessage:
    seq, received_ms, encoded, body = row
    message = message_of(body)
    found = snippet(text_of(message), words) if words else ""
    return StoredMessage(message, seq, received_ms, marks_of(encoded), found)


def page(query: MessageQuery, fresh: Fresh, cursor: Cursor) -> MessagePage:
    """The page of a query. `fresh` gives the words of some messages that are not indexed yet."""
    words = query_words(query.text)
    plan = driver_for(query, lambda sql, values: int(one(cursor.execute(sql, values))[0]), limits(query, cursor))
    if plan is None:
        return MessagePage(())
    if not words:
        return _cut(_rows(cursor, plan, _COLUMNS), query, [])
    _, _, _, indexed_seq = counters(cursor)
    if query.order == "best":
        found = list(islice(_found(cursor, plan, words, indexed_seq, fresh), RANKED))
        chosen = best([unpack(row[3]) for row in found], words, query.limit)
        return MessagePage(tuple(_stored(found[place], words) for place in chosen))
    return _cut(_found(cursor, plan, words, indexed_seq, fresh), query, words)


def _found(cursor: Cursor, plan: Plan, words: list[str], indexed_seq: int, fresh: Fresh) -> Iterator[Row]:
    """In order: what is not indexed is at the newest end."""
    if plan.newest_first:
        yield from _scanned(cursor, plan.above(indexed_seq), words, fresh)
    yield from _searched(cursor, plan.up_to(indexed_seq), words)
    if not plan.newest_first:
        yield from _scanned(cursor, plan.above(indexed_seq), words, fresh)


def _scanned(cursor: Cursor, plan: Plan, words: list[str], fresh: Fresh = lambda _: None) -> Iterator[Row]:
    for row in _rows(cursor, plan, _COLUMNS):
        *fields, body = row
        if (known := fresh(row[0])) is not None:
            if among(known, words):
                yield row
            continue
        encoded = unpack(body)
        if may_have(encoded, words) and has_words(text_in(encoded), words):
            yield *fields, encoded


def _searched(cursor: Cursor, plan: Plan, words: list[str]) -> Iterable[Row]:
    if plan.count <= _FEW:
        return _scanned(cursor, plan, words)
    sql, values = search_sql(plan, words, _COLUMNS)
    return cursor.execute(sql, values)


def _rows(cursor: Cursor, plan: Plan, columns: str) -> Iterable[Row]:
    if plan.low > plan.high:
        return ()
    sql, values = page_sql(plan, columns)
    return cursor.execute(sql, values)


def _cut(rows: Iterable[Row], query: MessageQuery, words: list[str]) -> MessagePage:
    """At most `limit` of them and MAX_ANSWER_BYTES; more than one at least."""
    found: list[StoredMessage] = []
    size = 0
    for row in rows:
        size += len(row[3])
        if found and (len(found) == query.limit or size > MAX_ANSWER_BYTES):
            return MessagePage(tuple(found), str(found[-1].seq))
        found.append(_stored(row, words))
    return MessagePage(tuple(found))
