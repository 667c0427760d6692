"""The schema of an agent's cache, as numbered steps like those of a node's own database.

`messages` are in the order of writing: seq and id grow together, so that an id is found by halving and no index has to
be written with each message. What else is asked for (words, task, kind, role, recipient, priority) is found through
`words`, which is filled later, up to the fact `indexed_seq`. A message has a row in at most one of `outbox` (the hub
has not got it), `sent` (a hub has it, which may still be lost) and `parked` (refused); in none: it is safe elsewhere,
or was never to be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inos.store.migrations.step import Migration

# The tokenizer splits at spaces: the words come folded and parted by core/messages/words.py, as everywhere.
_SQL: Final = """
CREATE TABLE messages (
    seq     INTEGER PRIMARY KEY,
    id      BLOB NOT NULL CHECK (length(id) = 16),
    time_ms INTEGER NOT NULL,
    body    BLOB NOT NULL
) STRICT;
CREATE TABLE outbox (
    seq     INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE hubs (
    number   INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    covered  INTEGER NOT NULL
) STRICT;
CREATE TABLE sent (
    seq     INTEGER PRIMARY KEY,
    hub     INTEGER NOT NULL,
    hub_seq INTEGER NOT NULL
) STRICT;
CREATE TABLE parked (
    seq     INTEGER PRIMARY KEY,
    at_ms   INTEGER NOT NULL,
    code    TEXT NOT NULL,
    message TEXT NOT NULL,
    hint    TEXT NOT NULL
) STRICT;
CREATE TABLE copies (
    number INTEGER PRIMARY KEY,
    id     BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    body   BLOB NOT NULL
) STRICT;
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(text, content = '', contentless_delete = 1, tokenize = 'ascii');
"""

V1: Final = Migration(
    "messages, outbox, what hubs have, copies, words",
    _SQL,
    frozenset({"messages", "outbox", "hubs", "sent", "parked", "copies", "facts", "words"}),
)
CACHE_MIGRATIONS: Final[Sequence[Migration]] = (V1,)

# Names of facts: up to where the index goes; messages removed since the beginning; the most by which an id was ahead of
# its message's time; whose cache it is; the number of the hub that answered last.
INDEXED: Final = "indexed_seq"
REMOVED: Final = "removed"
SETBACK: Final = "setback_ms"
AGENT: Final = "agent"
HUB: Final = "hub"
