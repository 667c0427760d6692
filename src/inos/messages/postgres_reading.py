"""How a corpus in PostgreSQL is read: pages, searches, the one row. Functions of a cursor, on one snapshot each.

The server's planner knows how common each value is, and chooses the index; rows come in the order of seq, no more than
a page of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, LiteralString

from inos.core.errors import NotFound
from inos.core.messages.ids import parse_id
from inos.core.messages.marks import STATES, Marks
from inos.core.messages.message import MAX_TIME_MS
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.ranking import RANKED, best, may_have
from inos.core.messages.words import PREFIX_FROM, has_words, query_words, shown
from inos.messages.corpus import MAX_ANSWER_BYTES, CorpusStats, MarkChange
from inos.messages.postgres_connections import Cursor
from inos.messages.stored_form import message_of, text_in, unpack

_MAX_SEQ: Final = (1 << 63) - 1
_NO_MARKS: Final = Marks()
_ROW: Final = "SELECT seq, received_ms, marks, body FROM messages JOIN bodies USING (seq)"
_FIELDS: Final[tuple[LiteralString, ...]] = ("agent", "task", "role", "kind", "recipient")

Row = tuple[Any, ...]


def stats(cursor: Cursor) -> CorpusStats:
    """The counters, and the size of the tables."""
    cursor.execute(
        "SELECT last_seq, unread, last_mark_seq, indexed_seq, pg_total_relation_size('messages')"
        " + pg_total_relation_size('bodies') + pg_total_relation_size('words') FROM corpus"
    )
    last_seq, unread, last_mark_seq, indexed_seq, used = cursor.fetchone() or (0, 0, 0, 0, 0)
    return CorpusStats(last_seq, unread, last_seq, last_mark_seq, used, last_seq - indexed_seq)


def unindexed(cursor: Cursor, most: int) -> list[tuple[int, bytes]]:
    """The first messages that are not indexed, as they are kept."""
    cursor.execute(
        "SELECT seq, body FROM bodies WHERE seq > (SELECT indexed_seq FROM corpus) ORDER BY seq LIMIT %s", (most,)
    )
    return [(seq, bytes(body)) for seq, body in cursor]


def get(cursor: Cursor, message_id: str) -> StoredMessage:
    """One message. NotFound."""
    cursor.execute(_ROW + " WHERE id = %s::uuid", (parse_id(message_id),))
    row = cursor.fetchone()
    if row is None:
        raise NotFound(f"no message has the id {message_id[:80]}", hint="see which there are: inos msg tail")
    return _stored(row)


def after(cursor: Cursor, seq: int, limit: int) -> list[StoredMessage]:
    """Messages behind `seq`."""
    rows = cursor.execute(_sized(_ROW + " WHERE seq > %s ORDER BY seq LIMIT %s", "ASC"), (seq, limit)).fetchall()
    size = 0
    for number, row in enumerate(rows):
        size += len(row[3])
        if number and size > MAX_ANSWER_BYTES:
            rows = rows[:number]
            break
    return [_stored(row) for row in rows]


def marks_after(cursor: Cursor, mark_seq: int, limit: int) -> list[MarkChange]:
    """Changes of marks behind `mark_seq`."""
    cursor.execute(
        "SELECT id::text, marks, mark_seq FROM messages WHERE mark_seq > %s ORDER BY mark_seq LIMIT %s",
        (mark_seq, limit),
    )
    return [MarkChange(message_id, marks_of(encoded), number) for message_id, encoded, number in cursor]


def marks_of(encoded: str | None) -> Marks:
    """Marks as they are kept."""
    return _NO_MARKS if encoded is None else Marks.from_json(json.loads(encoded))


def _stored(row: Row, words: Sequence[str] = ()) -> StoredMessage:
    seq, received_ms, encoded, body = row[:4]
    message = message_of(bytes(body))
    found = shown(message, words) if words else ""
    return StoredMessage(message, seq, received_ms, marks_of(encoded), found)


def page(cursor: Cursor, query: MessageQuery) -> MessagePage:
    """The page of a query."""
    words = query_words(query.text)
    if not words:
        return _cut(_matching(cursor, query, 1, _MAX_SEQ), query, words)
    cursor.execute("SELECT indexed_seq FROM corpus")
    (indexed_seq,) = cursor.fetchone() or (0,)
    if query.order == "best":
        rows = [*islice(_scanned(cursor, query, words, indexed_seq), RANKED)]
        rows += _newest(cursor, query, words, indexed_seq, RANKED - len(rows))
        chosen = best([unpack(bytes(row[3])) for row in rows], words, query.limit)
        return MessagePage(tuple(_stored(rows[place], words) for place in chosen))
    return _cut(_found(cursor, query, words, indexed_seq), query, words)


def _found(cursor: Cursor, query: MessageQuery, words: Sequence[str], indexed_seq: int) -> Iterator[Row]:
    """In order: what is not indexed is at the newest end."""
    if query.order == "newest":
        yield from _scanned(cursor, query, words, indexed_seq)
    yield from _matching(cursor, query, 1, indexed_seq, words)
    if query.order == "oldest":
        yield from _scanned(cursor, query, words, indexed_seq)


def _scanned(cursor: Cursor, query: MessageQuery, words: Sequence[str], indexed_seq: int) -> Iterator[Row]:
    where, values = _conditions(query, indexed_seq + 1, _MAX_SEQ, ())
    for row in _streamed(cursor, f"{_ROW} WHERE {where} ORDER BY seq {_way(query)}", values):
        encoded = unpack(bytes(row[3]))
        if may_have(encoded, words) and has_words(text_in(encoded), words):
            yield *row[:3], encoded


def _matching(cursor: Cursor, query: MessageQuery, low: int, high: int, words: Sequence[str] = ()) -> Iterator[Row]:
    """Rows with low <= seq <= high in the query's order, one more than a page has."""
    where, values = _conditions(query, low, high, words)
    selected = f"{_ROW}{_joined(words)} WHERE {where} ORDER BY seq {_way(query)} LIMIT {query.limit + 1}"
    yield from cursor.execute(_sized(selected, _way(query)), values).fetchall()


