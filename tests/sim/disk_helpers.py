"""Short names for what tests do to a simulated disk."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from inos.node.disk import Disk, open_disk
from inos.sim.disk import SimDisk
from inos.testing.chunks import Clock

KEY: Final = bytes(range(32))
QUOTA_BYTES: Final = 10**9


def new_disk(seed: int = 1, capacity_bytes: int = QUOTA_BYTES) -> SimDisk:
    return SimDisk(random.Random(seed), capacity_bytes=capacity_bytes)


@contextmanager
def running(disk: SimDisk) -> Iterator[Disk]:
    with open_disk(disk.root, KEY, QUOTA_BYTES, Clock(), files=disk.files) as opened:
        yield opened


def content(disk: SimDisk, name: str) -> bytes:
    return disk.files.read(disk.root / name, 1 << 30)


def put(disk: SimDisk, name: str, data: bytes = b"x") -> None:
    disk.files.write_synced([(disk.root / name, data)])


def move(disk: SimDisk, old: str, new: str) -> None:
    disk.files.rename(disk.root / old, disk.root / new)


def sync(disk: SimDisk, *folders: str) -> None:
    for folder in folders:
        disk.files.sync_folder(disk.root / folder)
