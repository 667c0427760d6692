"""Input for the benchmarks: bytes that do not shrink, and real files.

`stamp` makes a file new to every store that knows equal pieces, at the cost of a few small writes: without it the
second round would measure deduplication.
"""

from __future__ import annotations

import os
import sysconfig
import tarfile
from pathlib import Path
from typing import Final

MB: Final = 10**6
MIB: Final = 1 << 20
_STAMP_EVERY: Final = 64 << 10  # well below the pieces restic and borg cut (about 1 MiB)
_STAMP_BYTES: Final = 16


def incompressible(path: Path, size: int) -> Path:
    """A file of random bytes."""
    with path.open("wb") as out:
        for start in range(0, size, MIB):
            out.write(os.urandom(min(MIB, size - start)))
    return path


def mixed(path: Path, size: int) -> Path:
    """Real files: Python's own library as a tar (sources, compiled files, shared objects), repeated up to `size`."""
    with path.open("w+b") as out:
        with tarfile.open(fileobj=out, mode="w") as archive:
            archive.add(sysconfig.get_path("stdlib"), "lib", filter=_without_packages)
        length = out.tell()
        while out.tell() < size:
            start = out.tell() % length
            out.flush()
            block = os.pread(out.fileno(), MIB, start)
            out.write(block)
        out.truncate(size)
    return path


def _without_packages(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "site-packages" in member.name or "dist-packages" in member.name else member


def stamp(path: Path) -> None:
    """Change a few bytes in every 64 KiB, and see to it that nothing is left to be written to disk."""
    with path.open("r+b", buffering=0) as file:
        for at in range(0, os.fstat(file.fileno()).st_size, _STAMP_EVERY):
            os.pwrite(file.fileno(), os.urandom(_STAMP_BYTES), at)
        os.fsync(file.fileno())


def small_files(folder: Path, count: int, size: int) -> Path:
    """A folder of `count` random files of `size` bytes."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:05}.bin").write_bytes(os.urandom(size))
    return folder
