"""A hub's corpus in a PostgreSQL database, for corpora that outgrow one machine's disk: writing. Reading is
`postgres_reading.py`.

Each call is a transaction. Whatever writes first takes the row of counters, and holds it to its end: so seq grows
without gaps in the order in which transactions are seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, NotFound
from inos.core.messages.ids import next_id, parse_id
from inos.core.messages.marks import STATES, Mark, MarkName, Marks
from inos.core.messages.message import Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import MAX_BATCH, Result
from inos.core.messages.words import words_of
from inos.messages import postgres_reading as reading
from inos.messages.corpus import CorpusStats, MarkChange
from inos.messages.postgres_connections import MAX_CONNECTIONS, Connections, Cursor
from inos.messages.postgres_schema import SCHEMA, prepare
from inos.messages.stored_form import pack, text_in, unpack

# As in SQLite: what a search has to go through stays short also where nobody calls `index_step`.
MAX_UNINDEXED: Final = 10_000
_UNREAD: Final = STATES.index("unread")
# What a text vector can hold: a megabyte of words, places up to 16,383.
_MAX_VECTOR_BYTES: Final = 900_000
_OTHER: Final = "another message was stored under this id"
_INSERT: Final = (
    "INSERT INTO messages (seq, id, time_ms, received_ms, agent, kind, priority, task, role, recipient)"
    " SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[], %s::text[], %s::text[],"
    " %s::smallint[], %s::text[], %s::text[], %s::text[])"
)


class PostgresCorpus:
    """One corpus in one schema. Blocking; safe from several threads."""

    def __init__(self, url: str, env: Env, *, schema: str = SCHEMA) -> None:
        """Open the corpus in `schema` of the database at `url`, or begin one. Raises BadInput for what is no URL,
        Refused, Unavailable, NewerFormat."""
        self._connections = Connections(url, schema, env)
        made = str(next_id(int(env.now_s() * 1000), env.token_bytes(10), None))
        try:
            self._identity = prepare(self._connections, schema, made)
        except BaseException:
            self._connections.close()
            raise

    @property
    def identity(self) -> str:
        """A UUID, made with the corpus."""
        return self._identity

    @property
    def index_from(self) -> int:
        """See Corpus. It has no words at hand, so nothing is to wait."""
        return 1

    @property
    def at_once(self) -> int:
        """See Corpus."""
        return MAX_CONNECTIONS

    def insert(self, messages: Sequence[Message], now_ms: int) -> list[Result]:
        """See Writing."""
        if not messages:
            return []
        if len(messages) > MAX_BATCH:
            raise BadInput(f"at most {MAX_BATCH} messages are stored at a time, not {len(messages)}")
        encoded = [(each, each.encode()) for each in messages]
        with self._connections.writing() as cursor:
            return _insert(cursor, encoded, now_ms)

    def mark(self, ids: Sequence[str], name: MarkName, mark: Mark) -> list[StoredMessage]:
        """See Writing."""
        change = Marks().with_mark(name, mark)
        with self._connections.writing() as cursor:
            _lock(cursor)
            for message_id in ids:
                if not _merge(cursor, message_id, change):
                    raise NotFound(
                        f"no message has the id {message_id[:80]}", hint="see which there are: inos msg tail"
                    )
            return [reading.get(cursor, message_id) for message_id in ids]

    def merge_marks(self, changes: Sequence[tuple[str, Marks]]) -> None:
        """See Writing."""
        if not changes:
            return
        with self._connections.writing() as cursor:
            _lock(cursor)
            for message_id, change in changes:
                _merge(cursor, message_id, change)

    def index_step(self, most: int) -> int:
        """See Writing."""
        with self._connections.reading() as cursor:
            waiting = reading.unindexed(cursor, most)
        if not waiting:
            return 0
        found = [(seq, _vector(body)) for seq, body in waiting]
        with self._connections.writing() as cursor:
            return _index(cursor, found, _lock(cursor)[1])

    def query(self, query: MessageQuery) -> MessagePage:
        """See Reading."""
        with self._connections.reading() as cursor:
            return reading.page(cursor, query)

    def get(self, message_id: str) -> StoredMessage:
        """See Reading."""
        with self._connections.reading() as cursor:
            return reading.get(cursor, message_id)

    def after(self, seq: int, limit: int) -> list[StoredMessage]:
        """See Reading."""
        with self._connections.reading() as cursor:
            return reading.after(cursor, seq, limit)

    def marks_after(self, mark_seq: int, limit: int) -> list[MarkChange]:
        """See Reading."""
        with self._connections.reading() as cursor:
            return reading.marks_after(cursor, mark_seq, limit)

    def stats(self) -> CorpusStats:
        """See Reading."""
        with self._connections.reading() as cursor:
            return reading.stats(cursor)

    def close(self) -> None:
        """See Corpus."""
        self._connections.close()


def _lock(cursor: Cursor) -> tuple[int, int]:
    """last_seq and indexed_seq, which nobody else changes until the end of the transaction."""
    cursor.execute("SELECT last_seq, indexed_seq FROM corpus FOR UPDATE")
    last_seq, indexed_seq = cursor.fetchone() or (0, 0)
    return last_seq, indexed_seq


def _insert(cursor: Cursor, encoded: Sequence[tuple[Message, bytes]], now_ms: int) -> list[Result]:
    last_seq, indexed_seq = _lock(cursor)
    known = _known(cursor, [each.id for each, _ in encoded])
    fresh: list[tuple[Message, bytes]] = []
    results: list[Result] = []
    for message, body in encoded:
        there = known.get(message.id)
        if there is None:
            fresh.append((message, body))
            known[message.id] = (last_seq + len(fresh), body)
            results.append(Result(message.id, "stored", last_seq + len(fresh)))
        elif there[1] == body:
            results.append(Result(message.id, "duplicate", there[0]))
        else:
            results.append(Result(message.id, "refused", 0, Conflict(_OTHER, hint="a changed message needs a new id")))
    if fresh:
        _store(cursor, fresh, last_seq + 1, now_ms)
        if last_seq + len(fresh) - indexed_seq > MAX_UNINDEXED:
            waiting = reading.unindexed(cursor, 2 * len(fresh))
            _index(cursor, [(seq, _vector(body)) for seq, body in waiting], indexed_seq)
    return results


def _known(cursor: Cursor, ids: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    cursor.execute(
        "SELECT id::text, seq, body FROM messages JOIN bodies USING (seq) WHERE id = ANY(%s::uuid[])", (list(ids),)
    )
    return {message_id: (seq, unpack(bytes(body))) for message_id, seq, body in cursor}


def _store(cursor: Cursor, fresh: Sequence[tuple[Message, bytes]], first_seq: int, now_ms: int) -> None:
    rows = [
        (
            seq, each.id, each.time_ms, now_ms, each.agent, each.kind, each.priority, each.task or None,
            each.role or None, each.recipient or None,
        )
        for seq, (each, _) in enumerate(fresh, first_seq)
    ]  # fmt: skip
    columns = [list(column) for column in zip(*rows, strict=True)]
    cursor.execute(_INSERT, columns)
    bodies = [pack(body) for _, body in fresh]
    cursor.execute("INSERT INTO bodies SELECT * FROM unnest(%s::bigint[], %s::bytea[])", (columns[0], bodies))
    last_seq, count = columns[0][-1], len(fresh)
    cursor.execute("UPDATE corpus SET last_seq = %s, unread = unread + %s", (last_seq, count))


def _merge(cursor: Cursor, message_id: str, change: Marks) -> bool:
    """Whether there is such a message."""
    cursor.execute("SELECT seq, state, marks FROM messages WHERE id = %s::uuid", (parse_id(message_id),))
    row = cursor.fetchone()
    if row is None:
        return False
    seq, state, encoded = row
    marks = reading.marks_of(encoded)
    merged = marks.merge(change)
    if merged.to_json() == marks.to_json():
        return True
    after = STATES.index(merged.state)
    unread = (after == _UNREAD) - (state == _UNREAD)
    cursor.execute(
        "UPDATE corpus SET last_mark_seq = last_mark_seq + 1, unread = unread + %s RETURNING last_mark_seq", (unread,)
    )
    (mark_seq,) = cursor.fetchone() or (0,)
    cursor.execute(
        "UPDATE messages SET state = %s, marks = %s, mark_seq = %s WHERE seq = %s",
        (after, json.dumps(merged.to_json()), mark_seq, seq),
    )
    return True


def _index(cursor: Cursor, found: Sequence[tuple[int, str]], indexed_seq: int) -> int:
    """Index what nobody has indexed meanwhile."""
    rest = [(seq, vector) for seq, vector in found if seq > indexed_seq]
    if not rest or rest[0][0] != indexed_seq + 1:
        return 0
    seqs, vectors = [seq for seq, _ in rest], [vector for _, vector in rest]
    cursor.execute("INSERT INTO words SELECT * FROM unnest(%s::bigint[], %s::tsvector[])", (seqs, vectors))
    cursor.execute("UPDATE corpus SET indexed_seq = %s", (seqs[-1],))
    return len(rest)


def _vector(stored: bytes) -> str:
    return " ".join(_lexemes(words_of(text_in(stored))))


def _lexemes(words: Iterable[str]) -> Iterable[str]:
    """Words are letters and digits, so that nothing in them needs escaping."""
    size = 0
    for place, word in enumerate(words, 1):
        size += len(word.encode())
        if size > _MAX_VECTOR_BYTES:
            return
        yield f"'{word}':{place}"
