"""Mark and sweep over the index: frees what nothing references, a bounded number of chunks a call.

The marks are a table of the database, not memory: a large store has millions. One collection at a time; one that was
overtaken is refused, because its marks are gone and everything would look unreferenced. What is stored or touched
while a collection is under way is marked by that, so that no clock decides whether it is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from inos.core.errors import Conflict
from inos.core.ids import Address
from inos.store import chunk_index as index
from inos.store.chunk_files import ChunkFiles
from inos.store.chunk_index import Location, Row
from inos.store.chunks import SWEEP_CHUNKS, StoreUsage
from inos.store.claims import Claims
from inos.store.cursor import Cursor
from inos.store.database import Database

# Marks in one transaction: it holds other writers up for some 10 ms.
_MARKS: Final = 4096


class Marking:
    """Which collection is under way. Changed only inside write transactions, of which there is one at a time."""

    def __init__(self) -> None:
        self._current: object | None = None
        self._keeping = 0
        self._counting = threading.Lock()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Nothing is freed by a transaction that begins inside."""
        with self._counting:
            self._keeping += 1
        try:
            yield
        finally:
            with self._counting:
                self._keeping -= 1

    @property
    def nothing_freed(self) -> bool:
        """Whether chunks must stay for now. Asked inside the write transaction that would free them."""
        return self._keeping > 0

    def begin(self, cursor: Cursor, owner: object, now_s: float) -> None:
        index.clear_marks(cursor)
        index.touched_by(cursor, now_s)
        self._current = owner

    def check(self, owner: object) -> None:
        if self._current is not owner:
            raise Conflict("another collection has begun meanwhile")

    def keep(self, cursor: Cursor, addresses: Iterable[Address]) -> None:
        """Mark what is being stored or touched, where a collection is under way."""
        if self._current is not None:
            index.mark(cursor, addresses)

    def end(self, cursor: Cursor) -> None:
        index.clear_marks(cursor)
        self._current = None


class DiskMark:
    """One collection of a DiskChunkStore; see `chunks.Mark`."""

    def __init__(self, marking: Marking, database: Database, files: ChunkFiles, claims: Claims, now_s: float) -> None:
        self._marking = marking
        self._database = database
        self._files = files
        self._claims = claims
        self._after: Address | None = None
        self._ended = False
        self._waiting: list[Address] = []
        database.write(lambda cursor: marking.begin(cursor, self, now_s))

    def add(self, addresses: Iterable[Address]) -> None:
        # Objects are small and many: a transaction for each would cost more than all else in a round.
        self._marking.check(self)
        for address in addresses:
            self._waiting.append(address)
            if len(self._waiting) >= _MARKS:
                self._write_marks()

    def _write_marks(self) -> None:
        self._database.write(self._mark)
        self._waiting.clear()

    def _mark(self, cursor: Cursor) -> None:
        self._marking.check(self)
        index.mark(cursor, self._waiting)

    def sweep(self, touched_before_s: float) -> StoreUsage:
        if self._waiting:
            self._write_marks()
        while not self._ended:
            found = self._database.read(
                lambda cursor: index.unmarked(cursor, touched_before_s, self._after, SWEEP_CHUNKS)
            )
            if not found:
                self._database.write(self._end)
                break
            freed = self._free(found, touched_before_s)
            self._after = found[-1].address
            if freed:
                return StoreUsage(len(freed), sum(row.size for row in freed))
        return StoreUsage(0, 0)

    def _free(self, found: list[Row], touched_before_s: float) -> list[Row]:
        addresses = [row.address for row in found]
        with self._claims.hold(addresses):
            freed = self._database.write(lambda cursor: self._delete(cursor, touched_before_s, addresses))
            self._files.remove(row.address for row in freed if row.location is Location.FILE)
        return freed

    def _delete(self, cursor: Cursor, touched_before_s: float, addresses: list[Address]) -> list[Row]:
        self._marking.check(self)
        if self._marking.nothing_freed:
            return []
        return index.remove_unmarked(cursor, touched_before_s, addresses)

    def _end(self, cursor: Cursor) -> None:
        self._marking.check(self)
        self._marking.end(cursor)
        self._ended = True
