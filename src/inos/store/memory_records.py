"""The replica in memory: for simulations and tests, and the shortest statement of what the contract means."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import trio

from inos.crypto.hashing import blake3_digest
from inos.state.merge import supersedes
from inos.state.record import Record
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


class MemoryRecordStore:
    """The replica contract (`replica.py`) in dictionaries; digests are computed afresh each time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tables: dict[str, dict[bytes, tuple[int, Record]]] = {}

    def apply(self, records: Sequence[Record], sectors: Sequence[int]) -> list[bool]:
        check_paired(records, sectors)
        applied = []
        with self._lock:
            for record, sector in zip(records, sectors, strict=True):
                holds = supersedes(record, self.get(record.table, record.key))
                if holds:
                    self._tables.setdefault(record.table, {})[record.key] = (sector, record)
                applied.append(holds)
        return applied

    async def apply_async(self, records: Sequence[Record], sectors: Sequence[int]) -> list[bool]:
        await trio.lowlevel.checkpoint()
        return self.apply(records, sectors)

    def get(self, table: str, key: bytes) -> Record | None:
        with self._lock:
            found = self._tables.get(table, {}).get(key)
        return None if found is None else found[1]

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[Record]:
        found = (self.get(table, key) for key in dict.fromkeys(keys))
        return [record for record in found if record is not None]

    def scan(
        self, table: str, prefix: bytes, after: bytes, limit: int, *, include_removed: bool = False
    ) -> list[Record]:
        check_limit(limit)
        with self._lock:
            records = [record for _, record in self._tables.get(table, {}).values()]
        wanted = (
            record
            for record in records
            if record.key.startswith(prefix) and record.key > after and (include_removed or not record.removed)
        )
        return sorted(wanted, key=lambda record: record.key)[:limit]

    def root(self, table: str, sector: int) -> bytes:
        return root_digest(self.buckets(table, sector))

    def roots(self, table: str) -> dict[int, bytes]:
        with self._lock:
            sectors = {sector for sector, _ in self._tables.get(table, {}).values()}
        return {sector: self.root(table, sector) for sector in sorted(sectors)}

    def buckets(self, table: str, sector: int) -> list[bytes]:
        listed: list[list[Entry]] = [[] for _ in range(BUCKETS)]
        for entry in self.entries(table, sector, range(BUCKETS)):
            listed[bucket_of(entry.key)].append(entry)
        return [bucket_digest(entries) if entries else EMPTY_BUCKET for entries in listed]

    def entries(self, table: str, sector: int, buckets: Sequence[int]) -> list[Entry]:
        with self._lock:
            placed = list(self._tables.get(table, {}).values())
        found = [
            (bucket_of(record.key), Entry(record.key, blake3_digest(record.encoded)))
            for where, record in placed
            if where == sector
        ]
        wanted = set(buckets)
        found.sort(key=lambda pair: (pair[0], pair[1].key))
        return [entry for bucket, entry in found if bucket in wanted]
