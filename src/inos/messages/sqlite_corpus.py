"""A hub's corpus in an encrypted SQLite file: what is written, and the counters. Reading is `sqlite_reading.py`.

Writers that meet share a commit and its sync (`store/group_commit.py`). Words are indexed later, by whoever calls
`index_step`; where nobody does, each insert indexes as much as it brings, so that what a search has to go through stays
short.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, NotFound
from inos.core.messages.ids import next_id, parse_id, to_bytes
from inos.core.messages.marks import STATES, Mark, MarkName, Marks
from inos.core.messages.message import Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import MAX_BATCH, Result
from inos.messages import sqlite_reading as reading
from inos.messages.corpus import CorpusStats, MarkChange
from inos.messages.fresh_words import FreshWords, entry_in
from inos.messages.sqlite_schema import BLOCK_BITS, MIGRATIONS
from inos.messages.stored_form import pack, unpack
from inos.store.cursor import Cursor, Rows, first, one
from inos.store.database import Database
from inos.store.filesystem import REAL_FILES, Files

# A backlog that comes in is stored first. What a search has to go through costs it 1 us a message whose words are at
# hand, and 10 us another: 100 ms for as many.
MAX_UNINDEXED: Final = 10_000
# 500 at a time cost twice as much a message. Writers wait meanwhile: some 40 ms.
INDEX_FROM: Final = 4_096
# What is shorter saves a quarter of a page, and takes as long as all else that storing it takes.
_PACK_FROM_BYTES: Final = 1_024
_UNREAD: Final = STATES.index("unread")
_ROW: Final = Rows(
    "INSERT OR IGNORE INTO messages (seq, id, time_ms, received_ms, agent, kind, priority, task, role, recipient)", 10
)
_BODY: Final = Rows("INSERT INTO bodies (seq, body)", 2)
_SPAN: Final = (
    "INSERT INTO spans VALUES (?, ?, ?) ON CONFLICT (block) DO UPDATE SET"
    " least_ms = min(least_ms, excluded.least_ms), most_ms = max(most_ms, excluded.most_ms)"
)
# Of the messages that are indexed: in the order of what they are kept by, so that few pages change.
_TIMES: Final = "INSERT INTO times SELECT time_ms, seq FROM messages WHERE seq BETWEEN ? AND ? ORDER BY time_ms, seq"
_STATES: Final = "INSERT INTO states SELECT state, seq FROM messages WHERE seq BETWEEN ? AND ? ORDER BY state, seq"
# Pages of the index of words that are merged in one transaction: some 5 ms.
_MERGED_PAGES: Final = 128
_CHANGES: Final = "SELECT total_changes()"
_OTHER: Final = "another message was stored under this id"


class SqliteCorpus:
    """One corpus in one file. Blocking; safe from several threads."""

    def __init__(self, path: Path, key: bytes, env: Env, *, files: Files = REAL_FILES) -> None:
        """Open the corpus at `path`, or begin one where nothing is. Raises as `Database` does."""
        self._database = Database(path, key, env, migrations=MIGRATIONS, files=files)
        made = str(next_id(int(env.now_s() * 1000), env.token_bytes(10), None))
        self._fresh = FreshWords()
        try:
            self._identity: str = self._database.read(reading.identity) or self._database.write(partial(_begin, made))
        except BaseException:
            self._database.close()
            raise

    @property
    def identity(self) -> str:
        """A UUID, made with the corpus."""
        return self._identity

    @property
    def index_from(self) -> int:
        """See Corpus."""
        return INDEX_FROM

    @property
    def at_once(self) -> int:
        """See Corpus. The database lets as many in as do it good."""
        return 0

    @property
    def database(self) -> Database:
        """The file, for its upkeep."""
        return self._database

    def insert(self, messages: Sequence[Message], now_ms: int) -> list[Result]:
        """See Writing."""
        if not messages:
            return []
        prepared = _prepared(messages)
        return self._remembered(prepared, self._database.write(partial(_insert, prepared, now_ms)))

    async def insert_async(self, messages: Sequence[Message], now_ms: int) -> list[Result]:
        """As `insert`, for many callers at once: none occupies a thread while it waits for the commit they share."""
        if not messages:
            return []
        prepared = _prepared(messages)
        return self._remembered(prepared, await self._database.write_async(partial(_insert, prepared, now_ms)))

    def _remembered(self, prepared: Sequence[_Prepared], results: list[Result]) -> list[Result]:
        for (message, _, body), result in zip(prepared, results, strict=True):
            if result.fate == "stored":
                self._fresh.keep(result.seq, message, body)
        return results

    def mark(self, ids: Sequence[str], name: MarkName, mark: Mark) -> list[StoredMessage]:
        """See Writing."""
        change = Marks().with_mark(name, mark)
        return self._database.write(partial(_mark, [(each, change) for each in ids]))

    def merge_marks(self, changes: Sequence[tuple[str, Marks]]) -> None:
        """See Writing."""
        self._database.write(partial(_merge_all, changes))

    def index_step(self, most: int) -> int:
        """See Writing."""
        _, _, _, indexed_seq = self._database.read(reading.counters)
        # What takes time is done before the others are kept from writing.
        found = list(self._entries(indexed_seq, most))
        if not found:
            return 0
        indexed = self._database.write(partial(_index, found))
        self._fresh.forget(found[-1][0])
        while self._database.write(_merge_words):  # others write in between
            pass
        return indexed

    def _entries(self, behind: int, most: int) -> Iterator[tuple[int, bytes]]:
        last = behind + most
        while behind < last and (entry := self._fresh.words(behind + 1)) is not None:
            behind += 1
            yield behind, entry
        if behind < last:
            for seq, body in self._database.read(partial(reading.unindexed, behind, last - behind)):
                yield seq, entry_in(body)

    def query(self, query: MessageQuery) -> MessagePage:
        """See Reading."""
        return self._database.read(partial(reading.page, query, self._fresh))

    def get(self, message_id: str) -> StoredMessage:
        """See Reading."""
        return self._database.read(partial(reading.get, message_id))

    def after(self, seq: int, limit: int) -> list[StoredMessage]:
        """See Reading."""
        return self._database.read(partial(reading.after, seq, limit))

    def marks_after(self, mark_seq: int, limit: int) -> list[MarkChange]:
        """See Reading."""
        return self._database.read(partial(reading.marks_after, mark_seq, limit))

    def stats(self) -> CorpusStats:
        """See Reading."""
        size = self._database.size()
        last_seq, unread, last_mark_seq, indexed_seq = self._database.read(reading.counters)
        used = size.file_bytes - size.free_bytes + size.log_bytes
        return CorpusStats(last_seq, unread, last_seq, last_mark_seq, used, last_seq - indexed_seq)

    def close(self) -> None:
        """See Corpus."""
        self._database.close()


_Prepared = tuple[Message, bytes, bytes]
"""A message, the 16 bytes of its id, and what is kept of it."""


def _prepared(messages: Sequence[Message]) -> list[_Prepared]:
    """All that can be done before the transaction."""
    if len(messages) > MAX_BATCH:
        raise BadInput(f"at most {MAX_BATCH} messages are stored at a time, not {len(messages)}")
    return [(each, to_bytes(each.id), _kept(each.encode())) for each in messages]


def _kept(encoded: bytes) -> bytes:
    return pack(encoded) if len(encoded) >= _PACK_FROM_BYTES else encoded


def _begin(identity: str, cursor: Cursor) -> str:
    list(cursor.execute("INSERT INTO corpus VALUES (1, ?, 0, 0, 0, 0)", (identity,)))
    return identity


def _insert(prepared: Sequence[_Prepared], now_ms: int, cursor: Cursor) -> list[Result]:
    last_seq, _, _, indexed_seq = reading.counters(cursor)
    fresh = list(enumerate(prepared, last_seq + 1))
    if _put_rows(cursor, fresh, now_ms):
        results = [Result(message.id, "stored", seq) for seq, (message, _, _) in fresh]
    else:
        list(cursor.execute("DELETE FROM messages WHERE seq > ?", (last_seq,)))
        results, fresh = _sorted_out(cursor, prepared, last_seq)
        _put_rows(cursor, fresh, now_ms)
    if fresh:
        _store(cursor, fresh)
        seq = last_seq + len(fresh)
        sql = "UPDATE corpus SET last_seq = ?, unread = unread + ?"
        list(cursor.execute(sql, (seq, seq - last_seq)))
        if seq - indexed_seq > MAX_UNINDEXED:
            waiting = reading.unindexed(indexed_seq, 2 * len(fresh), cursor)
            _index([(number, entry_in(body)) for number, body in waiting], cursor)
    return results


def _put_rows(cursor: Cursor, fresh: Sequence[tuple[int, _Prepared]], now_ms: int) -> bool:
    """Whether all of them are there now; otherwise some of their ids were, or came twice. To find that out beforehand
    would take a look at each."""
    rows = [
        (
            seq, key, each.time_ms, now_ms, each.agent, each.kind, each.priority, each.task or None, each.role or None,
            each.recipient or None,
        )
        for seq, (each, key, _) in fresh
    ]  # fmt: skip
    (before,) = one(cursor.execute(_CHANGES))
    _ROW.put(cursor, rows)
    (after,) = one(cursor.execute(_CHANGES))
    return bool(after - before == len(rows))


def _sorted_out(
    cursor: Cursor, prepared: Sequence[_Prepared], last_seq: int
) -> tuple[list[Result], list[tuple[int, _Prepared]]]:
    """What becomes of each, and those that are to be stored."""
    results: list[Result] = []
    fresh: list[tuple[int, _Prepared]] = []
    known = _known(cursor, [key for _, key, _ in prepared])
    for each in prepared:
        message, key, body = each
        if key in known:
            results.append(_again(cursor, message, *known[key]))
            continue
        seq = last_seq + len(fresh) + 1
        fresh.append((seq, each))
        known[key] = seq, body
        results.append(Result(message.id, "stored", seq))
    return results, fresh


def _known(cursor: Cursor, keys: Sequence[bytes]) -> dict[bytes, tuple[int, bytes | None]]:
    """The seq of each id that is there; what is kept of a message that is about to be stored goes beside it."""
    sql = f"SELECT id, seq FROM messages WHERE id IN ({', '.join('?' * len(keys))})"
    return {key: (seq, None) for key, seq in cursor.execute(sql, keys)}


def _again(cursor: Cursor, message: Message, seq: int, body: bytes | None) -> Result:
    if body is None:
        (body,) = one(cursor.execute("SELECT body FROM bodies WHERE seq = ?", (seq,)))
    if unpack(body) == message.encode():
        return Result(message.id, "duplicate", seq)
    return Result(message.id, "refused", 0, Conflict(_OTHER, hint="a changed message needs a new id"))


def _store(cursor: Cursor, fresh: Sequence[tuple[int, _Prepared]]) -> None:
    _BODY.put(cursor, [(seq, body) for seq, (_, _, body) in fresh])
    times: dict[int, list[int]] = {}
    for seq, (each, _, _) in fresh:
        times.setdefault(seq >> BLOCK_BITS, []).append(each.time_ms)
    list(cursor.executemany(_SPAN, [(block, min(each), max(each)) for block, each in times.items()]))


def _mark(changes: Sequence[tuple[str, Marks]], cursor: Cursor) -> list[StoredMessage]:
    for message_id, change in changes:
        if not _merge(cursor, message_id, change):
            raise NotFound(f"no message has the id {message_id[:80]}", hint="see which there are: inos msg tail")
    return [reading.get(message_id, cursor) for message_id, _ in changes]


def _merge_all(changes: Sequence[tuple[str, Marks]], cursor: Cursor) -> None:
    for message_id, change in changes:
        _merge(cursor, message_id, change)


def _merge(cursor: Cursor, message_id: str, change: Marks) -> bool:
    """Whether there is such a message."""
    sql = "SELECT seq, state, marks FROM messages WHERE id = ?"
    row = first(cursor.execute(sql, (to_bytes(parse_id(message_id)),)))
    if row is None:
        return False
    seq, state, encoded = row
    marks = reading.marks_of(encoded)
    merged = marks.merge(change)
    if merged.to_json() == marks.to_json():
        return True
    after = STATES.index(merged.state)
    unread = (after == _UNREAD) - (state == _UNREAD)
    sql = "UPDATE corpus SET last_mark_seq = last_mark_seq + 1, unread = unread + ? RETURNING last_mark_seq"
    (mark_seq,) = one(cursor.execute(sql, (unread,)))
    shown = json.dumps(merged.to_json(), separators=(",", ":"))
    update = "UPDATE messages SET state = ?, marks = ?, mark_seq = ? WHERE seq = ?"
    list(cursor.execute(update, (after, shown, mark_seq, seq)))
    # Of a message that is not indexed yet there is no row here.
    list(cursor.execute("UPDATE states SET reached = ? WHERE reached = ? AND seq = ?", (after, state, seq)))
    return True


def _index(found: Sequence[tuple[int, bytes]], cursor: Cursor) -> int:
    """Index what nobody has indexed meanwhile."""
    (indexed_seq,) = one(cursor.execute("SELECT indexed_seq FROM corpus"))
    rest = list(_behind(found, indexed_seq))
    list(cursor.executemany("INSERT INTO words (rowid, text) VALUES (?, CAST(? AS TEXT))", rest))
    if rest:
        span = rest[0][0], rest[-1][0]
        list(cursor.execute(_TIMES, span))
        list(cursor.execute(_STATES, span))
        list(cursor.execute("UPDATE corpus SET indexed_seq = ?", span[1:]))
    return len(rest)


def _merge_words(cursor: Cursor) -> bool:
    """Do a part of merging the index of words, where enough of one size came together; whether there was any."""
    (before,) = one(cursor.execute(_CHANGES))
    list(cursor.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (_MERGED_PAGES,)))
    (after,) = one(cursor.execute(_CHANGES))
    return bool(after - before >= 2)  # as FTS5 says it


def _behind(found: Sequence[tuple[int, bytes]], indexed_seq: int) -> Iterator[tuple[int, bytes]]:
    for seq, text in found:
        if seq == indexed_seq + 1:
            indexed_seq = seq
            yield seq, text
