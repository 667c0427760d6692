"""Schema 3: what eviction goes by: objects used on this node, and those pinned to it."""

from __future__ import annotations

from typing import Final

from inos.store.migrations.step import Migration

# `uses` is decayed, hence REAL. Few rows are pinned, so they need no index of their own.
_SQL: Final = """
CREATE TABLE local_objects (
    cid     BLOB PRIMARY KEY CHECK (length(cid) = 32),
    used_at INTEGER NOT NULL,
    uses    REAL NOT NULL CHECK (uses >= 0),
    pinned  INTEGER NOT NULL CHECK (pinned IN (0, 1))
) STRICT, WITHOUT ROWID;
"""

V3: Final = Migration("objects used on this node and pinned to it", _SQL, frozenset({"local_objects"}))
