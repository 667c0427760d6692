"""Writing files so that they stay: the few calls durability is made of."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

LOST: Final = ".lost-"
_COPY_BYTES: Final = 1 << 30
_BLOCK_BYTES: Final = 1 << 20


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`; OSError when the disk takes less."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def copy_all(source: int, target: int) -> None:
    """Copy what is left of one file into another, in the kernel where it can: file systems that share blocks between
    copies then take neither time nor room."""
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):  # other file systems, older kernels; what was copied by then is behind both positions
            while os.copy_file_range(source, target, _COPY_BYTES):
                pass
    while block := os.read(source, _BLOCK_BYTES):
        write_all(target, block)


def sync_data(descriptor: int) -> None:
    """The bytes and size of the file are on the disk when this returns."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on the disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_name(path: Path) -> Path:
    """`path`, or where something is there, the first name beside it for what was lost or came too late."""
    number, place = 0, path
    while os.path.lexists(place):
        number += 1
        place = path.with_name(f"{path.name}{LOST}{number}")
    return place
