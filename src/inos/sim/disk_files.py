"""A machine's view of its simulated disk: the seam of the stores (`store/filesystem.py`), and the same for SQLite."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inos.sim.disk_file import SimFile
from inos.sim.disk_tree import Tree
from inos.sim.disk_vfs import VFS_NAME, known_to_sqlite
from inos.store.filesystem import DatabaseFile

if TYPE_CHECKING:
    from inos.sim.disk import SimDisk

# A simulation has hundreds of databases in one process: some 80 KiB of pages, which SQLite sets aside anyway for any
# connection, and 600 KiB of log.
CACHE_PAGES: Final = 256
AUTOCHECKPOINT_PAGES: Final = 128
# All that a node has, for one connection: preparing one costs several times what running it does.
STATEMENTS: Final = 400
_BLOCK_BYTES: Final = 4096


class SimFiles:
    """`Files` on a SimDisk, until its process ends."""

    def __init__(self, disk: SimDisk, tree: Tree) -> None:
        self._disk = disk
        self.tree = tree
        self._folder_for_sqlite = known_to_sqlite(self)

    def detach(self, husk: SimDisk) -> None:
        """Go on without effect: the tree belongs to nobody else from now on, and nothing happens to `husk`."""
        self._disk = husk

    # The seam of the stores

    def exists(self, path: Path) -> bool:
        name = str(path)
        return self.tree.is_folder(name) or self.tree.find(name) is not None

    def size(self, path: Path) -> int:
        return len(self.tree.get(str(path)).data)

    def read(self, path: Path, limit: int, start: int = 0) -> bytes:
        name = str(path)
        self._disk.before_read(name)
        data = self.tree.get(name).data[start : start + limit]
        self._disk.took(len(data))
        return bytes(data)

    def listed(self, folder: Path) -> list[tuple[str, int]]:
        return [(name, len(file.data)) for name, file in self.tree.listed(str(folder)).items()]

    def allocated(self, path: Path) -> int:
        file = self.tree.find(str(path))
        return 0 if file is None else _in_blocks(len(file.data))

    def allocated_in(self, folder: Path) -> int:
        return sum(_in_blocks(len(file.data)) for file in self.tree.listed(str(folder)).values())

    def make_folders(self, root: Path, names: Sequence[str]) -> None:
        if self.tree.make_folders(str(root), names):
            self._step_to_sync(str(root))
            if not self._disk.ignore_sync:
                self.tree.sync_made()

    def write_synced(self, files: Sequence[tuple[Path, bytes]]) -> None:
        written = [self._written(str(path), data) for path, data in files]
        for (path, _), file in zip(files, written, strict=True):
            self.sync(str(path), file)

    def rename(self, old: Path, new: Path) -> None:
        self._disk.before_step("write", str(new))
        self.tree.rename(str(old), str(new))

    def copy_synced(self, old: Path, new: Path) -> None:
        self.write_synced([(new, self.read(old, self.size(old)))])

    def patch_synced(self, path: Path, start: int, data: bytes) -> None:
        file = self.tree.get(str(path))
        self.write(str(path), file, data, start)
        self.sync(str(path), file)

    def uncache(self, path: Path) -> None:
        pass

    def unlink(self, path: Path) -> None:
        self._disk.before_step("write", str(path))
        self.tree.unbind(str(path))

    def sync_folder(self, folder: Path) -> None:
        self.sync_names(str(folder))

    def free_bytes(self, folder: Path) -> int:
        if not self.exists(folder):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        return self._disk.free_bytes

    def database(self, path: Path) -> DatabaseFile:
        return DatabaseFile(
            self._folder_for_sqlite + str(path),
            VFS_NAME,
            one_connection=True,
            cache_pages=CACHE_PAGES,
            autocheckpoint_pages=AUTOCHECKPOINT_PAGES,
            statements=STATEMENTS,
        )

    # The same by file, also for SQLite

    def remove(self, path: str) -> None:
        """Remove a file that is there. Raises FileNotFoundError."""
        self._disk.before_step("write", path)
        self.tree.get(path)
        self.tree.unbind(path)

    def write(self, path: str, file: SimFile, data: bytes, offset: int) -> None:
        """Put `data` into `file` at `offset`. Raises OSError with nothing written."""
        growth = offset + len(data) - len(file.data)
        self._disk.before_step("write", path, growth)
        file.write(data, offset)
        if growth > 0:
            self.tree.used_bytes += growth

    def resize(self, path: str, file: SimFile, size: int) -> None:
        growth = size - len(file.data)
        self._disk.before_step("write", path, growth)
        file.resize(size)
        self.tree.used_bytes += growth

    def sync(self, path: str, file: SimFile) -> None:
        """The content of `file` is on the disk when this returns."""
        self._step_to_sync(path)
        if not self._disk.ignore_sync:
            self._disk.took(file.sync())

    def sync_names(self, folder: str) -> None:
        """The names in `folder` are on the disk when this returns."""
        self._step_to_sync(folder)
        self._disk.took(0)
        if not self._disk.ignore_sync:
            self.tree.sync_folder(folder)

    def read_page(self, path: str, file: SimFile, size: int, offset: int) -> bytes:
        """Part of a file that a machine would have in memory."""
        self._disk.before_read(path)
        return bytes(file.data[offset : offset + size])

    def _step_to_sync(self, path: str) -> None:
        self._disk.before_step("sync", path)

    def _written(self, path: str, data: bytes) -> SimFile:
        file = self.tree.find(path)
        if file is not None:
            self.resize(path, file, 0)
            self.write(path, file, data, 0)
            return file
        self._disk.before_step("write", path, len(data))
        file = SimFile(data)
        self.tree.bind(path, file)
        return file


def _in_blocks(size: int) -> int:
    return -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
