"""Telling damage in SQLite's write-ahead log from the end that a crash leaves.

SQLite reads the log up to the first frame whose checksum fails and takes the rest for a transaction that was never
synced. After a crash that is so; after a flipped bit it silently drops transactions that were acknowledged. The two are
told apart by what follows: a transaction is synced before the next one's first frame is written (`synchronous=FULL`),
and the log's header before any frame. So a whole transaction behind the last good frame, with a frame of yet another
one behind it, was acknowledged and is damaged; so is the log when its header fails though there are transactions.
What cannot be told: damage in the last transaction, which might as well have been cut off.

None of that holds of a log whose transactions were not synced: after a loss of power any of its pages may be missing.
A file `<database>-loose`, there before the first such write and until the log has been written back, says so.

    log = header (32 bytes: magic, version, page size, sequence, 8 bytes of salt, 8 of checksum), frames
    frame = page number (4), size of the database after a commit or 0 (4), salt (8), checksum (8), page
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from inos.core.errors import Corrupt
from inos.store.connection import REPAIR_HINT
from inos.store.filesystem import Files

_HEADER_BYTES: Final = 32
_FRAME_BYTES: Final = 24
_MAGIC: Final = 0x377F0682  # the lowest bit says which way round the checksum reads
_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
# Frames read at once: a megabyte of usual pages.
_AT_ONCE: Final = 256


class _Frame(NamedTuple):
    commits: bool
    salt: bytes


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


def refuse_damaged_log(read: int, path: Path, files: Files) -> None:
    """Raises Corrupt where the log of the database at `path`, of which SQLite takes the first `read` frames, holds
    acknowledged transactions behind them."""
    log = path.with_name(path.name + "-wal")
    try:
        header = files.read(log, _HEADER_BYTES) if files.exists(log) else b""
        if len(header) < _HEADER_BYTES:
            return
        damaged = _has_lost(log, header, read, files)
    except OSError as error:
        raise Corrupt(f"{log.name} cannot be read: {error.strerror}", hint=REPAIR_HINT) from None
    if damaged:
        raise Corrupt(f"{log.name} is damaged: transactions in it cannot be read any more", hint=REPAIR_HINT)


def _has_lost(log: Path, header: bytes, read: int, files: Files) -> bool:
    """Whether there are transactions behind the first `read` frames that were synced."""
    magic, _, page_bytes = struct.unpack_from(">III", header)
    intact = header[24:] == _checksum(header[:24], big_endian=bool(magic & 1))
    if not intact:
        # Pages are of the size that every database here has; the header, which would say so, does not count.
        return any(frame.commits for frame in _frames(log, 0, 4096, files))
    if magic & ~1 != _MAGIC or page_bytes not in _PAGE_SIZES:
        return False
    ended = False
    for frame in _frames(log, read, page_bytes, files):
        if frame.salt == header[16:24]:
            if ended:
                return True
            ended = frame.commits
    return False


def _frames(log: Path, first: int, page_bytes: int, files: Files) -> Iterator[_Frame]:
    """The frames from number `first` on, as their headers have them."""
    length = _FRAME_BYTES + page_bytes
    at = _HEADER_BYTES + first * length
    while block := files.read(log, _AT_ONCE * length, at):
        for start in range(0, len(block) - length + 1, length):
            commits, salt = struct.unpack_from(">4xI8s", block, start)
            yield _Frame(bool(commits), salt)
        at += _AT_ONCE * length


def _checksum(data: bytes, *, big_endian: bool) -> bytes:
    """SQLite's, over a multiple of 8 bytes; always kept big-endian."""
    one = two = 0
    for first, second in struct.iter_unpack(">II" if big_endian else "<II", data):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return struct.pack(">II", one, two)
