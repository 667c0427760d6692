"""Telling damage in SQLite's write-ahead log from the end that a crash leaves, and putting right what can be.

SQLite reads the log up to the first frame whose checksum fails and takes the rest for a transaction that was never
synced. After a crash that is so; after a flipped bit it silently drops transactions that were acknowledged. They are
told apart in two ways.

- By what is wrong (`log_sums.py`): where one changed word, or salt, explains the checksum that fails, and the page's
  tag agrees, it is damage, and what was there is known. It is put back.
- By what follows: a transaction is synced before the next one's first frame is written (`synchronous=FULL`), and the
  log's header before any frame. So a whole transaction behind the last good frame, with a frame of yet another one
  behind it, was acknowledged; so are those of a log whose header fails. Damaged beyond one word, they are refused.

What cannot be told: damage beyond one word in the last transaction, which might as well have been cut off.

None of the second holds of a log whose transactions were not synced: after a loss of power any of its pages may be
missing. A file `<database>-loose`, there before the first such write and until the log has been written back, says so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from inos.core.errors import Corrupt
from inos.crypto.page_tags import is_page
from inos.store.connection import REPAIR_HINT
from inos.store.disk_errors import from_errno
from inos.store.filesystem import Files
from inos.store.log_sums import (
    FRAME_BYTES,
    HEADER_BYTES,
    PAGE_BYTES,
    IsPage,
    Log,
    frame_mended,
    header_mended,
    read_header,
)

# Frames read at once: a megabyte of usual pages.
_AT_ONCE: Final = 256


def is_loose(path: Path, files: Files) -> bool:
    """Whether the log of the database at `path` may hold transactions that were never synced."""
    return files.exists(_mark(path))


def let_loose(path: Path, files: Files) -> None:
    """Say so, before the first of them."""
    if not is_loose(path, files):
        files.write_synced([(_mark(path), b"")])
        files.sync_folder(path.parent)


def fasten(path: Path, files: Files) -> None:
    """The log has been written back: from here on all of it is synced."""
    if is_loose(path, files):
        files.unlink(_mark(path))
        files.sync_folder(path.parent)


def _mark(path: Path) -> Path:
    return path.with_name(path.name + "-loose")


class Damage(NamedTuple):
    """What belongs at `start` of the log, where something else is."""

    start: int
    data: bytes


def find_damage(read: int, path: Path, key: bytes, files: Files) -> Damage | None:
    """What keeps SQLite from reading on in the log of the database at `path`, of which it takes the first `read`
    frames: where that is damage of one place, and what was there can be told. Raises Corrupt when it cannot be read."""
    log = _log_of(path)
    try:
        header = files.read(log, HEADER_BYTES) if files.exists(log) else b""
        if len(header) < HEADER_BYTES:
            return None
        if (intact := read_header(header)) is None:
            first = files.read(log, FRAME_BYTES + PAGE_BYTES, HEADER_BYTES)
            change = header_mended(header, first) if len(first) == FRAME_BYTES + PAGE_BYTES else None
            return Damage(*change) if change else None
        return _Tail(log, intact, partial(is_page, key), files).damage(read)
    except OSError as error:
        raise _unreadable(log, error) from None


class _Tail:
    """The frames that SQLite does not take. Whether pages are whole is told by their tags, at 20 us each; the sums,
    in Python, take twenty times as long, so they are left to the places where they decide."""

    def __init__(self, path: Path, log: Log, is_page: IsPage, files: Files) -> None:
        self._path = path
        self._log = log
        self._is_page = is_page
        self._files = files

    def damage(self, read: int) -> Damage | None:
        whole, commits = read, False
        for frame in _frames(self._path, read, self._log.page_bytes, self._files):
            number, size = struct.unpack_from(">II", frame)
            if frame[8:16] != self._log.salt or not self._is_page(number, frame[FRAME_BYTES:]):
                break
            whole, commits = whole + 1, commits or bool(size)
        # With a commit among whole pages, one of their sums or sizes keeps SQLite from them. Else it is the frame that
        # ended it - or the last before, when that was a commit. A first one that is whole and does not follow is what a
        # transaction left that was undone.
        looked_at = range(read, whole + 1) if commits else sorted({read, max(read, whole - 1), whole})
        for number in looked_at:
            frame, before = self._frame(number), self._checksum_before(number)
            if len(frame) == FRAME_BYTES + self._log.page_bytes and not self._log.follows(frame, before):
                change = frame_mended(self._log, frame, before, self._is_page)
                return Damage(self._start(number) + change.offset, change.data) if change else None
        return None

    def _frame(self, number: int) -> bytes:
        return self._files.read(self._path, FRAME_BYTES + self._log.page_bytes, self._start(number))

    def _checksum_before(self, number: int) -> bytes:
        return self._files.read(self._path, 8, self._start(number - 1) + 16) if number else self._log.checksum

    def _start(self, number: int) -> int:
        return HEADER_BYTES + number * (FRAME_BYTES + self._log.page_bytes)


def mend(damage: Damage, path: Path, files: Files) -> None:
    """Put right what `find_damage` found. Nobody may have the database open. Raises Corrupt."""
    log = _log_of(path)
    try:
        files.patch_synced(log, damage.start, damage.data)
    except OSError as error:
        raise from_errno(error.errno or 0, f"mending {log.name}") from None


def refuse_damaged_log(read: int, path: Path, files: Files) -> None:
    """Raises Corrupt where the log of the database at `path`, of which SQLite takes the first `read` frames, holds
    acknowledged transactions behind them."""
    log = _log_of(path)
    try:
        header = files.read(log, HEADER_BYTES) if files.exists(log) else b""
        if len(header) < HEADER_BYTES:
            return
        damaged = _has_lost(log, header, read, files)
    except OSError as error:
        raise _unreadable(log, error) from None
    if damaged:
        raise Corrupt(f"{log.name} is damaged: transactions in it cannot be read any more", hint=REPAIR_HINT)


def _has_lost(log: Path, header: bytes, read: int, files: Files) -> bool:
    """Whether there are transactions behind the first `read` frames that were synced."""
    intact = read_header(header)
    if intact is None:
        # Pages are of the size that every database here has; the header, which would say so, does not count.
        return any(_commits(frame) for frame in _frames(log, 0, PAGE_BYTES, files))
    ended: bytes | None = None
    for frame in _frames(log, read, intact.page_bytes, files):
        # What an undone transaction left further back has the same salt, but does not go on from a commit.
        if ended is not None and intact.follows(frame, ended):
            return True
        ended = frame[16:24] if frame[8:16] == intact.salt and _commits(frame) else None
    return False


def _commits(frame: bytes) -> bool:
    return frame[4:8] != bytes(4)


def _frames(log: Path, first: int, page_bytes: int, files: Files) -> Iterator[bytes]:
    """The frames from number `first` on."""
    length = FRAME_BYTES + page_bytes
    at = HEADER_BYTES + first * length
    while block := files.read(log, _AT_ONCE * length, at):
        for start in range(0, len(block) - length + 1, length):
            yield block[start : start + length]
        at += _AT_ONCE * length


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _unreadable(log: Path, error: OSError) -> Corrupt:
    return Corrupt(f"{log.name} cannot be read: {error.strerror}", hint=REPAIR_HINT)