def _way(query: MessageQuery) -> LiteralString:
    return "ASC" if query.order == "oldest" else "DESC"


def _newest(cursor: Cursor, query: MessageQuery, words: Sequence[str], high: int, most: int) -> Iterable[Row]:
    where, values = _conditions(query, 1, high, words)
    statement = f"{_ROW}{_joined(words)} WHERE {where} ORDER BY seq DESC LIMIT {most}"
    return cursor.execute(statement, values).fetchall()


def _joined(words: Sequence[str]) -> LiteralString:
    return " JOIN words USING (seq)" if words else ""


def _asked(words: Sequence[str]) -> str:
    """A question to the index. Words are letters and digits, so that nothing in them needs escaping."""
    return " & ".join(f"'{word}':*" if len(word) >= PREFIX_FROM else f"'{word}'" for word in words)


def _conditions(query: MessageQuery, low: int, high: int, words: Sequence[str]) -> tuple[LiteralString, list[Any]]:
    if query.after and query.order == "newest":
        high = min(high, int(query.after) - 1)
    elif query.after and query.order == "oldest":
        low = max(low, min(_MAX_SEQ - 1, int(query.after)) + 1)
    found: list[LiteralString] = ["seq BETWEEN %s AND %s"]
    values: list[Any] = [low, high]

    def add(condition: LiteralString, *given: Any) -> None:
        found.append(condition)
        values.extend(given)

    if words:
        add("words @@ %s::tsquery", _asked(words))
    for name in _FIELDS:
        if value := getattr(query, name):
            add(name + " = %s", value)
    if query.priority:
        add("priority >= %s", query.priority)
    if query.since_ms:
        add("time_ms >= %s", query.since_ms)
    if query.until_ms < MAX_TIME_MS:
        add("time_ms < %s", query.until_ms)
    if query.state == "open":
        add("state <> 4")
    elif query.state:
        add("state = %s", STATES.index(query.state))
    return " AND ".join(found), values


def _sized(selected: str, way: str) -> str:
    """Of the rows selected, those that fit into an answer, and the first that does not, in one go."""
    sizes = f"SELECT *, octet_length(body) AS size, sum(octet_length(body)) OVER (ORDER BY seq {way}) AS total"
    return (
        f"SELECT seq, received_ms, marks, body FROM ({sizes} FROM ({selected}) AS page) AS sized"
        f" WHERE total - size <= {MAX_ANSWER_BYTES} ORDER BY seq {way}"
    )


_PART: Final = 64


def _streamed(cursor: Cursor, statement: str, values: Sequence[Any]) -> Iterator[Row]:
    """Rows as they are asked for, a part at a time: whoever asks does not know how many it needs."""
    cursor.execute("DECLARE rows NO SCROLL CURSOR FOR " + statement, values)
    try:
        while part := cursor.execute(f"FETCH {_PART} FROM rows").fetchall():
            yield from part
    finally:
        cursor.execute("CLOSE rows")


def _cut(rows: Iterable[Row], query: MessageQuery, words: Sequence[str]) -> MessagePage:
    """At most `limit` of them and MAX_ANSWER_BYTES; one at least."""
    found: list[StoredMessage] = []
    size = 0
    for row in rows:
        size += len(row[3])
        if found and (len(found) == query.limit or size > MAX_ANSWER_BYTES):
            return MessagePage(tuple(found), str(found[-1].seq))
        found.append(_stored(row, words))
    return MessagePage(tuple(found))
