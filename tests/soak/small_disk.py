"""Disks that are full on command: a tiny file system where one may be mounted, else a limit on the node's own files."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

# Smaller than a chunk, larger than what a node writes while it idles: the next chunk meets "file too large", which
# the store treats as it treats a full disk.
FILE_LIMIT_BYTES = 200_000


class SmallDisk(Protocol):
    """A folder for a data root whose disk can be filled to the last byte and emptied again."""

    folder: Path

    def fill(self, pid: int) -> None:
        """From now on process `pid` finds no room."""

    def free(self, pid: int) -> None: ...


class Mounted:
    """A file system in memory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, pid: int) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                return

    def free(self, pid: int) -> None:
        self._ballast.unlink()


class Limited:
    """The kernel's limit on how large a file the process may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FILE_LIMIT_BYTES, resource.RLIM_INFINITY))

    def free(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[SmallDisk]:
    """A disk of `size_mb` MB at `folder`; where nothing may be mounted, the limit stands in for it."""
    folder.mkdir()
    options = f"size={size_mb}m,mode=0700,uid={os.getuid()}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "inos-small-disk", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield Limited(folder)
        return
    try:
        yield Mounted(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
