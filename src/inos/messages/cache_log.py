"""The log of a cache: where every append goes first, so how it lies on the disk is what an append takes.

Written over again and again it takes one sync of its data; while its file grows, each sync has the file system write
down the new size as well, which took half as long again, and ten times as long where others kept the disk busy. So it
is written back and begun anew before it gets long, and where appends are waited for it is made long beforehand.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from inos.core.errors import StorageFull
from inos.messages.cache_room import PAGE_BYTES, log_room
from inos.messages.cache_rows import run
from inos.store.connection import LOG_KEPT_BYTES
from inos.store.cursor import Cursor
from inos.store.database import Database
from inos.store.filesystem import CACHE_PAGES, Files

# A thousand messages or so between two times that it is written back.
_USUAL_BYTES: Final = min(4 << 20, LOG_KEPT_BYTES)
# Pages that a message writes to the log besides its own bytes: its place, its outbox row, the head of the file.
_BESIDE_BYTES: Final = 3 * PAGE_BYTES


class _Undone(Exception):
    """Undoes what was written."""


class CacheLog:
    """The log of one cache, of at most a part of its `max_bytes`."""

    def __init__(self, database: Database, path: Path, files: Files, max_bytes: int) -> None:
        self._database = database
        self._path = path.with_name(path.name + "-wal")
        self._files = files
        self.room_bytes = log_room(max_bytes)
        self._usual_bytes = min(_USUAL_BYTES, self.room_bytes // 2)
        self._since_bytes = 0
        # Once written back its file stays as long as it was, and is written over.
        self._extent_bytes = self._usual_bytes

    def took(self, rows: int, size_bytes: int) -> None:
        """So much was written to it."""
        self._since_bytes += size_bytes + rows * _BESIDE_BYTES

    def keep_within(self) -> None:
        """A writer's backstop: write it back when it nears its room, for want of anybody who looks after it. What was
        written is safe in the log: on a full disk it stays there, and the next write that has no room says so."""
        if self._since_bytes > self.room_bytes // 2:
            with suppress(StorageFull):
                self._write_back()

    def look_after(self) -> None:
        """Write it back when it is as long as it should get: by what was appended, or since its file has grown."""
        if self._since_bytes >= self._usual_bytes // 4 * 3 or self._size() > self._extent_bytes:
            self._write_back()

    def _write_back(self) -> None:
        self._since_bytes = 0
        self._database.checkpoint()
        self._extent_bytes = max(self._usual_bytes, self._size())

    def _size(self) -> int:
        return self._files.size(self._path) if self._files.exists(self._path) else 0

    def prepare(self) -> None:
        """Make its file as long as it usually gets, by a write that outgrows memory and is undone. Takes some 10 ms."""

        def work(cursor: Cursor) -> NoReturn:
            size = self._usual_bytes + CACHE_PAGES * PAGE_BYTES  # so many pages stay in memory
            run(cursor, "INSERT INTO facts VALUES ('room', zeroblob(?))", (size,))
            raise _Undone

        with suppress(_Undone, StorageFull):
            self._database.write(work)
        self._extent_bytes = max(self._usual_bytes, self._size())
