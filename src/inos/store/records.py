"""The replica of the tables in the database.

Rules
- A record and its bucket's digest are committed together, or, where the bucket is large, that the digest is stale: then
  it is computed when somebody asks, for all records that changed it since. So applying a record costs little beside
  its own hash, however many there are, and comparing an unchanged table costs a dictionary lookup.
- Roots are cached in memory, also those of a whole table together; a change drops what it outdates after its commit,
  and what is computed from an older snapshot is not kept. So with the records read last (`recent.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from inos.crypto.hashing import blake3_digest
from inos.state.merge import supersedes
from inos.state.record import Record
from inos.store.cursor import Cursor, Row, first
from inos.store.database import Database
from inos.store.recent import RecentRecords
from inos.store.replica import (
    BUCKETS,
    EMPTY_BUCKET,
    Entry,
    bucket_digest,
    bucket_of,
    check_limit,
    check_paired,
    root_digest,
)

Sector = tuple[str, int]
# Records of a bucket that are hashed with each of them that comes: less than the transaction that would do it later.
_SMALL_BUCKET: Final = 8
# Buckets hashed in one transaction: with some tens of records each, it holds writers up for some 20 ms.
REFRESH_BUCKETS: Final = 1024
_COLUMNS: Final = "tbl, key, value, removed, lamport, author, encoded"


class RecordStore:
    """The replica contract (`replica.py`) on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._recent = RecentRecords()
        self._roots: dict[Sector, bytes] = {}
        self._changes: dict[Sector, int] = {}
        self._changes_of: dict[str, int] = {}
        self._sectors: dict[str, set[int]] = {}
        self._tables: dict[str, Mapping[int, bytes]] = {}
        self._listed: set[str] = set()
        # Tables without stale digests; of the others it is not known.
        self._fresh: set[str] = set()

    # Writing

    def apply(self, records: Sequence[Record], sectors: Sequence[int]) -> list[bool]:
        check_paired(records, sectors)
        try:
            applied, changed = self._database.write(partial(_apply, records=records, sectors=sectors))
        finally:
            self._recent.forget((record.table, record.key) for record in records)
        self._forget(changed)
        return applied

    async def apply_async(self, records: Sequence[Record], sectors: Sequence[int]) -> list[bool]:
        check_paired(records, sectors)
        try:
            applied, changed = await self._database.write_async(partial(_apply, records=records, sectors=sectors))
        finally:
            self._recent.forget((record.table, record.key) for record in records)
        self._forget(changed)
        return applied

    def _forget(self, changed: Mapping[Sector, bool]) -> None:
        with self._lock:
            for sector, stale in changed.items():
                if stale:
                    self._fresh.discard(sector[0])
                self._changes[sector] = self._changes.get(sector, 0) + 1
                self._roots.pop(sector, None)
                self._changes_of[sector[0]] = self._changes_of.get(sector[0], 0) + 1
                self._tables.pop(sector[0], None)
                self._sectors.setdefault(sector[0], set()).add(sector[1])

    # Reading

    def get(self, table: str, key: bytes) -> Record | None:
        if (known := self._recent.get((table, key))) is not None:
            return known
        since = self._recent.changes()
        found = self._database.read(lambda cursor: _get(cursor, table, key))
        if found is not None:
            self._recent.keep([found], since)
        return found

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[Record]:
        known = {key: self._recent.get((table, key)) for key in keys}
        missing = [key for key, record in known.items() if record is None]
        if missing:
            since = self._recent.changes()
            read = self._database.read(lambda cursor: _get_all(cursor, table, missing))
            known.update((record.key, record) for record in read)
            self._recent.keep(read, since)
        return [record for record in known.values() if record is not None]

    def scan(
        self, table: str, prefix: bytes, after: bytes, limit: int, *, include_removed: bool = False
    ) -> list[Record]:
        check_limit(limit)
        end = _after_prefix(prefix)
        sql = (
            f"SELECT {_COLUMNS} FROM records WHERE tbl = ?1 AND key >= ?2 AND key > ?3"  # noqa: S608 - constants
            " AND (?4 IS NULL OR key < ?4) AND (?5 OR NOT removed) ORDER BY key LIMIT ?6"
        )
        bindings = (table, prefix, after, end, include_removed, limit)
        return self._database.read(lambda cursor: [_record(row) for row in cursor.execute(sql, bindings)])

    # Digests

    def root(self, table: str, sector: int) -> bytes:
        with self._lock:
            known = self._roots.get((table, sector))
            change = self._changes.get((table, sector), 0)
        if known is not None:
            return known
        root = root_digest(self.buckets(table, sector))
        with self._lock:
            if self._changes.get((table, sector), 0) == change:
                self._roots[table, sector] = root
        return root

    def roots(self, table: str) -> Mapping[int, bytes]:
        known = self._tables.get(table)
        if known is not None:
            return known
        if table not in self._listed:
            self._list_sectors(table)
        with self._lock:
            changes = self._changes_of.get(table, 0)
            known_roots = {sector: self._roots.get((table, sector)) for sector in sorted(self._sectors.get(table, ()))}
        if not all(known_roots.values()):
            self._refresh_table(table)
        found = {sector: root or self.root(table, sector) for sector, root in known_roots.items()}
        with self._lock:
            if self._changes_of.get(table, 0) == changes:
                self._tables[table] = MappingProxyType(found)
        return found

    def _list_sectors(self, table: str) -> None:
        sql = "SELECT DISTINCT sector FROM record_buckets WHERE tbl = ?"
        found = self._database.read(lambda cursor: [row[0] for row in cursor.execute(sql, (table,))])
        with self._lock:
            self._sectors.setdefault(table, set()).update(found)
            self._listed.add(table)

    def _refresh_table(self, table: str) -> None:
        """Hash what is stale in all sectors with few syncs instead of one a sector."""
        with self._lock:
            if table in self._fresh:
                return
            self._fresh.add(table)  # before looking: what becomes stale meanwhile takes it out again
        sql = "SELECT sector, bucket FROM record_buckets WHERE tbl = ? AND digest IS NULL LIMIT ?"
        try:
            while stale := self._database.read(lambda cursor: list(cursor.execute(sql, (table, REFRESH_BUCKETS)))):
                self._database.write(lambda cursor, stale=stale: _refresh(cursor, table, stale))  # type: ignore[misc]
        except BaseException:
            with self._lock:
                self._fresh.discard(table)
            raise

    def buckets(self, table: str, sector: int) -> list[bytes]:
        kept = self._database.read(lambda cursor: _kept_digests(cursor, table, sector))
        stale = [(sector, bucket) for bucket, digest in kept.items() if digest is None]
        if stale:
            kept.update(self._database.write(lambda cursor: _refresh(cursor, table, stale)))
        digests = [EMPTY_BUCKET] * BUCKETS
        for bucket, digest in kept.items():
            digests[bucket] = digest or EMPTY_BUCKET
        return digests

    def entries(self, table: str, sector: int, buckets: Sequence[int]) -> list[Entry]:
        wanted = sorted(set(buckets))
        return self._database.read(
            lambda cursor: [entry for bucket in wanted for entry in _entries(cursor, table, sector, bucket)]
        )


