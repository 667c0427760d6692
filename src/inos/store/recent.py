"""The records that were read last, kept in memory: rounds of background work ask for the same ones again and again.

Bounded by `MAX_RECENT_BYTES`. A record is dropped when its key changes, and what was read while anything changed is not
kept: it may be older than the change. Safe from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from inos.state.record import Record

# Of encoded records; decoded they take twice as much again. A thousand objects have their placements in it.
MAX_RECENT_BYTES: Final = 1 << 20

Slot = tuple[str, bytes]


class RecentRecords:
    """Records by table and key, those used longest ago going first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[Slot, Record] = {}
        self._bytes = 0
        self._changes = 0

    def get(self, slot: Slot) -> Record | None:
        """The record, where it is known; None says nothing."""
        with self._lock:
            found = self._records.pop(slot, None)
            if found is not None:
                self._records[slot] = found
            return found

    def changes(self) -> int:
        """To be asked before reading what is to be kept."""
        return self._changes

    def keep(self, records: Iterable[Record], since: int) -> None:
        """Keep these, read when `changes` was `since`."""
        with self._lock:
            if self._changes != since:
                return
            for record in records:
                self._drop((record.table, record.key))
                self._records[record.table, record.key] = record
                self._bytes += len(record.encoded)
            while self._bytes > MAX_RECENT_BYTES:
                self._drop(next(iter(self._records)))

    def forget(self, slots: Iterable[Slot]) -> None:
        """These have changed."""
        with self._lock:
            self._changes += 1
            for slot in slots:
                self._drop(slot)

    def _drop(self, slot: Slot) -> None:
        known = self._records.pop(slot, None)
        if known is not None:
            self._bytes -= len(known.encoded)
