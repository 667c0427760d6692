"""The schema of a hub's corpus in SQLite, as numbered steps; a released one never changes.

`messages` has what is filtered by, narrow, so that a walk over it is short; the message itself lies in `bodies`. Rows
are never removed: seq is a row's number, without gaps. NULL stands for empty fields. `spans` says of each block of seqs
in which time its messages were written, so that a span of time is found although rows lie in the order of their
arrival. Of each message up to `indexed_seq`, `words` has its words, and what else never changes of it and is asked for
by its value (`labels.py`); `times` when it was written, `states` its state. `corpus` is one row: the counters, kept in
the transaction of what they count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inos.store.migrations.step import Migration

# 2^10 seqs: the map of a million messages is a thousand rows, and what it cannot tell apart is walked in a millisecond.
BLOCK_BITS: Final = 10
ARCHIVED: Final = 4
"""The place of "archived" in STATES, written out in an index below."""

_V1: Final = f"""
CREATE TABLE corpus (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    identity      TEXT    NOT NULL,
    last_seq      INTEGER NOT NULL,
    unread        INTEGER NOT NULL,
    last_mark_seq INTEGER NOT NULL,
    indexed_seq   INTEGER NOT NULL
) STRICT;
CREATE TABLE messages (
    seq         INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    time_ms     INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    agent       TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    priority    INTEGER NOT NULL,
    task        TEXT,
    role        TEXT,
    recipient   TEXT,
    state       INTEGER NOT NULL DEFAULT 0,
    marks       TEXT,
    mark_seq    INTEGER
) STRICT;
CREATE INDEX messages_agent     ON messages (agent);
CREATE INDEX messages_kind      ON messages (kind);
CREATE INDEX messages_priority  ON messages (priority);
CREATE INDEX messages_time      ON messages (time_ms);
CREATE INDEX messages_state     ON messages (state);
CREATE INDEX messages_open      ON messages (seq)       WHERE state != {ARCHIVED};
CREATE INDEX messages_task      ON messages (task)      WHERE task IS NOT NULL;
CREATE INDEX messages_role      ON messages (role)      WHERE role IS NOT NULL;
CREATE INDEX messages_recipient ON messages (recipient) WHERE recipient IS NOT NULL;
CREATE UNIQUE INDEX messages_mark_seq ON messages (mark_seq) WHERE mark_seq IS NOT NULL;
CREATE TABLE bodies (
    seq  INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE spans (
    block    INTEGER PRIMARY KEY,
    least_ms INTEGER NOT NULL,
    most_ms  INTEGER NOT NULL
) STRICT;
CREATE VIRTUAL TABLE words USING fts5(
    text, content='', prefix='2 3', tokenize="unicode61 remove_diacritics 0"
);
"""

# Neither places of words nor indices of their beginnings: no search asks for places, beginnings are found among the
# words in some milliseconds, and both together were two thirds of what indexing took. "column" and not "none", with
# which lists are merged two at a time, so that a common beginning takes three times as long.
_V2: Final = """
DROP TABLE words;
CREATE VIRTUAL TABLE words USING fts5(
    text, content='', detail=column, columnsize=0, tokenize='ascii'
);
INSERT INTO words (words, rank) VALUES ('automerge', 8);
UPDATE corpus SET indexed_seq = 0;
"""

# An index beside a table is changed with each row, in as many places as there are values: six of them were a third of
# what storing took. As words they are written some thousands of messages at a time. Merging is asked for (`merge`), in
# transactions of its own, so that writers wait for a part of it at most. A page of `pgsz` bytes fits into one of the
# file, of which the cipher takes 32; all words of an indexing, some 4 MB, into `hashsize`. What a new
# file has free at the end is given back here, what an old one has by its upkeep.
_V3: Final = """
DROP INDEX messages_agent;
DROP INDEX messages_kind;
DROP INDEX messages_priority;
DROP INDEX messages_open;
DROP INDEX messages_task;
DROP INDEX messages_role;
DROP INDEX messages_recipient;
DROP TABLE words;
CREATE VIRTUAL TABLE words USING fts5(
    text, content='', detail=column, columnsize=0, tokenize='ascii'
);
INSERT INTO words (words, rank) VALUES ('automerge', 0);
INSERT INTO words (words, rank) VALUES ('usermerge', 8);
INSERT INTO words (words, rank) VALUES ('hashsize', 16777216);
INSERT INTO words (words, rank) VALUES ('pgsz', 4000);
UPDATE corpus SET indexed_seq = 0;
PRAGMA incremental_vacuum(64);
"""

# Two indices that were changed with each row, in a fifth of the pages that a batch writes: filled with `words` now.
# Their columns have names of their own, so that both tables can be asked together.
_V4: Final = """
CREATE TABLE times (
    written_ms INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    PRIMARY KEY (written_ms, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE states (
    reached INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (reached, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO times SELECT time_ms, seq FROM messages
    WHERE seq <= (SELECT coalesce(max(indexed_seq), 0) FROM corpus) ORDER BY time_ms, seq;
INSERT INTO states SELECT state, seq FROM messages
    WHERE seq <= (SELECT coalesce(max(indexed_seq), 0) FROM corpus) ORDER BY state, seq;
DROP INDEX messages_time;
DROP INDEX messages_state;
"""

MIGRATIONS: Final[Sequence[Migration]] = (
    Migration("messages, marks and words", _V1, frozenset({"corpus", "messages", "bodies", "spans", "words"})),
    Migration("words without their places", _V2, frozenset({"words"})),
    Migration("values among the words", _V3, frozenset({"words"})),
    Migration("times and states filled later", _V4, frozenset({"times", "states"})),
)
