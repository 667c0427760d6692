"""Room in a cache: how much there is, and what goes to make some.

What may go: copies of what was read from the hub, then the oldest messages that the hub has beyond loss or that were
never to be sent. What is pending, parked, or on a hub that may still be lost never goes; nor does the newest message,
whose id the next one must exceed. When nothing is left that may go, writing is refused as a whole.

The limit holds for the files on the disk: pages of the database, free ones among them, and its log, for which a part is
set aside (`log_room`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inos.core.errors import StorageFull
from inos.messages.cache_rows import ends, fact, run, set_fact
from inos.messages.cache_schema import INDEXED, REMOVED
from inos.store.cursor import Cursor, first, one

PAGE_BYTES: Final = 4096
_LOG_ROOM_MAX: Final = 16 << 20  # what a log that is written over and over keeps (store/connection.py)
_LOG_SHARE: Final = 4
# Bookkeeping of what is already there must go on in a full cache: an answer of a hub moves 500 rows, some 20 pages.
_KEPT_BACK_PAGES: Final = 64
_AT_ONCE: Final = 64
# Looking at what is spare costs as much as writing a row; half of what is kept back can be given out without.
_KNOWN_PAGES: Final = _KEPT_BACK_PAGES // 2
# A page holds a little less than its size: headers of rows, and the cipher's tag.
_USABLE: Final = 3900
_BESIDE: Final = 64
_SLACK_PAGES: Final = 4


def log_room(max_bytes: int) -> int:
    """What the log may take up; whoever looks after the cache writes it back before."""
    return min(_LOG_ROOM_MAX, max_bytes // _LOG_SHARE)


def room_for(sizes: Sequence[int]) -> int:
    """Bytes that rows of these sizes need, at most: a long one leaves up to a page of its last one unused."""
    return sum(size + (PAGE_BYTES if size > _USABLE // 4 else _BESIDE) for size in sizes)


class Room:
    """The limit of one cache. Methods are given the cursor of a write."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._known_bytes = 0
        self._most_pages = (max_bytes - log_room(max_bytes)) // PAGE_BYTES - _KEPT_BACK_PAGES

    def make(self, cursor: Cursor, sizes: Sequence[int]) -> None:
        """Make sure that rows of these sizes fit. Raises StorageFull when they cannot be made to."""
        wanted = room_for(sizes)
        if wanted <= self._known_bytes:
            self._known_bytes -= wanted
            return
        self._known_bytes, pages = 0, wanted // _USABLE + _SLACK_PAGES
        while (spare := self._spare(cursor)) < pages:
            if not _remove_copies(cursor, _AT_ONCE) and not remove_oldest(cursor, _AT_ONCE):
                raise self._full(pages - spare)
        self._known_bytes = min(spare - pages, _KNOWN_PAGES) * _USABLE

    def over(self, cursor: Cursor, share: float) -> bool:
        """Whether more than `share` of the room is taken."""
        return self._spare(cursor) < self._most_pages * (1 - share)

    def _spare(self, cursor: Cursor) -> int:
        pages, free = (int(one(cursor.execute(f"PRAGMA {name}"))[0]) for name in ("page_count", "freelist_count"))
        return self._most_pages - pages + free

    def _full(self, missing: int) -> StorageFull:
        return StorageFull(
            f"the cache is full: {self.max_bytes} bytes, {missing * PAGE_BYTES} more are needed; nothing was written",
            hint="what is in it has not reached a hub for good: bring the hub back, or raise max_bytes",
        )


def removable(cursor: Cursor, most: int, before_ms: int | None = None) -> list[int]:
    """The seqs of the oldest messages that may go, at most `most`; with `before_ms` only those written before."""
    low, last = ends(cursor)
    # All that is below the first one that must stay may go, but for parked ones: no need to look at each.
    stays = [one(cursor.execute(f"SELECT min(seq) FROM {table}"))[0] for table in ("outbox", "sent")]
    end = min([each for each in stays if each is not None] + [last])
    sql = (
        "SELECT seq FROM messages WHERE seq >= ? AND seq < ? AND time_ms < ?"
        " AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.seq = messages.seq) ORDER BY seq LIMIT ?"
    )
    before = before_ms if before_ms is not None else 1 << 62
    return [row[0] for row in cursor.execute(sql, (low, end, before, most))]


def remove_oldest(cursor: Cursor, most: int, before_ms: int | None = None) -> int:
    """Remove up to `most` of the oldest that may go; how many went."""
    seqs = removable(cursor, most, before_ms)
    indexed = fact(cursor, INDEXED)
    for seq in seqs:
        run(cursor, "DELETE FROM messages WHERE seq = ?", (seq,))
        if seq <= indexed:
            run(cursor, "DELETE FROM words WHERE rowid = ?", (seq,))
    if seqs:
        set_fact(cursor, REMOVED, fact(cursor, REMOVED) + len(seqs))
    return len(seqs)


def _remove_copies(cursor: Cursor, most: int) -> bool:
    if first(cursor.execute("SELECT 1 FROM copies LIMIT 1")) is None:
        return False
    run(cursor, "DELETE FROM copies WHERE number IN (SELECT number FROM copies ORDER BY number LIMIT ?)", (most,))
    return True
