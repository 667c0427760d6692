"""The schema of a hub's corpus in PostgreSQL, as numbered steps; a released one never changes.

As in SQLite (`sqlite_schema.py`): narrow rows to filter by, bodies apart, one row of counters, which is also what
writers take turns at, so that seq has no gaps and whoever sees one sees all below it. Words are a text vector made
here, not by the server's dictionaries, so that both kinds of hub find the same.
"""

from __future__ import annotations

from typing import Final, LiteralString

from inos.core.errors import NewerFormat
from inos.messages.postgres_connections import Connections, Cursor

SCHEMA: Final = "inos"
_LOCK: Final = 0x494E4F53  # "INOS": two hubs that begin at one moment take turns

_V1: Final[LiteralString] = """
CREATE TABLE corpus (
    one           integer PRIMARY KEY CHECK (one = 1),
    version       integer NOT NULL,
    identity      text    NOT NULL,
    last_seq      bigint  NOT NULL,
    unread        bigint  NOT NULL,
    last_mark_seq bigint  NOT NULL,
    indexed_seq   bigint  NOT NULL
);
CREATE TABLE messages (
    seq         bigint   PRIMARY KEY,
    id          uuid     NOT NULL UNIQUE,
    time_ms     bigint   NOT NULL,
    received_ms bigint   NOT NULL,
    agent       text     NOT NULL,
    kind        text     NOT NULL,
    priority    smallint NOT NULL,
    task        text,
    role        text,
    recipient   text,
    state       smallint NOT NULL DEFAULT 0,
    marks       text,
    mark_seq    bigint   UNIQUE
);
CREATE INDEX messages_agent     ON messages (agent, seq);
CREATE INDEX messages_kind      ON messages (kind, seq);
CREATE INDEX messages_priority  ON messages (priority, seq);
CREATE INDEX messages_time      ON messages (time_ms);
CREATE INDEX messages_state     ON messages (state, seq);
CREATE INDEX messages_open      ON messages (seq)            WHERE state <> 4;
CREATE INDEX messages_task      ON messages (task, seq)      WHERE task IS NOT NULL;
CREATE INDEX messages_role      ON messages (role, seq)      WHERE role IS NOT NULL;
CREATE INDEX messages_recipient ON messages (recipient, seq) WHERE recipient IS NOT NULL;
CREATE TABLE bodies (
    seq  bigint PRIMARY KEY,
    body bytea  NOT NULL
);
ALTER TABLE bodies ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE words (
    seq   bigint   PRIMARY KEY,
    words tsvector NOT NULL
);
CREATE INDEX words_words ON words USING gin (words);
"""
STEPS: Final = (_V1,)


def prepare(connections: Connections, schema: str, identity: str) -> str:
    """Make what is missing; the identity of the corpus, `identity` where it begins. Raises NewerFormat."""
    with connections.writing() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", (schema,))
        if not _number(cursor):
            cursor.execute("SELECT format('CREATE SCHEMA %%I', %s::text)", (schema,))
            (statement,) = cursor.fetchone() or ("",)
            cursor.execute(statement)
        version = _version(cursor)
        if version > len(STEPS):
            raise NewerFormat(
                f"the corpus has schema {version}, this release knows up to {len(STEPS)}",
                hint="install the release that wrote it, or a newer one; nothing was changed",
            )
        for step in STEPS[version:]:
            cursor.execute(step)
        cursor.execute(
            "INSERT INTO corpus VALUES (1, %s, %s, 0, 0, 0, 0)"
            " ON CONFLICT (one) DO UPDATE SET version = excluded.version RETURNING identity",
            (len(STEPS), identity),
        )
        (found,) = cursor.fetchone() or ("",)
        return str(found)


def _version(cursor: Cursor) -> int:
    cursor.execute("SELECT to_regclass('corpus')::oid::bigint")
    if cursor.fetchone() == (None,):
        return 0
    cursor.execute("SELECT version FROM corpus")
    return _number(cursor)


def _number(cursor: Cursor) -> int:
    row = cursor.fetchone()
    return 0 if row is None else int(row[0])
