"""An agent's cache: every message it wrote, on its own disk, and the outbox beside them. One encrypted database.

Rules
- `append` returns once message and outbox row are synced, in one transaction (with `synced=False`: once they would
  outlive the process, not a loss of power). The network is never waited for.
- Ids grow with the order of writing, whatever the clock does, across restarts as well.
- The files take up at most `max_bytes` (cache_room.py). A full cache refuses to write, whole messages or none.
- Indexing, retention and writing the log back are `upkeep`, which somebody calls now and then; without it everything
  still works, only more slowly.
- One process at a time has a cache open: whoever opens it holds a lock (cache_folder.py, or the node's data root).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, Corrupt, NotFound, StorageFull, TooLarge
from inos.core.messages.ids import TAIL_BYTES, MessageId, from_bytes, next_id, parse_id, time_of, to_bytes
from inos.core.messages.message import Draft, Message, check_agent, check_drafts
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage, check_query
from inos.core.messages.saying import said
from inos.messages.cache_log import CacheLog
from inos.messages.cache_outbox import Outbox
from inos.messages.cache_room import Room, remove_oldest
from inos.messages.cache_rows import ends, fact, last_row, row_of_id, run, set_fact
from inos.messages.cache_schema import AGENT, CACHE_MIGRATIONS, INDEXED, REMOVED, SETBACK
from inos.messages.cache_search import find, index_step
from inos.messages.copies import Copies
from inos.messages.sizing import MAX_CACHE_BYTES, MIN_CACHE_BYTES, cache_bytes
from inos.messages.stored_form import message_of, pack
from inos.store.cursor import Cursor, first
from inos.store.database import Database
from inos.store.filesystem import REAL_FILES, Files

T = TypeVar("T")

DAY_MS: Final = 86_400_000
MAX_APPEND: Final = 10_000
INDEX_STEP: Final = 200
# What is shorter saves no page worth the time.
_PACK_FROM_BYTES: Final = 512
_REMOVE_STEP: Final = 500
_VACUUM_PAGES: Final = 256
# Less will be written again soon.
_GIVE_BACK_BYTES: Final = 512 << 10
# Retention begins before writers meet the limit, so that none of them has to wait for it.
_FULL_SHARE: Final = 0.9
# An index step takes some milliseconds, in which a writer would wait; a search goes through what is left so long.
_IDLE_S: Final = 0.5
_INDEX_AT: Final = 5_000
# Where nothing was written, only time can have made work: retention by days.
_LOOK_AGAIN_S: Final = 60.0
_HINT: Final = (
    "what had reached the hub is safe there; move the folder away and the agent begins a new cache, or restore it"
)


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """What a cache may keep: bytes on the disk, days (0: as long as there is room), whether contents are compressed."""

    max_bytes: int = cache_bytes("default")
    retention_days: int = 0
    compression: bool = True

    def __post_init__(self) -> None:
        if not MIN_CACHE_BYTES <= self.max_bytes <= MAX_CACHE_BYTES:
            raise BadInput(f"a cache has {MIN_CACHE_BYTES} to {MAX_CACHE_BYTES} bytes, not {self.max_bytes}")
        if not 0 <= self.retention_days <= 36_500:
            raise BadInput("retention_days must be a whole number from 0 to 36500")


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What is in a cache. `used_bytes` are those of its files on the disk; `lag_s` is the age of the oldest message
    that no hub has, 0 when there is none; `unindexed` messages are found more slowly."""

    messages: int
    used_bytes: int
    max_bytes: int
    pending: int
    parked: int
    uncovered: int
    lag_s: float
    unindexed: int


