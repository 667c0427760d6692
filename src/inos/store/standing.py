"""A database file that stands still: whole, and written to by nobody, while somebody reads it as it lies on the disk.

Whoever else has it open, in this process or in another, goes on: what is committed meanwhile goes to the log, which
grows for as long. That follows from SQLite's own locks alone: while nobody may write all of the log is written back,
and a reader that begins at that moment keeps every later checkpoint out of the file.

The bytes are read through SQLite's handle of the file. The system drops all locks that this process has on a file when
any descriptor of it is closed, and with them those that keep others from taking the log away.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw

from inos.core.errors import Corrupt, Locked
from inos.store.connection import connect, frames_read, roll_back, run_once, translated
from inos.store.cursor import Cursor
from inos.store.filesystem import Files
from inos.store.log_check import find_damage, is_loose, refuse_damaged_log

# How long to wait for readers of an earlier moment, and for whoever writes the log back at the same time: 5 s, as
# SQLite does elsewhere.
_TRIES: Final = 250
_PAUSE_S: Final = 0.02
# Who writes without a pause leaves the lock free for moments; SQLite itself would look ten times a second.
_LOOKS: Final = 5_000
_LOOK_S: Final = 0.001
_PLAIN_VFS: Final = "unix"  # the one below the cipher


@dataclass(frozen=True, slots=True)
class Standing:
    """The file, `size_bytes` long. `cursor` reads the moment that it holds."""

    cursor: Cursor
    size_bytes: int
    read: Callable[[int, int], bytes] = field(repr=False)
    """`read(size, start)`. Raises Corrupt for what the disk does not give."""

    def blocks(self, block_bytes: int) -> Iterator[bytes]:
        """All of it, in order, encrypted as it lies there."""
        for start in range(0, self.size_bytes, block_bytes):
            yield self.read(min(block_bytes, self.size_bytes - start), start)


@contextlib.contextmanager
def standing_still(path: Path, key: bytes, files: Files, *, known: bool = False) -> Iterator[Standing]:
    """Have the file at `path` stand still inside. Of one that this process has not opened (`known`: it has) the log is
    looked at first: writing back one that is damaged would lose what is behind the damage. Raises Corrupt, Locked when
    others are in the way for too long; StorageFull."""
    with contextlib.ExitStack() as stack:
        holder, reader = (stack.enter_context(contextlib.closing(connect(path, key, files))) for _ in range(2))
        if not known:
            _refuse_damaged(holder, reader, path, key, files)
        with translated(reader, path):
            _stop(holder, reader, path)
            stack.callback(roll_back, reader)
            file = stack.enter_context(_opened(path))

            def read(size: int, start: int) -> bytes:
                with translated(reader, path):
                    data = bytes(file.xRead(size, start))
                if len(data) < size:
                    raise Corrupt(f"{path.name} ends at {start + len(data)}", hint="check the disk of the data root")
                return data

            yield Standing(reader.cursor(), file.xFileSize(), read)


def _refuse_damaged(holder: apsw.Connection, reader: apsw.Connection, path: Path, key: bytes, files: Files) -> None:
    """Raises Corrupt; then nothing was written, and closing writes nothing either."""
    for connection in (holder, reader):
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    with translated(holder, path):
        holder.execute("BEGIN IMMEDIATE")  # so that nothing comes behind what SQLite says it has read
        try:
            if not is_loose(path, files):
                read = frames_read(reader, path)
                if find_damage(read, path, key, files):
                    hint = "it is put right by whoever opens it next: start the node, or the agent whose it is"
                    raise Corrupt(f"{path.name}-wal is damaged", hint=hint)
                refuse_damaged_log(read, path, files)
        finally:
            roll_back(holder)
    for connection in (holder, reader):
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)


def _stop(holder: apsw.Connection, reader: apsw.Connection, path: Path) -> None:
    """Begin a transaction of `reader` that sees the file alone."""
    holder.set_busy_handler(lambda looks: looks < _LOOKS and not threading.Event().wait(_LOOK_S))
    for _ in range(_TRIES):
        _written_back(reader)  # most of it, beside the writers
        holder.execute("BEGIN IMMEDIATE")
        try:
            if _written_back(reader):
                reader.execute("BEGIN")
                run_once(reader, "SELECT count(*) FROM sqlite_schema").fetchall()
                return
        finally:
            roll_back(holder)
        threading.Event().wait(_PAUSE_S)
    raise Locked(f"somebody has been reading {path.name} for too long", hint="try again in a while")


def _written_back(connection: apsw.Connection) -> bool:
    """Write back what is left of the log; whether all of it is in the file."""
    try:
        frames, written = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.BusyError:  # somebody else does the same just now
        return False
    return bool(frames == written)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[apsw.VFSFile]:
    flags = [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0]
    file = apsw.VFSFile(_PLAIN_VFS, str(path), flags)
    try:
        yield file
    finally:
        file.xClose()
