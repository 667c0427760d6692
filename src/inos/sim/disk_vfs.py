"""SQLite on simulated disks: one VFS for the process, which finds the disk by the first part of a file's name.

It has no shared memory, so a database has one connection and keeps its log's index to itself (`DatabaseFile`). The
cipher of the product goes between SQLite and it (`VFS_NAME`), as it does on a machine's own files: the pages on a
simulated disk are sealed, and a flipped bit in them is noticed.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from operator import is_
from typing import TYPE_CHECKING, Final, cast
from weakref import WeakValueDictionary

import apsw

from inos.sim.disk_file import SimFile

if TYPE_CHECKING:
    from inos.sim.disk_files import SimFiles

_OWN_NAME: Final = "inos-simulated"
# The library makes the ciphering one of any VFS when it is asked for by this prefix.
VFS_NAME: Final = "multipleciphers-" + _OWN_NAME
# SQLite syncs the folder with the first sync of a journal that it made; so does its VFS for a machine's files.
_JOURNALS: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
_LONGEST_PATH: Final = 512
# Some day; SQLite asks for it only where SQL does, and ours does not.
_JULIAN_DAY: Final = 2_461_408.5

_numbers: Iterator[int] = itertools.count()
_mounted: WeakValueDictionary[str, SimFiles] = WeakValueDictionary()


def known_to_sqlite(files: SimFiles) -> str:
    """Make the files of one machine known to SQLite, as long as `files` is referenced; the folder it sees them in."""
    number = str(next(_numbers))
    _mounted[number] = files
    return "/" + number


def _found(name: str) -> tuple[SimFiles, str]:
    number, slash, path = name[1:].partition("/")
    return _mounted[number], slash + path


class _OpenFile:
    """One file as SQLite has it open."""

    __slots__ = ("_file", "_files", "_path", "_unsynced_name")

    def __init__(self, files: SimFiles, path: str, file: SimFile, unsynced_name: bool) -> None:
        self._files = files
        self._path = path
        self._file = file
        self._unsynced_name = unsynced_name

    def xRead(self, amount: int, offset: int) -> bytes:
        try:
            return self._files.read_page(self._path, self._file, amount, offset)
        except OSError as error:
            raise _vfs.said(error, apsw.SQLITE_IOERR_READ) from None

    def xWrite(self, data: bytes, offset: int) -> None:
        try:
            self._files.write(self._path, self._file, data, offset)
        except OSError as error:
            raise _vfs.said(error, apsw.SQLITE_IOERR_WRITE) from None

    def xTruncate(self, size: int) -> None:
        try:
            self._files.resize(self._path, self._file, size)
        except OSError as error:
            raise _vfs.said(error, apsw.SQLITE_IOERR_TRUNCATE) from None

    def xSync(self, _flags: int) -> None:
        try:
            self._files.sync(self._path, self._file)
            if self._unsynced_name:
                self._files.sync_names(self._path.rpartition("/")[0])
                self._unsynced_name = False
        except OSError as error:
            raise _vfs.said(error, apsw.SQLITE_IOERR_FSYNC) from None

    def xFileSize(self) -> int:
        return len(self._file.data)

    def xLock(self, _level: int) -> None:
        """Nobody else can have it open."""

    def xUnlock(self, _level: int) -> None:
        """Nobody waits for it."""

    def xCheckReservedLock(self) -> bool:
        return False

    xFileControl = staticmethod(is_)  # noqa: N815 - as apsw calls it
    """Nothing is known to it: an operation's number is no address. Asked twice in each transaction, so by C alone."""

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        # As SQLite assumes of a machine's files: writing some bytes of a sector endangers no others of it.
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:
        """Nothing is kept but what is on the disk."""


class _SimulatedVfs(apsw.VFS):
    """What SQLite asks an operating system for, answered by the disks."""

    def __init__(self) -> None:
        super().__init__(_OWN_NAME, "", maxpathname=_LONGEST_PATH)
        self.error_number = 0

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            raise apsw.CantOpenError("temporary files are kept in memory")
        files, path = _found(name.filename() if isinstance(name, apsw.URIFilename) else name)
        file = files.tree.find(path)
        made = file is None
        if file is None:
            if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError(f"there is no {path}")
            file = SimFile()
            files.tree.bind(path, file)
        flags[1] = flags[0]
        # apsw takes any object with these methods, and a plain one spares each call a detour.
        return cast("apsw.VFSFile", _OpenFile(files, path, file, made and bool(flags[0] & _JOURNALS)))

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, pathname: str, _flags: int) -> bool:
        files, path = _found(pathname)
        return files.tree.find(path) is not None

    def xDelete(self, filename: str, syncdir: bool) -> None:
        files, path = _found(filename)
        try:
            files.remove(path)
            if syncdir:
                files.sync_names(path.rpartition("/")[0])
        except FileNotFoundError as error:
            raise _vfs.said(error, apsw.SQLITE_IOERR_DELETE_NOENT) from None
        except OSError as error:
            raise _vfs.said(error, apsw.SQLITE_IOERR_DELETE) from None

    def xCurrentTime(self) -> float:
        return _JULIAN_DAY

    def xCurrentTimeInt64(self) -> int:
        return int(_JULIAN_DAY * 86_400_000)

    def xSleep(self, microseconds: int) -> int:
        return microseconds

    def xGetLastError(self) -> tuple[int, str]:
        return self.error_number, os.strerror(self.error_number)

    def said(self, error: OSError, code: int) -> Exception:
        """`error` as SQLite is told of it; it asks for the number of the operating system afterwards."""
        self.error_number = error.errno or 0
        return apsw.FullError(str(error)) if error.errno == errno.ENOSPC else apsw.exception_for(code)


_vfs: Final = _SimulatedVfs()