class AgentCache:
    """One agent's cache. Blocking, safe from several threads."""

    def __init__(
        self,
        path: Path,
        key: bytes,
        agent: str,
        env: Env,
        *,
        limits: CacheLimits | None = None,
        files: Files = REAL_FILES,
        synced: bool = True,
        sends: bool = True,
    ) -> None:
        """Open the cache at `path` (its folder exists), or begin one. With `sends` False nothing is put in the outbox.
        Raises Corrupt for a damaged file or a wrong `key`, Conflict for another agent's, NewerFormat, StorageFull."""
        self.agent = check_agent(agent)
        self.limits = limits or CacheLimits()
        self._env = env
        self._path = path
        self._files = files
        self._sends = sends
        self._room = Room(self.limits.max_bytes)
        self._appended_s = self._kept_s = -math.inf
        self._kept_at = -1
        with _explained():
            self._database = Database(
                path, key, env, migrations=CACHE_MIGRATIONS, files=files, keeps_previous=False, synced=synced
            )
            try:
                self._log = CacheLog(self._database, path, files, self.limits.max_bytes)
                self.outbox = Outbox(self._database)
                self.copies = Copies(self._database, self._room)
                self._last_id = self._begun()
            except BaseException:
                self._database.close()
                raise

    def _begun(self) -> MessageId | None:
        def work(cursor: Cursor) -> tuple[str | None, MessageId | None]:
            owner, last = first(cursor.execute("SELECT value FROM facts WHERE name = ?", (AGENT,))), last_row(cursor)
            return owner[0] if owner else None, from_bytes(last[1]) if last else None

        owner, last = self._database.read(work)
        if owner is None:
            self._database.write(lambda cursor: set_fact(cursor, AGENT, self.agent))
        elif owner != self.agent:
            raise Conflict(f"{self._path} is the cache of the agent {owner!r}, not of {self.agent!r}")
        return last

    # Writing

    def append(self, draft: Draft) -> Message:
        """Write a message; it is on the disk when this returns. Raises BadInput, StorageFull."""
        return self.append_many((draft,))[0]

    def append_many(self, drafts: Sequence[Draft]) -> list[Message]:
        """Write several in order, all or none. TooLarge for more than the log should hold at once."""
        check_drafts(drafts)
        if len(drafts) > MAX_APPEND:
            raise BadInput(f"at most {MAX_APPEND} messages at a time, not {len(drafts)}")
        for draft in drafts:
            if draft.agent != self.agent:
                raise BadInput(f"this is the cache of {self.agent!r}; a message of {said(draft.agent, 140)} is not")
        with _explained():
            written = self._database.write(lambda cursor: self._append(cursor, drafts)) if drafts else []
            self._appended_s = self._env.monotonic_s()
            self._log.keep_within()
        return written

    def _append(self, cursor: Cursor, drafts: Sequence[Draft]) -> list[Message]:
        now_ms = int(self._env.now_s() * 1000)
        written, rows = [], []
        for draft in drafts:
            self._last_id = next_id(now_ms, self._env.token_bytes(TAIL_BYTES), self._last_id)
            written.append(message := draft.written(self._last_id, now_ms))
            encoded = message.encode()
            packs = self.limits.compression and len(encoded) >= _PACK_FROM_BYTES
            rows.append((to_bytes(message.id), now_ms, pack(encoded) if packs else encoded))
        sizes = [len(row[2]) for row in rows]
        if sum(sizes) > self._log.room_bytes // 4 and len(rows) > 1:
            raise TooLarge(f"{sum(sizes)} bytes of messages at once are too many", hint="append them in smaller groups")
        self._room.make(cursor, sizes)
        self._log.took(len(rows), sum(sizes))
        for row in rows:
            run(cursor, "INSERT INTO messages VALUES (NULL, ?, ?, ?)", row)
            if self._sends:
                run(cursor, "INSERT INTO outbox VALUES (last_insert_rowid())")
        if written and (ahead := time_of(written[-1].id) - now_ms) > 0 and ahead > fact(cursor, SETBACK):
            set_fact(cursor, SETBACK, ahead)
        return written

    # Reading

    def query(self, query: MessageQuery) -> MessagePage:
        """A page of the agent's own messages."""
        check_query(query)
        with _explained():
            return self._database.read(lambda cursor: find(cursor, query, self.agent))

    def search(self, text: str, limit: int = 20) -> MessagePage:
        """The messages that fit the words of `text` best, with snippets."""
        return self.query(MessageQuery(text=text, order="best", limit=limit))

    def get(self, message_id: str) -> StoredMessage:
        """One of the agent's own messages. NotFound."""
        wanted = parse_id(message_id)
        with _explained():
            row = self._database.read(lambda cursor: row_of_id(cursor, wanted))
            if row is None:
                raise NotFound(f"no message {wanted} in the cache of {self.agent}")
            return StoredMessage(message_of(row[2]), row[0], row[1])

    def stats(self) -> CacheStats:
        """What is in it."""

        def work(cursor: Cursor) -> tuple[int, int]:
            last = ends(cursor)[1]
            return last - fact(cursor, REMOVED), max(0, last - fact(cursor, INDEXED))

        with _explained():
            messages, unindexed = self._database.read(work)
            counts = self.outbox.counts()
        lag_s = 0.0 if counts.oldest_ms is None else max(0.0, self._env.now_s() - counts.oldest_ms / 1000)
        return CacheStats(
            messages, self.used_bytes(), self.limits.max_bytes, counts.pending, counts.parked, counts.uncovered, lag_s,
            unindexed,
        )  # fmt: skip

    def used_bytes(self) -> int:
        """Bytes that its files take up on the disk."""
        names = (self._path.with_name(self._path.name + end) for end in ("", "-wal", "-shm"))
        return sum(self._files.allocated(each) for each in names)

    # Upkeep

    def upkeep(self) -> bool:
        """Index, let go of what retention says, write the log back; whether there is more to do at once. Each step is
        a short write; indexing waits for a moment in which nobody writes, unless much is left of it. Raises
        StorageFull, Corrupt."""
        if self._database.commits == self._kept_at and self._env.monotonic_s() - self._kept_s < _LOOK_AGAIN_S:
            return False
        with _explained():
            now_ms = int(self._env.now_s() * 1000)
            more = self._may_index() and self.index_step() == INDEX_STEP
            more |= self._database.read(self._has_old(now_ms)) and self._database.write(self._retain(now_ms))
            self._log.look_after()
            more |= self._give_back()
            if not more and self._may_index():
                self._kept_at, self._kept_s = self._database.commits, self._env.monotonic_s()
        return more

    def _may_index(self) -> bool:
        if self._env.monotonic_s() - self._appended_s >= _IDLE_S:
            return True
        return self._database.read(lambda cursor: ends(cursor)[1] - fact(cursor, INDEXED)) > _INDEX_AT

    def prepare_log(self) -> None:
        """Spend some 10 ms now, so that the first thousand appends do not each take longer; for whoever waits for
        them."""
        with _explained():
            self._log.prepare()

    def index_step(self, most: int = INDEX_STEP) -> int:
        """Index up to `most` messages for searching; how many were. None are while there is no room for it."""

        def behind(cursor: Cursor) -> bool:
            return ends(cursor)[1] > fact(cursor, INDEXED)

        if not self._database.read(behind):
            return 0
        with suppress(StorageFull):
            return self._database.write(lambda cursor: index_step(cursor, self._room, most))
        return 0

    def _has_old(self, now_ms: int) -> Callable[[Cursor], bool]:
        def work(cursor: Cursor) -> bool:
            oldest = first(cursor.execute("SELECT time_ms FROM messages ORDER BY seq LIMIT 1"))
            return oldest is not None and (oldest[0] < self._cutoff_ms(now_ms) or self._room.over(cursor, _FULL_SHARE))

        return work

    def _retain(self, now_ms: int) -> Callable[[Cursor], bool]:
        def work(cursor: Cursor) -> bool:
            before_ms = None if self._room.over(cursor, _FULL_SHARE) else self._cutoff_ms(now_ms)
            return remove_oldest(cursor, _REMOVE_STEP, before_ms) == _REMOVE_STEP

        return work

    def _cutoff_ms(self, now_ms: int) -> int:
        return now_ms - self.limits.retention_days * DAY_MS if self.limits.retention_days else 0

    def _give_back(self) -> bool:
        """Free pages that are a quarter of the file go back to the disk, some at a time; whether there are more."""
        size = self._database.size()
        if size.free_bytes * 4 <= size.file_bytes or size.free_bytes < _GIVE_BACK_BYTES:
            return False
        sql = f"PRAGMA incremental_vacuum({_VACUUM_PAGES})"
        self._database.write(lambda cursor: run(cursor, sql))
        return True

    def check(self) -> list[str]:
        """Read all of it and say what is wrong; empty when all is well. Slow."""
        return self._database.check()

    def close(self) -> None:
        """Let running calls finish, close. May be called twice."""
        self._database.close()


@contextmanager
def _explained() -> Iterator[None]:
    """The hints of a database are for a node's; what to do about a cache is another thing."""
    try:
        yield
    except Corrupt as error:
        raise Corrupt(error.message, hint=_HINT) from error