def _apply(cursor: Cursor, records: Sequence[Record], sectors: Sequence[int]) -> tuple[list[bool], dict[Sector, bool]]:
    """Which of the records hold now; the sectors they changed, and whether a digest in it is stale."""
    applied: list[bool] = []
    changed: set[tuple[str, int, int]] = set()
    for record, sector in zip(records, sectors, strict=True):
        holds = supersedes(record, _get(cursor, record.table, record.key))
        if holds:
            bucket = bucket_of(record.key)
            _put(cursor, record, sector, bucket)
            changed.add((record.table, sector, bucket))
        applied.append(holds)
    rows = [(*place, _digest_if_small(cursor, *place)) for place in sorted(changed)]
    list(cursor.executemany("REPLACE INTO record_buckets (tbl, sector, bucket, digest) VALUES (?, ?, ?, ?)", rows))
    stale: dict[Sector, bool] = {}
    for table, sector, _, digest in rows:
        stale[table, sector] = stale.get((table, sector), False) or digest is None
    return applied, stale


def _digest_if_small(cursor: Cursor, table: str, sector: int, bucket: int) -> bytes | None:
    """The digest of a bucket of few records."""
    entries = _entries(cursor, table, sector, bucket, _SMALL_BUCKET + 1)
    return bucket_digest(entries) if len(entries) <= _SMALL_BUCKET else None


def _put(cursor: Cursor, record: Record, sector: int, bucket: int) -> None:
    list(
        cursor.execute(
            "REPLACE INTO records (tbl, key, sector, bucket, digest, lamport, removed, author, value, encoded)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.table,
                record.key,
                sector,
                bucket,
                blake3_digest(record.encoded),
                record.lamport,
                record.removed,
                record.author,
                record.value,
                record.encoded,
            ),
        )
    )


def _get(cursor: Cursor, table: str, key: bytes) -> Record | None:
    sql = f"SELECT {_COLUMNS} FROM records WHERE tbl = ? AND key = ?"  # noqa: S608 - constants
    row = first(cursor.execute(sql, (table, key)))
    return None if row is None else _record(row)


def _get_all(cursor: Cursor, table: str, keys: Iterable[bytes]) -> list[Record]:
    sql = f"SELECT {_COLUMNS} FROM records WHERE tbl = ? AND key = ?"  # noqa: S608 - constants
    return [_record(row) for row in cursor.executemany(sql, ((table, key) for key in keys))]


def _record(row: Row) -> Record:
    table, key, value, removed, lamport, author, encoded = row
    return Record(table, key, value, bool(removed), lamport, author, encoded)


def _kept_digests(cursor: Cursor, table: str, sector: int) -> dict[int, bytes | None]:
    sql = "SELECT bucket, digest FROM record_buckets WHERE tbl = ? AND sector = ?"
    return dict(cursor.execute(sql, (table, sector)))


def _refresh(cursor: Cursor, table: str, stale: Iterable[Row]) -> dict[int, bytes | None]:
    """Hash the given (sector, bucket) pairs; the digest of each bucket."""
    fresh = [(bucket_digest(_entries(cursor, table, *place)), *place) for place in stale]
    sql = "UPDATE record_buckets SET digest = ?1 WHERE tbl = ?4 AND sector = ?2 AND bucket = ?3"
    list(cursor.executemany(sql, ((*row, table) for row in fresh)))
    return {bucket: digest for digest, _, bucket in fresh}


def _entries(cursor: Cursor, table: str, sector: int, bucket: int, limit: int = -1) -> list[Entry]:
    sql = "SELECT key, digest FROM records WHERE tbl = ? AND sector = ? AND bucket = ? ORDER BY key LIMIT ?"
    return [Entry(key, digest) for key, digest in cursor.execute(sql, (table, sector, bucket, limit))]


def _after_prefix(prefix: bytes) -> bytes | None:
    """The least key greater than every key that begins with `prefix`; None when there is none."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else None
