"""Data roots with very many chunks, made cheaply: small ones, nine of ten in the database and one of ten as a file."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from inos.core.env import RealEnv
from inos.core.ids import Address
from inos.core.options import InitOptions
from inos.crypto.hashing import address_of
from inos.daemon.roots import init_home, opened_root
from inos.node.disk import Disk
from inos.store.dataroot import DataRoot

CHUNK_BYTES: Final = 1000
_BATCH: Final = 1000
_CHECKPOINT_EVERY: Final = 20_000


def chunk(number: int, size: int = CHUNK_BYTES) -> tuple[Address, bytes]:
    """The `number`-th chunk: bytes that do not shrink."""
    data = random.Random(b"chunk %d" % number).randbytes(size)
    return address_of(data), data


@contextmanager
def opened(home: Path) -> Iterator[Disk]:
    """The stores of a data root without passphrase, made where there is none."""
    if not DataRoot(home).initialised():
        init_home(InitOptions(home, None, None, home.name))
    root = DataRoot(home)
    with root.lock(), opened_root(root, None, RealEnv()) as (disk, _):
        yield disk


def fill(disk: Disk, start: int, end: int) -> None:
    """Chunks `start` to `end`; of each thousand a hundred become files."""
    for first in range(start, end, _BATCH):
        numbers = range(first, min(first + _BATCH, end))
        for as_files, some in ((True, numbers[: len(numbers) // 10]), (False, numbers[len(numbers) // 10 :])):
            disk.chunks.small_as_files = as_files
            disk.chunks.put_many([chunk(number) for number in some])
        disk.chunks.small_as_files = False
        if first // _CHECKPOINT_EVERY != (first + _BATCH) // _CHECKPOINT_EVERY:
            disk.database.checkpoint()
