"""The file that a download fills until it is whole: `OUT.<start of its tag>.part`.

Owns one open file for as long as a download lasts, and the lock on it that keeps every other download away.

Rules: it is opened by its name once, and everything after goes through that descriptor, for the name may be another
file's by then. It gets the name OUT only while its own name still leads to it, and only with every byte it is due. It
stays when the download is broken off. The lock is the open file's, not the process's: a node that was handed the file
holds it as well, until it writes no more.
"""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from inos.client.local import PERMISSIONS, current_umask, file_error
from inos.core.errors import Conflict, InosError

# Each time round another download finished, or somebody removed the file, between two system calls.
_OPEN_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An open, locked file at `path`. Use it as a context: leaving it lets go of the lock."""

    path: Path
    file: BinaryIO

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.file.close()

    def usable_bytes(self, size: int) -> int:
        """How much is there of something `size` bytes long; what is longer is no beginning of it, and emptied."""
        have = os.fstat(self.file.fileno()).st_size
        if have <= size:
            return have
        self.empty()
        return 0

    def empty(self) -> None:
        """Begin anew. Raises Conflict where the file is no longer the one of its name."""
        self._check_name()
        try:
            self.file.truncate(0)
        except OSError as error:
            raise file_error(self.path, error, "write") from None

    def finish(self, out: Path, size: int, mode: int, modified_ms: int) -> None:
        """Give the whole file, `size` bytes long, its mode, its time and, when all of it is on the disk, its name."""
        if os.path.lexists(out) and not stat.S_ISREG(out.lstat().st_mode) and not out.is_symlink():
            raise Conflict(f"{out} is in the way: a file is due there", hint="move it away")
        descriptor = self.file.fileno()
        try:
            os.fsync(descriptor)
            os.fchmod(descriptor, mode & PERMISSIONS & ~current_umask())
            if modified_ms:
                os.utime(descriptor, ns=(modified_ms * 1_000_000,) * 2)
            if os.fstat(descriptor).st_size != size:
                raise _meddled(self.path)
            self._check_name()
            self.path.replace(out)
        except OSError as error:
            self._check_name()  # taken away between the look at its name and the use of it
            raise file_error(out, error, "write") from None

    def _check_name(self) -> None:
        if not _leads_to(self.path, self.file):
            raise _meddled(self.path)


def open_unfinished(path: Path, out: Path) -> Unfinished:
    """The file at `path`, there or new, to be gone on with; never a link to somewhere else. Raises Conflict while
    another download to `out` holds it."""
    for _ in range(_OPEN_TRIES):
        file = _open(path)
        try:
            _lock(file, out)
            if _leads_to(path, file):
                return Unfinished(path, file)
        except BaseException:
            file.close()
            raise
        file.close()
    raise _meddled(path)


def _open(path: Path) -> BinaryIO:
    try:
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b", buffering=0)
    except OSError as error:
        raise file_error(path, error, "write") from None


def _lock(file: BinaryIO, out: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second from network file systems
        raise Conflict(
            f"another get writes this file: {out}", hint="wait until it has finished, or write elsewhere"
        ) from None
    except OSError:
        pass  # a file system without locks: the look at the name before the file gets its own has to do


def _leads_to(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except OSError:
        return False


def _meddled(path: Path) -> InosError:
    return Conflict(
        f"{path} was removed, cut short or replaced while it was written",
        hint="run it again when nothing else touches that file",
    )
