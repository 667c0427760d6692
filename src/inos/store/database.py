"""The encrypted database: the only module that imports SQLite (`apsw`, the sqlite3mc build).

Rules
- The whole file, and its log, are encrypted (ChaCha20-Poly1305, 32-byte raw key); temporary data stays in memory.
- WAL, `synchronous=FULL`: what a write returned has been synced. A write is a function of a cursor; it runs in one
  transaction or leaves nothing. One writer at a time; readers see a snapshot and wait for nobody.
- Group commit: writers that meet share one transaction and one sync, each in a savepoint, so that a function that
  fails undoes only itself.
- A checkpoint is somebody's background work (`checkpoint`), not a writer's: the automatic one is a backstop.
- A database is created beside its place and renamed into it: an existing file is never legitimately empty, and an
  emptied one is reported instead of being taken for new.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import outcome

from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, Corrupt, InosError, Locked, StorageFull
from inos.store.cursor import Cursor, one
from inos.store.disk_errors import from_errno
from inos.store.files import sync_folder
from inos.store.group_commit import GroupCommit, Outcome, Work
from inos.store.migrations import MIGRATIONS, Migration, check_version, take_step

T = TypeVar("T")

KEY_BYTES: Final = 32
APPLICATION_ID: Final = 0x494E4F53  # "INOS", in the header so that a foreign file is told apart
# As many as the threads of an Env, so that no reader waits for another; opened when first needed.
MAX_READERS: Final = 8
# 64 MiB of log. A checkpoint of it stalls the writer that meets it for about 0.1 s, so it is left to `checkpoint`.
AUTOCHECKPOINT_PAGES: Final = 16_384
LOG_KEPT_BYTES: Final = 16 << 20
BUSY_TIMEOUT_MS: Final = 5_000  # only another process can hold us up, and the data root's lock forbids that
_SMALLEST_FILE_BYTES: Final = 512  # SQLite's smallest page; anything shorter is the rest of a file
_REPAIR_HINT: Final = "restore it from a backup, or move inos.db* away and rebuild the index from the chunk files"


class Database:
    """One encrypted database. Blocking and safe from several threads, apart from `write_async`."""

    def __init__(self, path: Path, key: bytes, env: Env, *, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        """Open `path`, or create it where nothing is, and bring its schema up to date. Raises Corrupt for a file that
        is damaged or that `key` (32 bytes) does not open, NewerFormat, Locked, StorageFull."""
        if len(key) != KEY_BYTES:
            raise BadInput(f"a database key has {KEY_BYTES} bytes, got {len(key)}")
        self._path = path
        self._key = bytes(key)
        self._commits = GroupCommit(self._run_group, env)
        self._idle: list[apsw.Connection] = []
        self._readers = threading.BoundedSemaphore(MAX_READERS)
        self._closed = False
        if not path.exists():
            _create(path, self._key)
        _refuse_truncated(path)
        self._writer = _connect(path, self._key)
        try:
            self._upgrade(migrations)
        except BaseException:
            self._writer.close()
            raise

    def _upgrade(self, migrations: Sequence[Migration]) -> None:
        # Until the version is known to be ours nothing may be written, and closing would write the log back.
        self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        with _translated(self._writer, self._path):
            version = check_version(self._writer.cursor(), migrations)
            found = one(self._writer.execute("PRAGMA application_id"))[0]
            if found != APPLICATION_ID:
                raise Corrupt(f"{self._path.name} is not an INOS database", hint="it belongs to another program")
            self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute(f"PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT_PAGES}")
            self._writer.execute(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")
        for number in range(version, len(migrations)):
            self.write(lambda cursor, number=number: take_step(cursor, migrations, number))  # type: ignore[misc]

    # Reading

    def read(self, work: Work[T]) -> T:
        """`work(cursor)` on one consistent snapshot; it may only read."""
        with self._reader() as reader, _translated(reader, self._path):
            reader.execute("BEGIN")
            try:
                return work(reader.cursor())
            finally:
                _roll_back(reader)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[apsw.Connection]:
        with self._readers:
            self._refuse_closed()
            reader = self._idle.pop() if self._idle else self._open_reader()
            try:
                yield reader
            finally:
                self._idle.append(reader)

    def _open_reader(self) -> apsw.Connection:
        reader = _connect(self._path, self._key)
        reader.execute("PRAGMA query_only = ON")
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
        with _translated(self._writer, self._path):
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                results = [self._in_savepoint(work) for work in group]
                self._writer.execute("COMMIT")
            finally:
                _roll_back(self._writer)
        return results

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
        with _translated(self._writer, self._path):
            return work(cursor)

    # Upkeep

    def checkpoint(self) -> None:
        """Write the log back into the file. Most of it happens beside the writers; they wait only for the rest."""
        with self._reader() as reader, _translated(reader, self._path):
            reader.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        with self._commits.exclusive, _translated(self._writer, self._path):
            self._refuse_closed()
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def check(self) -> list[str]:
        """Read every page and say what is wrong with the structure; empty when all is well. Slow, blocks nobody."""
        try:
            rows = self.read(lambda cursor: list(cursor.execute("PRAGMA quick_check(20)")))
        except Corrupt as error:
            return [error.message]
        return [str(row[0]) for row in rows if row[0] != "ok"]

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
        self._writer.close()


def _connect(path: Path, key: bytes) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.CantOpenError as error:
        raise Corrupt(f"{path.name} cannot be opened: {error}", hint="check the permissions of the data root") from None
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA cipher = 'chacha20'")
        connection.execute(f"PRAGMA key = 'raw:{key.hex()}'")
        with _translated(connection, path):
            connection.execute("SELECT count(*) FROM sqlite_schema")
            for pragma in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF", "cell_size_check = ON"):
                connection.execute(f"PRAGMA {pragma}")
            # Temporary files would hold plaintext: only the database itself is encrypted.
            connection.execute("PRAGMA temp_store = MEMORY")
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path, key: bytes) -> None:
    if path.with_name(path.name + "-wal").exists():
        raise Corrupt(f"{path.name} is missing, but its log {path.name}-wal is there", hint=_REPAIR_HINT)
    fresh = path.with_name(path.name + ".new")
    for leftover in (fresh, *(fresh.with_name(fresh.name + end) for end in ("-journal", "-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    try:
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        connection = _connect(fresh, key)
        try:
            with _translated(connection, path):
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise from_errno(error.errno or 0, f"creating {path.name}") from None


def _refuse_truncated(path: Path) -> None:
    size = path.stat().st_size
    if size < _SMALLEST_FILE_BYTES:
        raise Corrupt(f"{path.name} is truncated: {size} bytes are left of it", hint=_REPAIR_HINT)


def _roll_back(connection: apsw.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def _translated(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """SQLite's errors as ours. A broken constraint or bad SQL is a bug of the caller and passes as it is."""
    try:
        yield
    except apsw.FullError:
        raise StorageFull(f"no room in {path.name}", hint="free space on this disk") from None
    except (apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError) as error:
        raise _broken(connection, path, error) from None
    except (apsw.CorruptError, apsw.NotADBError, apsw.FormatError):
        hint = f"it is damaged, or belongs to another identity; {_REPAIR_HINT}"
        raise Corrupt(f"{path.name} does not open with this identity's key or is damaged", hint=hint) from None
    except (apsw.BusyError, apsw.LockedError):
        raise Locked(f"another process holds {path.name}", hint="stop the other node first") from None


def _broken(connection: apsw.Connection, path: Path, error: apsw.Error) -> InosError:
    number = connection.system_errno
    if number:
        return from_errno(number, f"accessing {path.name}")
    return Corrupt(f"accessing {path.name} failed: {error}", hint=_REPAIR_HINT)
