"""Connections to an encrypted database: making the file, opening it, and SQLite's errors as ours.

A database is created beside its place and renamed into it: an existing file is never legitimately empty, and an
emptied one is reported instead of being taken for new.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from inos.core.errors import Corrupt, InosError, Locked, StorageFull
from inos.store.disk_errors import from_errno
from inos.store.filesystem import Files

APPLICATION_ID: Final = 0x494E4F53  # "INOS", in the header so that a foreign file is told apart
LOG_KEPT_BYTES: Final = 16 << 20
BUSY_TIMEOUT_MS: Final = 5_000  # only another process can hold us up, and the data root's lock forbids that
_SMALLEST_FILE_BYTES: Final = 512  # SQLite's smallest page; anything shorter is the rest of a file
REPAIR_HINT: Final = "stop the node and run: inos rebuild, which keeps what is left; or restore a backup"
# 4 MiB at a time: between two of them the thread lets others run.
_COPY_PAGES: Final = 1024
# Temporary files would hold plaintext: only the database itself is encrypted.
_SETTINGS: Final = (
    "synchronous = FULL",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "temp_store = MEMORY",
)


def open_existing(path: Path, key: bytes, files: Files) -> apsw.Connection:
    """A connection to the database at `path`, made where nothing is. Raises Corrupt for one that is cut off."""
    try:
        if not files.exists(path):
            _create(path, key, files)
        size = files.size(path)
    except OSError as error:
        raise from_errno(error.errno or 0, f"creating {path.name}") from None
    if size < _SMALLEST_FILE_BYTES:
        raise Corrupt(f"{path.name} is truncated: {size} bytes are left of it", hint=REPAIR_HINT)
    return connect(path, key, files)


def connect(path: Path, key: bytes, files: Files) -> apsw.Connection:
    """A connection that has proved the key. Raises Corrupt, Locked."""
    file = files.database(path)
    try:
        connection = apsw.Connection(
            file.name, apsw.SQLITE_OPEN_READWRITE, vfs=file.vfs or None, statementcachesize=file.statements
        )
    except (apsw.CantOpenError, apsw.IOError) as error:
        hint = "check the disk and the permissions of the data root"
        raise Corrupt(f"{path.name} cannot be opened: {error}", hint=hint) from None
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        run_once(connection, "PRAGMA cipher = 'chacha20'")
        run_once(connection, f"PRAGMA key = 'raw:{key.hex()}'")
        if file.one_connection:  # said before the first access, the log needs no memory shared between connections
            run_once(connection, "PRAGMA locking_mode = EXCLUSIVE")
        with translated(connection, path):
            run_once(connection, "SELECT count(*) FROM sqlite_schema")
            for setting in (*_SETTINGS, f"cache_size = {file.cache_pages}"):
                run_once(connection, f"PRAGMA {setting}")
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def begin_log(connection: apsw.Connection, autocheckpoint_pages: int) -> None:
    """Have the writer's connection keep a write-ahead log, written back where it reaches `autocheckpoint_pages`."""
    run_once(connection, "PRAGMA journal_mode = WAL")
    run_once(connection, f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")

    # As `PRAGMA wal_autocheckpoint` would, but for errors: from a VFS in Python they came through to the writer there,
    # whose transaction had been committed.
    def write_back(writer: apsw.Connection, _database: str, pages: int) -> int:
        if pages >= autocheckpoint_pages:
            with contextlib.suppress(apsw.Error):
                writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return apsw.SQLITE_OK

    connection.set_wal_hook(write_back)


def _create(path: Path, key: bytes, files: Files) -> None:
    if files.exists(path.with_name(path.name + "-wal")):
        raise Corrupt(f"{path.name} is missing, but its log {path.name}-wal is there", hint=REPAIR_HINT)
    fresh = empty_beside(path, files)
    connection = connect(fresh, key, files)
    try:
        with translated(connection, path):
            # Before the first table, or pages that come free are never given back (`Database.vacuum`).
            run_once(connection, "PRAGMA auto_vacuum = INCREMENTAL")
            run_once(connection, f"PRAGMA application_id = {APPLICATION_ID}")
            run_once(connection, "PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    files.rename(fresh, path)
    files.sync_folder(path.parent)


def fold_log(connection: apsw.Connection) -> None:
    """Write all of the log back into the file, so that the file alone is the database. Nobody else may write to it; one
    who reads it for too long is a BusyError."""
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def frames_read(connection: apsw.Connection, path: Path) -> int:
    """How many frames of its log a connection takes for good; nothing is written."""
    with translated(connection, path):
        frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    return max(0, frames)


def empty_beside(path: Path, files: Files) -> Path:
    """An empty file beside `path`, to be filled and renamed into it. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    for leftover in with_logs(fresh):
        files.unlink(leftover)
    files.write_synced([(fresh, b"")])
    return fresh


def with_logs(path: Path) -> tuple[Path, ...]:
    """A database file and the files that SQLite may keep beside it."""
    return (path, *(path.with_name(path.name + end) for end in ("-journal", "-wal", "-shm")))


def copy_into(connection: apsw.Connection, place: Path, key: bytes, files: Files) -> None:
    """Make the database at `place` what `connection`, in a read transaction, sees; whole and synced, or not there."""
    try:
        fresh = empty_beside(place, files)
    except OSError as error:
        raise from_errno(error.errno or 0, f"creating {place.name}") from None
    copy = connect(fresh, key, files)
    try:
        with translated(copy, place):
            run_once(copy, "PRAGMA journal_mode = OFF")  # a copy that is cut off is thrown away
            with copy.backup("main", connection, "main") as backup:
                while not backup.done:
                    backup.step(_COPY_PAGES)
    finally:
        copy.close()
    try:
        files.rename(fresh, place)
        files.sync_folder(place.parent)
    except OSError as error:
        raise from_errno(error.errno or 0, f"writing {place.name}") from None


def refuse_foreign(connection: apsw.Connection, path: Path) -> None:
    """Raises Corrupt unless the database is one of ours."""
    for (found,) in run_once(connection, "PRAGMA application_id"):
        if found != APPLICATION_ID:
            raise Corrupt(f"{path.name} is not an INOS database", hint="it belongs to another program")


def run_once(connection: apsw.Connection, sql: str) -> apsw.Cursor:
    """Run what is not run again and keep nothing of it: not the 3 KB of a statement held ready, nor a key in it."""
    return connection.execute(sql, can_cache=False)


def roll_back(connection: apsw.Connection) -> None:
    """End the transaction under way, where one is, as if it had not been."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def translated(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """SQLite's errors as ours, see `explained`."""
    try:
        yield
    except apsw.Error as error:
        raise explained(connection, path, error) from None


def explained(connection: apsw.Connection, path: Path, error: apsw.Error) -> InosError | apsw.Error:
    """An error of SQLite as ours. A broken constraint or bad SQL is a bug of the caller and stays as it is."""
    match error:
        case apsw.FullError():
            return StorageFull(f"no room in {path.name}", hint="free space on this disk")
        case apsw.IOError() | apsw.CantOpenError() | apsw.ReadOnlyError():
            return _broken(connection, path, error)
        case apsw.CorruptError() | apsw.NotADBError() | apsw.FormatError():
            hint = f"it is damaged, or belongs to another identity; {REPAIR_HINT}"
            return Corrupt(f"{path.name} does not open with this identity's key or is damaged", hint=hint)
        case apsw.BusyError() | apsw.LockedError():
            return Locked(f"another process holds {path.name}", hint="stop the other node first")
    return error


def _broken(connection: apsw.Connection, path: Path, error: apsw.Error) -> InosError:
    number = connection.system_errno
    if number:
        return from_errno(number, f"accessing {path.name}")
    return Corrupt(f"accessing {path.name} failed: {error}", hint=REPAIR_HINT)
