"""The seam between the stores and the files of a machine: what the stores need of a file system, and the real one.

Everything a node keeps while it runs goes through `Files`, the database through the SQLite VFS that it names. So the
same stores run on a machine's disk and on a simulated one that loses power in the middle. Whoever calls decides on
the order of writing, syncing and renaming; nothing here adds a sync of its own, but for what its name says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from inos.core.writeback import start_writeback
from inos.store.files import copy_all, sync_data, sync_folder, write_all

# What st_blocks counts, whatever the blocks of the file system are.
_STAT_BLOCK_BYTES: Final = 512
# SQLite's own default, 2 MB of pages of 4 KiB.
CACHE_PAGES: Final = 500
# 64 MiB of log. A checkpoint of it stalls the writer that meets it for about 0.1 s, so it is left to `checkpoint`.
AUTOCHECKPOINT_PAGES: Final = 16_384
# Statements that a connection holds ready, some 3 KB each: the driver's own default.
STATEMENTS: Final = 100


@dataclass(frozen=True, slots=True)
class DatabaseFile:
    """How SQLite gets at one database: the name to open and the registered VFS, "" for the machine's own. With
    `one_connection` the VFS has no memory to share between connections: one does everything, in turn."""

    name: str
    vfs: str = ""
    one_connection: bool = False
    cache_pages: int = CACHE_PAGES
    autocheckpoint_pages: int = AUTOCHECKPOINT_PAGES
    statements: int = STATEMENTS


class Files(Protocol):
    """The files of one machine. Calls block and raise OSError; new files and folders are for their owner only."""

    def exists(self, path: Path) -> bool:
        """Whether there is a file or folder of this name."""

    def size(self, path: Path) -> int:
        """Bytes of the file."""

    def read(self, path: Path, limit: int, start: int = 0) -> bytes:
        """The bytes of the file from `start` on, at most `limit`."""

    def listed(self, folder: Path) -> list[tuple[str, int]]:
        """Name and size of each regular file in `folder`, in any order."""

    def allocated(self, path: Path) -> int:
        """Bytes of the disk that a file takes up; 0 where there is none."""

    def allocated_in(self, folder: Path) -> int:
        """The same for all regular files in `folder` together."""

    def make_folders(self, root: Path, names: Sequence[str]) -> None:
        """Make those of `names`, relative to `root`, that are missing, in this order; synced when it returns."""

    def write_synced(self, files: Sequence[tuple[Path, bytes]]) -> None:
        """Write each of `files` anew; their bytes are on the disk when this returns, their names perhaps not. All are
        open at once. When it raises, some may be there, whole or not."""

    def rename(self, old: Path, new: Path) -> None:
        """Move a file, over another where one is."""

    def copy_synced(self, old: Path, new: Path) -> None:
        """Write `new` as a copy of the file `old`, of any size; its bytes are on the disk when this returns, its name
        perhaps not. When it raises, a part may be there."""

    def patch_synced(self, path: Path, start: int, data: bytes) -> None:
        """Put `data` in place of what is at `start` of the file; on the disk when this returns."""

    def uncache(self, path: Path) -> None:
        """Let go of the memory in which the machine keeps what is in the file, where it can be told to; what was not
        synced stays there. Raises nothing."""

    def unlink(self, path: Path) -> None:
        """Remove a file; an absent one is fine."""

    def sync_folder(self, folder: Path) -> None:
        """The names in `folder` are on the disk when this returns."""

    def free_bytes(self, folder: Path) -> int:
        """Room that an unprivileged writer has on the disk of `folder`."""

    def database(self, path: Path) -> DatabaseFile:
        """How SQLite gets at the database of this name."""


class RealFiles:
    """The machine's own file system."""

    def exists(self, path: Path) -> bool:
        return path.exists()

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def read(self, path: Path, limit: int, start: int = 0) -> bytes:
        with path.open("rb", buffering=0) as file:
            if start:
                file.seek(start)
            return _read(file.fileno(), limit)

    def listed(self, folder: Path) -> list[tuple[str, int]]:
        return [(name, found.st_size) for name, found in _regular_files(folder)]

    def allocated(self, path: Path) -> int:
        try:
            return path.stat().st_blocks * _STAT_BLOCK_BYTES
        except FileNotFoundError:
            return 0

    def allocated_in(self, folder: Path) -> int:
        return sum(found.st_blocks for _, found in _regular_files(folder)) * _STAT_BLOCK_BYTES

    def make_folders(self, root: Path, names: Sequence[str]) -> None:
        parents: dict[Path, None] = {}
        for folder in (root / name for name in names):
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                parents[folder.parent] = None
        for parent in parents:
            sync_folder(parent)

    def write_synced(self, files: Sequence[tuple[Path, bytes]]) -> None:
        descriptors: list[int] = []
        try:
            for path, data in files:
                descriptors.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
                write_all(descriptors[-1], data)
                start_writeback(descriptors[-1])
            for descriptor in descriptors:
                sync_data(descriptor)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        old.replace(new)

    def copy_synced(self, old: Path, new: Path) -> None:
        with old.open("rb", buffering=0) as source:
            target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                copy_all(source.fileno(), target)
                sync_data(target)
            finally:
                os.close(target)

    def patch_synced(self, path: Path, start: int, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(descriptor, data, start)
            sync_data(descriptor)
        finally:
            os.close(descriptor)

    def uncache(self, path: Path) -> None:
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # the file is gone, or its file system does not know this
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        sync_folder(folder)

    def free_bytes(self, folder: Path) -> int:
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize

    def database(self, path: Path) -> DatabaseFile:
        return DatabaseFile(str(path))


REAL_FILES: Final = RealFiles()


def _read(descriptor: int, limit: int) -> bytes:
    data = os.read(descriptor, limit)
    while 0 < len(data) < limit:
        more = os.read(descriptor, limit - len(data))
        if not more:
            break
        data += more
    return data


def _regular_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each, but those that somebody removes meanwhile."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False)
