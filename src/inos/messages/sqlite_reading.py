"""How a corpus in SQLite is read: the one row, pages, searches. Functions of a cursor, on one snapshot each.

How a query finds its rows is decided in `sqlite_plan.py`. They come in the order of seq, so that a page ends as soon as
it is full; what is not in the index of words yet is gone through on the narrow rows, or on the words at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final

from inos.core.errors import NotFound
from inos.core.messages.ids import from_bytes, parse_id, to_bytes
from inos.core.messages.marks import Marks
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.ranking import RANKED, best, may_have
from inos.core.messages.words import has_words, query_words, shown
from inos.messages.corpus import MAX_ANSWER_BYTES, MarkChange
from inos.messages.fresh_words import FreshWords, needles
from inos.messages.sqlite_plan import Plan, driver_for, limits, page_sql, search_sql
from inos.messages.stored_form import message_of, text_in, unpack
from inos.store.cursor import Cursor, Row, first, one

_COLUMNS: Final = "seq, received_ms, marks, (SELECT body FROM bodies WHERE bodies.seq = messages.seq) AS body"
_NO_MARKS: Final = Marks()
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
    """The first messages behind a seq, as they are kept; fewer where they are over MAX_ANSWER_BYTES."""
    found: list[tuple[int, bytes]] = []
    size = 0
    for seq, body in cursor.execute("SELECT seq, body FROM bodies WHERE seq > ? ORDER BY seq LIMIT ?", (behind, most)):
        found.append((seq, body))
        size += len(body)
        if size > MAX_ANSWER_BYTES:
            break
    return found


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
    found = shown(message, words) if words else ""
    return StoredMessage(message, seq, received_ms, marks_of(encoded), found)


def page(query: MessageQuery, fresh: FreshWords, cursor: Cursor) -> MessagePage:
    """The page of a query. `fresh` has the words of messages that are not indexed yet."""
    words = query_words(query.text)
    plan = driver_for(query, words, lambda sql, values: int(one(cursor.execute(sql, values))[0]), limits(query, cursor))
    if plan is None:
        return MessagePage(())
    rows = _found(cursor, plan, words, fresh)
    if query.order != "best":
        return _cut(rows, query, words)
    found = list(islice(rows, RANKED))
    chosen = best([unpack(row[3]) for row in found], words, query.limit)
    return MessagePage(tuple(_stored(found[place], words) for place in chosen))


def _found(cursor: Cursor, plan: Plan, words: list[str], fresh: FreshWords) -> Iterable[Row]:
    """All rows of a plan that have `words`, in order: what is indexed, and what is not yet."""
    by_index = plan.index and (not words or plan.count <= _FEW)
    if not by_index and not plan.asked:
        return _rows(cursor, plan)
    *_, indexed_seq = counters(cursor)
    behind, indexed = plan.above(indexed_seq), plan.up_to(indexed_seq)
    found = _with_words(_rows(cursor, indexed), words) if by_index else _asked(cursor, indexed)
    parts = [_at_hand(cursor, behind, words, fresh) if words else _rows(cursor, behind), found]
    return chain.from_iterable(parts if plan.newest_first else reversed(parts))


def _rows(cursor: Cursor, plan: Plan) -> Iterator[Row]:
    if plan.low <= plan.high:
        yield from cursor.execute(*page_sql(plan, _COLUMNS))


def _asked(cursor: Cursor, plan: Plan) -> Iterator[Row]:
    if plan.low <= plan.high:
        yield from cursor.execute(*search_sql(plan, _COLUMNS))


def _with_words(rows: Iterable[Row], words: list[str]) -> Iterator[Row]:
    if not words:
        yield from rows
        return
    for *fields, body in rows:
        encoded = unpack(body)
        if may_have(encoded, words) and has_words(text_in(encoded), words):
            yield *fields, encoded


def _at_hand(cursor: Cursor, plan: Plan, words: list[str], fresh: FreshWords) -> Iterator[Row]:
    """Of a narrow row, only whether it has the words is asked at first; a whole one takes ten times as long."""
    wanted = needles(words)
    for (seq,) in list(cursor.execute(*page_sql(plan, "seq"))) if plan.low <= plan.high else ():
        known = fresh.words(seq)
        if known is not None and not all(each in known for each in wanted):
            continue
        rows = list(cursor.execute(f"SELECT {_COLUMNS} FROM messages WHERE seq = ?", (seq,)))
        yield from rows if known is not None else _with_words(rows, words)


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
