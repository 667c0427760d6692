"""Schema 1: chunks and where their bytes are, marks of a collection, records of tables, holdings, names, settings."""

from __future__ import annotations

from typing import Final

from inos.store.migrations.step import Migration

# Large inline rows sit in a rowid table: WITHOUT ROWID keeps rows in interior pages too and suits small ones only.
# Totals are kept by triggers because counting a million rows for every put and every status takes too long.
_SQL: Final = """
CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE chunks (
    address     BLOB PRIMARY KEY CHECK (length(address) = 32),
    size        INTEGER NOT NULL CHECK (size >= 0),
    location    INTEGER NOT NULL CHECK (location IN (0, 1)), -- 0 file, 1 inline
    stored_at   INTEGER NOT NULL,
    touched_at  INTEGER NOT NULL,
    verified_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE inline_chunks (
    address BLOB PRIMARY KEY REFERENCES chunks (address) ON DELETE CASCADE,
    data    BLOB NOT NULL
) STRICT;

CREATE TABLE chunk_totals (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    chunks INTEGER NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT;
INSERT INTO chunk_totals VALUES (1, 0, 0);
CREATE TRIGGER chunks_added AFTER INSERT ON chunks BEGIN
    UPDATE chunk_totals SET chunks = chunks + 1, bytes = bytes + new.size;
END;
CREATE TRIGGER chunks_removed AFTER DELETE ON chunks BEGIN
    UPDATE chunk_totals SET chunks = chunks - 1, bytes = bytes - old.size;
END;
CREATE TRIGGER chunks_resized AFTER UPDATE OF size ON chunks BEGIN
    UPDATE chunk_totals SET bytes = bytes + new.size - old.size;
END;

CREATE TABLE marks (
    address BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
    tbl     TEXT NOT NULL,
    key     BLOB NOT NULL,
    sector  INTEGER NOT NULL,
    bucket  INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 255),
    digest  BLOB NOT NULL CHECK (length(digest) = 32),
    lamport INTEGER NOT NULL,
    removed INTEGER NOT NULL CHECK (removed IN (0, 1)),
    author  BLOB NOT NULL,
    value   BLOB NOT NULL,
    encoded BLOB NOT NULL,
    PRIMARY KEY (tbl, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX records_by_bucket ON records (tbl, sector, bucket, key, digest);

CREATE TABLE record_buckets (
    tbl    TEXT NOT NULL,
    sector INTEGER NOT NULL,
    bucket INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 255),
    digest BLOB, -- NULL: a record of it changed since it was last hashed
    PRIMARY KEY (tbl, sector, bucket)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_buckets_stale ON record_buckets (tbl, sector, bucket) WHERE digest IS NULL;

CREATE TABLE holdings (
    cid         BLOB PRIMARY KEY CHECK (length(cid) = 32),
    epoch       INTEGER NOT NULL CHECK (epoch >= 0),
    state       TEXT NOT NULL CHECK (state IN ('local', 'held', 'dropping')),
    size        INTEGER NOT NULL CHECK (size >= 0),
    attached_at INTEGER NOT NULL,
    dropped_at  INTEGER CHECK ((dropped_at IS NOT NULL) = (state = 'dropping'))
) STRICT, WITHOUT ROWID;
CREATE INDEX holdings_by_state ON holdings (state, cid);
CREATE INDEX holdings_dropped ON holdings (dropped_at) WHERE dropped_at IS NOT NULL;

CREATE TABLE names (
    name        TEXT PRIMARY KEY,
    key         BLOB NOT NULL UNIQUE, -- of the catalogue record this row was read from
    kind        TEXT NOT NULL CHECK (kind IN ('file', 'folder', 'link')),
    cid         BLOB CHECK (cid IS NULL OR length(cid) = 32),
    reference   TEXT NOT NULL,
    size        INTEGER NOT NULL CHECK (size >= 0),
    mode        INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    target      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX names_by_cid ON names (cid) WHERE cid IS NOT NULL;
"""

V1: Final = Migration(
    "chunks, records, holdings, names",
    _SQL,
    frozenset(
        {
            "settings",
            "chunks",
            "inline_chunks",
            "chunk_totals",
            "marks",
            "records",
            "record_buckets",
            "holdings",
            "names",
        }
    ),
)
