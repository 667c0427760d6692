"""The encrypted database: transactions, group commit, readers, upkeep. Its file is `connection.py`'s business.

Rules
- The whole file, and its log, are encrypted (ChaCha20-Poly1305, 32-byte raw key); temporary data stays in memory.
- WAL, `synchronous=FULL`: what a write returned has been synced, unless it was opened otherwise. A write is a function
  of a cursor; it runs in one transaction or leaves nothing. One writer at a time; readers see a snapshot and wait for
  nobody - but where the file allows only one connection (`filesystem.DatabaseFile`), they use the writer's, in turn
  with it.
- Group commit: writers that meet share one transaction and one sync, each in a savepoint, so that a function that
  fails undoes only itself.
- A checkpoint is somebody's background work (`checkpoint`), not a writer's: the automatic one is a backstop.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import outcome

from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, Corrupt
from inos.store.connection import (
    begin_log,
    connect,
    copy_into,
    explained,
    fold_log,
    frames_read,
    open_existing,
    refuse_foreign,
    roll_back,
    run_once,
    translated,
)
from inos.store.cursor import Cursor, one
from inos.store.filesystem import REAL_FILES, Files
from inos.store.group_commit import GroupCommit, Outcome, Work
from inos.store.log_check import fasten, find_damage, is_loose, let_loose, mend, refuse_damaged_log
from inos.store.migrations import MIGRATIONS
from inos.store.migrations.step import Migration, check_version, take_step, taken_at
from inos.store.previous import KEPT_S, keep_previous, previous_versions, remove_previous
from inos.store.standing import Standing, standing_still

T = TypeVar("T")

log = logging.getLogger(__name__)

KEY_BYTES: Final = 32
# As many as the threads of an Env, so that no reader waits for another; opened when first needed.
MAX_READERS: Final = 8
# A log damaged in more places is no accident of single bytes, and each is a reading of its own.
_MAX_MENDED: Final = 64


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """Bytes of the file as SQLite counts it, of the log beside it, and of pages in the file that are free; the schemas
    of which upgrades kept copies."""

    file_bytes: int
    log_bytes: int
    free_bytes: int
    previous: tuple[int, ...]


class Database:
    """One encrypted database. Blocking and safe from several threads, apart from `write_async`."""

    def __init__(
        self,
        path: Path,
        key: bytes,
        env: Env,
        *,
        migrations: Sequence[Migration] = MIGRATIONS,
        files: Files = REAL_FILES,
        keeps_previous: bool = True,
        synced: bool = True,
    ) -> None:
        """Open `path`, or create it where nothing is, and bring its schema up to date; of one that `keeps_previous` a
        copy is kept as it was. What is written to one that is not `synced` outlives the process, and a loss of power
        only once a checkpoint has synced it; of the last writes before, all up to some moment are there then, none
        half. Raises Corrupt for a file that is damaged or that `key` (32 bytes) does not open, NewerFormat, Locked,
        StorageFull."""
        if len(key) != KEY_BYTES:
            raise BadInput(f"a database key has {KEY_BYTES} bytes, got {len(key)}")
        self._path = path
        self._key = bytes(key)
        self._env = env
        self._files = files
        self._file = files.database(path)
        self._commits = GroupCommit(self._run_group, env)
        self._idle: list[apsw.Connection] = []
        self._readers = threading.BoundedSemaphore(MAX_READERS)
        self._closed = False
        self._committed = 0
        self._mended = 0
        self._writer = open_existing(path, self._key, files)
        try:
            self._read_whole_log()
            version = self._recognised(migrations)
            if keeps_previous and 0 < version < len(migrations):
                self._keep_copy(version)
            with translated(self._writer, self._path):
                begin_log(self._writer, self._file.autocheckpoint_pages)
                self._settle_on(synced)
            self._upgrade(version, migrations)
            self._previous = previous_versions(path, files)
        except BaseException:
            self._writer.close()
            raise

    def _read_whole_log(self) -> None:
        """Have SQLite read all that was acknowledged: put right what it would stop at."""
        self._keep_log_on_close()
        while damage := find_damage(read := frames_read(self._writer, self._path), self._path, self._key, self._files):
            if self._mended == _MAX_MENDED:
                break
            self._writer.close()
            mend(damage, self._path, self._files)
            self._mended += 1
            self._writer = connect(self._path, self._key, self._files)
            self._keep_log_on_close()
        if self._mended:
            log.warning("%s-wal was damaged in %d places and has been healed", self._path.name, self._mended)
        if not is_loose(self._path, self._files):
            refuse_damaged_log(read, self._path, self._files)

    def _keep_log_on_close(self) -> None:
        """Until it is known to be ours and read to its end nothing may be written, and closing would write it back."""
        self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def _recognised(self, migrations: Sequence[Migration]) -> int:
        """The steps taken."""
        with translated(self._writer, self._path):
            version = check_version(self._writer.cursor(), migrations)
            refuse_foreign(self._writer, self._path)
        self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        return version

    def _settle_on(self, synced: bool) -> None:
        """Sync every commit from here on, or none; what is in the log by then stays what it is."""
        if not synced:
            let_loose(self._path, self._files)
            run_once(self._writer, "PRAGMA synchronous = NORMAL")
        elif is_loose(self._path, self._files):
            fold_log(self._writer)
            fasten(self._path, self._files)

    def _keep_copy(self, version: int) -> None:
        # Closed meanwhile: the locks on a file go with any of its descriptors that this process closes.
        with translated(self._writer, self._path):
            fold_log(self._writer)
        self._writer.close()
        keep_previous(self._path, version, self._files)
        self._writer = connect(self._path, self._key, self._files)

    def _upgrade(self, version: int, migrations: Sequence[Migration]) -> None:
        missing = range(version, len(migrations))
        # One that has just been made has nothing to lose between two steps, and a sync for each would be felt.
        for group in [missing] if not version else [[number] for number in missing]:
            self.write(partial(self._take_steps, migrations, group))

    def _take_steps(self, migrations: Sequence[Migration], numbers: Iterable[int], cursor: Cursor) -> None:
        for number in numbers:
            take_step(cursor, migrations, number, self._env.now_s())

    # Reading

    def read(self, work: Work[T]) -> T:
        """`work(cursor)` on one consistent snapshot; it may only read, and must not call the database again."""
        if not self._file.one_connection:
            with self._reader() as reader:
                return self._on_snapshot(reader, work)
        with self._commits.exclusive:
            self._refuse_closed()
            return self._on_snapshot(self._writer, work)

    def _on_snapshot(self, reader: apsw.Connection, work: Work[T]) -> T:
        # Not `with translated`: reads are what rounds consist of, and a context costs as much as finding a row.
        try:
            reader.execute("BEGIN")
            try:
                result = work(reader.cursor())
                if reader.txn_state() == apsw.SQLITE_TXN_WRITE:
                    raise apsw.ReadOnlyError("a read may not write: readonly")
                return result
            finally:
                roll_back(reader)
        except apsw.Error as error:
            raise explained(reader, self._path, error) from None

    @contextlib.contextmanager
    def _reader(self) -> Iterator[apsw.Connection]:
        if self._file.one_connection:
            with self._commits.exclusive:
                self._refuse_closed()
                yield self._writer
            return
        with self._readers:
            self._refuse_closed()
            reader = self._take_idle() or self._open_reader()
            try:
                yield reader
            finally:
                self._idle.append(reader)

    def _take_idle(self) -> apsw.Connection | None:
        try:
            return self._idle.pop()
        except IndexError:  # asking first would leave room for another thread in between
            return None

    def _open_reader(self) -> apsw.Connection:
        reader = connect(self._path, self._key, self._files)
        run_once(reader, "PRAGMA query_only = ON")
        return reader

    def _refuse_closed(self) -> None:
        if self._closed:
            raise Conflict("the database is closed")

    # Writing

    def write(self, work: Work[T]) -> T:
        """`work(cursor)` in a transaction, committed and synced when this returns; undone when it raises. Raises
        StorageFull or Corrupt besides what `work` raises. `work` must not call the database again."""
        return self._commits.run(work)

    async def write_async(self, work: Work[T]) -> T:
        """As `write`, for many concurrent callers: those of one moment share one commit, and none occupies a thread
        while it waits. Cancelled while its commit is under way, the work may have been done."""
        return await self._commits.run_async(work)

    def _run_group(self, group: Sequence[Work[Any]]) -> list[Outcome]:
        self._refuse_closed()
        with translated(self._writer, self._path):
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                if len(group) == 1:
                    results = [self._alone(group[0])]
                else:
                    results = [self._in_savepoint(work) for work in group]
                    self._writer.execute("COMMIT")
                    self._committed += 1
            finally:
                roll_back(self._writer)
        return results

    def _alone(self, work: Work[Any]) -> Outcome:
        """With nobody else's work to spare, the transaction itself is what is undone."""
        cursor = self._writer.cursor()
        result = outcome.capture(self._run, work, cursor)
        cursor.close(True)
        if isinstance(result, outcome.Value):
            self._writer.execute("COMMIT")
            self._committed += 1
        return result

    def _in_savepoint(self, work: Work[Any]) -> Outcome:
        self._writer.execute("SAVEPOINT job")
        cursor = self._writer.cursor()
        result = outcome.capture(self._run, work, cursor)
        cursor.close(True)
        if isinstance(result, outcome.Error):
            if not self._writer.in_transaction:  # SQLite gave the whole transaction up: no room, or a broken disk
                raise result.error
            self._writer.execute("ROLLBACK TO job")
        self._writer.execute("RELEASE job")
        return result

    def _run(self, work: Work[T], cursor: Cursor) -> T:
        with translated(self._writer, self._path):
            return work(cursor)

    # Upkeep

    def checkpoint(self, *, shrink: bool = False) -> None:
        """Write the log back into the file. Most of it happens beside the writers; they wait only for the rest. The log
        keeps its room on the disk, for the next writes, unless it is to `shrink` and no reader is in the way. Where
        another call does the same at this moment, that one's work is enough."""
        if not self._file.one_connection:
            with self._reader() as reader, translated(reader, self._path), contextlib.suppress(apsw.BusyError):
                reader.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        with self._commits.exclusive, translated(self._writer, self._path):
            self._refuse_closed()
            with contextlib.suppress(apsw.BusyError):
                self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if shrink:
                with contextlib.suppress(apsw.BusyError):
                    self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def release_memory(self) -> None:
        """Give up the pages that connections keep, and the readers that a busy moment opened: up to 2 MB each."""
        while reader := self._take_idle():
            reader.close()
        if not self._file.one_connection:
            with self._commits.exclusive, translated(self._writer, self._path):
                self._refuse_closed()
                run_once(self._writer, "PRAGMA shrink_memory")

    def size(self) -> DatabaseSize:
        """How large it is on the disk."""

        def work(cursor: Cursor) -> tuple[int, int]:
            pages, free, page = (
                int(one(cursor.execute(f"PRAGMA {name}"))[0]) for name in ("page_count", "freelist_count", "page_size")
            )
            return pages * page, free * page

        file_bytes, free_bytes = self.read(work)
        beside = self._path.with_name(self._path.name + "-wal")
        log_bytes = self._files.size(beside) if self._files.exists(beside) else 0
        return DatabaseSize(file_bytes, log_bytes, free_bytes, tuple(self._previous))

    @contextlib.contextmanager
    def frozen(self) -> Iterator[Standing]:
        """Inside, the file holds all that was committed before, complete, and nobody writes to it: what is committed
        meanwhile goes to the log. Be quick: the log grows. Raises Locked when readers are in the way for too long."""
        if self._file.one_connection:  # nobody else can be at work while this one is
            with self._commits.exclusive, translated(self._writer, self._path):
                self._refuse_closed()
                self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                yield Standing(self._writer.cursor(), self._files.size(self._path), self._read_file)
            return
        self._refuse_closed()
        with standing_still(self._path, self._key, self._files, known=True) as standing:
            yield standing

    def _read_file(self, size: int, start: int) -> bytes:
        return self._files.read(self._path, size, start)

    def check(self, table: str = "") -> list[str]:
        """Read every page, of one table or of all, and say what is wrong; empty when all is well. Slow, blocks nobody.
        The check of all also looks for pages that nothing uses."""
        argument = '"' + table.replace('"', '""') + '"' if table else "20"
        try:
            rows = self.read(lambda cursor: list(cursor.execute(f"PRAGMA quick_check({argument})")))
        except Corrupt as error:
            return [error.message]
        return [str(row[0]) for row in rows if row[0] != "ok"]

    def drop_previous(self) -> None:
        """Remove the copies kept by upgrades that are KEPT_S old, provided that what came of them passes `check`."""
        for version in tuple(self._previous):
            upgraded_at = self.read(lambda cursor, step=version + 1: taken_at(cursor, step))  # type: ignore[misc]
            if upgraded_at is not None and self._env.now_s() - upgraded_at >= KEPT_S and not self.check():
                remove_previous(self._path, version, self._files)
                self._previous.remove(version)

    def copy_to(self, place: Path) -> None:
        """Make `place` a whole, synced copy of this moment under the same key; its old content stays until then.
        Writers go on meanwhile, the log grows. Raises StorageFull or Corrupt, also for damage it comes across."""
        with self._reader() as reader, translated(reader, self._path):
            reader.execute("BEGIN")
            try:
                list(reader.execute("SELECT count(*) FROM sqlite_schema"))  # from here on it sees one moment
                copy_into(reader, place, self._key, self._files)
            finally:
                roll_back(reader)

    @property
    def mended(self) -> int:
        """Damaged places of its log that were put right when it was opened."""
        return self._mended

    @property
    def commits(self) -> int:
        """Groups of writes committed since it was opened."""
        return self._committed

    def close(self) -> None:
        """Let running calls finish, write the log back, close. May be called twice."""
        with self._commits.exclusive:
            if self._closed:
                return
            self._closed = True
        for _ in range(MAX_READERS):
            self._readers.acquire()
        for reader in self._idle:
            reader.close()
        self._idle.clear()
        self._readers.release(MAX_READERS)
        with contextlib.suppress(apsw.IOError, apsw.FullError):  # what is not written back is still in the log
            self._writer.close()
