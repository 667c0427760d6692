"""Finding messages in a cache: by words, and by the short fields, through one index that lags behind.

The index holds, for each message, the words of its text and a label for each field that can be asked for. What has come
since the last indexing is gone through instead, so a search finds all there is; the short fields of each row found are
checked once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from inos.core.messages.message import MAX_TIME_MS, Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.words import has_words, query_words, shown, text_of, words_of
from inos.messages.cache_room import Room
from inos.messages.cache_rows import ends, fact, place_since, place_until, run, set_fact
from inos.messages.cache_schema import INDEXED
from inos.messages.labels import asked_label, asked_priority, asked_word, labels
from inos.messages.stored_form import message_of
from inos.store.cursor import Cursor

_FIELDS: Final = ("task", "role", "kind", "recipient")
_LAST_SEQ: Final = (1 << 62) - 1
# Words of a message in the index take up about as much as its text; what is already there grows when it is rewritten.
_INDEX_SHARE: Final = 2


def index_step(cursor: Cursor, room: Room, most: int) -> int:
    """Index up to `most` messages; how many were. Raises StorageFull when the index has no room."""
    sql = "SELECT seq, body FROM messages WHERE seq > ? ORDER BY seq LIMIT ?"
    entries = [(seq, _entry(message_of(body))) for seq, body in cursor.execute(sql, (fact(cursor, INDEXED), most))]
    if not entries:
        return 0
    room.make(cursor, [_INDEX_SHARE * len(text) for _, text in entries])
    for seq, text in entries:
        run(cursor, "INSERT INTO words (rowid, text) VALUES (?, ?)", (seq, text))
    set_fact(cursor, INDEXED, entries[-1][0])
    return len(entries)


def _entry(message: Message) -> str:
    # Not the agent: a cache has one.
    fields = labels("", message.kind, message.priority, message.task, message.role, message.recipient)
    return " ".join((*words_of(text_of(message)), fields.decode()))


def find(cursor: Cursor, query: MessageQuery, agent: str) -> MessagePage:
    """The page that `query` asks for, of an agent's own messages. Nobody has marked them here: all are unread."""
    if query.agent not in ("", agent) or query.state not in ("", "open", "unread"):
        return MessagePage(())
    found: list[StoredMessage] = []
    for stored in _matching(cursor, query):
        if len(found) == query.limit:
            return MessagePage(tuple(found), "" if query.order == "best" else str(found[-1].seq))
        found.append(stored)
    return MessagePage(tuple(found))


def _matching(cursor: Cursor, query: MessageQuery) -> Iterator[StoredMessage]:
    wanted = query_words(query.text)
    indexed = fact(cursor, INDEXED) if wanted else 0
    for seq, time_ms, body in _candidates(cursor, query, wanted):
        if not query.since_ms <= time_ms < query.until_ms:
            continue
        message = message_of(body)
        text = text_of(message) if wanted else ""
        # What comes from the index has the words: they went into it as `has_words` takes them.
        if fits(message, query) and (seq <= indexed or not wanted or has_words(text, wanted)):
            yield StoredMessage(message, seq, time_ms, snippet=shown(message, wanted) if wanted else "")


def fits(message: Message, query: MessageQuery) -> bool:
    """Whether a message has the short fields that are asked for."""
    return message.priority >= query.priority and all(
        getattr(query, name) in ("", getattr(message, name)) for name in _FIELDS
    )


def _candidates(cursor: Cursor, query: MessageQuery, wanted: Sequence[str]) -> Iterator[tuple[int, int, bytes]]:
    low, high = _between(cursor, query)
    match = _match(query, wanted)
    indexed = fact(cursor, INDEXED) if match else 0
    down = query.order != "oldest"
    order = "DESC" if down else "ASC"
    gone_through = f"SELECT seq, time_ms, body FROM messages WHERE seq BETWEEN ? AND ? ORDER BY seq {order}"
    looked_up = (
        "SELECT m.seq, m.time_ms, m.body FROM words JOIN messages AS m ON m.seq = words.rowid"
        f" WHERE words MATCH ? AND words.rowid BETWEEN ? AND ? ORDER BY {_ranked(query, order)}"
    )
    if down or not match:
        yield from cursor.execute(gone_through, (max(low, indexed + 1), high))
    if match:
        yield from cursor.execute(looked_up, (match, low, min(high, indexed)))
        if not down:
            yield from cursor.execute(gone_through, (max(low, indexed + 1), high))


def _ranked(query: MessageQuery, order: str) -> str:
    return "words.rank" if query.order == "best" else f"words.rowid {order}"


def _between(cursor: Cursor, query: MessageQuery) -> tuple[int, int]:
    """The first and the last seq at which there may be something."""
    low, high = ends(cursor)
    if query.since_ms:
        low = place_since(cursor, query.since_ms)
    if query.until_ms < MAX_TIME_MS:
        high = place_until(cursor, query.until_ms) - 1
    after = min(int(query.after), _LAST_SEQ) if query.after else 0
    if after and query.order == "oldest":
        low = max(low, after + 1)
    elif after:
        high = min(high, after - 1)
    return low, high


def _match(query: MessageQuery, wanted: Sequence[str]) -> str:
    """The question to the index; "" when it is not needed."""
    parts = [asked_word(each) for each in wanted]
    parts += [asked_label(name, value) for name in _FIELDS if (value := getattr(query, name))]
    if query.priority:
        parts.append(asked_priority(query.priority))
    return " AND ".join(parts)
