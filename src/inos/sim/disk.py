"""A disk in memory that outlives the node on it, loses power, rots, fills up, slows down and fails to order.

    disk = SimDisk(random.Random(1), capacity_bytes=10**9)
    with open_disk(disk.root, key, quota_bytes, env, files=disk.files) as opened:
        ...
        disk.crash()  # what was not synced is there, is not, or is torn

Rules
- All chance is drawn from the given generator; the same calls in the same order leave the same disk. (The cipher of
  the database draws its nonces from the operating system; nothing but the cipher reads them.)
- What was synced stays through `crash`, the rest page by page as `disk_file.py` and `disk_tree.py` say. `kill` is the
  end of a process only: the machine goes on and nothing is lost.
- After either, `files` is a new machine's view of the disk. Whoever still holds the old one is a dead process: it goes
  on with a copy of its own and changes nothing, so that it may be wound up whenever it suits.
- Nothing here sleeps: what a slow disk would have taken is added up until the simulator asks (`take_busy_s`).
"""

from __future__ import annotations

import errno
import math
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from inos.sim.disk_files import SimFiles
from inos.sim.disk_tree import Tree

ROOT: Final = "/disk"
Operation = Literal["read", "write", "sync"]


@dataclass(slots=True)
class _Failing:
    """The next `times` operations on paths that contain `where` fail."""

    operation: Operation
    where: str
    times: int


class SimDisk:
    """One disk. `files` is what the stores of the machine that runs now work on."""

    def __init__(self, chance: random.Random, *, capacity_bytes: int) -> None:
        """An empty disk with one folder, `root`."""
        self.root: Final = Path(ROOT)
        self.capacity_bytes = capacity_bytes
        self.ignore_sync = False
        """A disk that lies: it says synced and is not. For showing that the tests would notice."""
        self.steps = 0
        """Operations so far that changed something: writes, syncs, renames, unlinks."""
        self._chance = chance
        self._tree = Tree(ROOT)
        self._files = SimFiles(self, self._tree)
        self._ballast_bytes = 0
        self._cut_at = 0
        self._failing: list[_Failing] = []
        self._seconds_per_operation = 0.0
        self._bytes_per_s = math.inf
        self._busy_s = 0.0

    @property
    def files(self) -> SimFiles:
        """The disk as the machine that runs now sees it; another one after each `crash` and `kill`."""
        return self._files

    # Its end and its beginning

    def kill(self) -> None:
        """The process on it ends at this instant. What it wrote is all there: the machine kept it in memory."""
        self._go_on_with(self._tree.copy())

    def crash(self) -> None:
        """Power goes at this instant, and comes back: only what was synced is certain to be there."""
        self._go_on_with(self._tree.copy().after_power_loss(self._chance))

    def _go_on_with(self, tree: Tree) -> None:
        self._files.detach(SimDisk(self._chance, capacity_bytes=self.capacity_bytes))
        self._tree = tree
        self._files = SimFiles(self, tree)
        self._cut_at = 0

    def cut_power_at(self, steps: int) -> None:
        """Have power go, as by `crash`, right before the operation that `steps` will count as this number. Whoever runs
        it notices nothing, being dead; that `files` is another one then says that it happened."""
        self._cut_at = steps

    # Faults

    def rot(self, path: str | None = None, bits: int = 1) -> str | None:
        """Flip `bits` bits of one file, of a chunk file chosen by chance where no path is given. Its path, or None
        where there is nothing to rot."""
        if path is None:
            chunks = [each for each in self._tree.paths() if each.endswith(".enc") and self._tree.get(each).data]
            path = self._chance.choice(chunks) if chunks else None
        if path is None:
            return None
        file = self._tree.get(path)
        for position in self._chance.sample(range(len(file.data) * 8), bits):
            file.flip(position // 8, position % 8)
        return path

    def fill(self, free_bytes: int | None) -> None:
        """Somebody else's files take all but `free_bytes` from now on; None: they are gone."""
        room = max(0, self.capacity_bytes - self._tree.used_bytes)
        self._ballast_bytes = 0 if free_bytes is None else max(0, room - free_bytes)

    def slow(self, seconds_per_operation: float = 0.0, bytes_per_s: float = math.inf) -> None:
        """What each sync and each read of a file takes from now on, and each byte synced or read. Pages of the database
        are read for nothing: a machine has them in memory."""
        self._seconds_per_operation = seconds_per_operation
        self._bytes_per_s = bytes_per_s

    def take_busy_s(self) -> float:
        """The seconds that operations took since this was last asked."""
        taken, self._busy_s = self._busy_s, 0.0
        return taken

    def fail(self, operation: Operation, *, times: int = 1, where: str = "") -> None:
        """The next `times` operations on paths that contain `where` raise EIO and do nothing. 0: no more."""
        self._failing = [each for each in self._failing if (each.operation, each.where) != (operation, where)]
        if times:
            self._failing.append(_Failing(operation, where, times))

    # What is so

    @property
    def used_bytes(self) -> int:
        """Bytes of all files."""
        return self._tree.used_bytes

    @property
    def free_bytes(self) -> int:
        return max(0, self.capacity_bytes - self._tree.used_bytes - self._ballast_bytes)

    def peek(self, path: str) -> bytes | None:
        """What a file holds now, read by nobody: no fault strikes and no time passes. None where there is none."""
        file = self._tree.find(path)
        return None if file is None else bytes(file.data)

    def paths(self) -> list[str]:
        """The path of every file, in order."""
        return list(self._tree.paths())

    # What happens on it, told by `SimFiles`

    def before_step(self, operation: Operation, path: str, growth: int = 0) -> None:
        """Something is about to change by `growth` bytes. Raises OSError where a fault says so."""
        self.steps += 1
        if self.steps == self._cut_at:
            self.crash()
            return
        if self._failing:
            self._fail_if_told(operation, path)
        if growth > 0 and growth > self.free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def before_read(self, path: str) -> None:
        """Something is about to be read. Raises OSError where a fault says so."""
        if self._failing:
            self._fail_if_told("read", path)

    def took(self, size: int) -> None:
        """An operation that has to wait for the disk moved `size` bytes."""
        self._busy_s += self._seconds_per_operation + size / self._bytes_per_s

    def _fail_if_told(self, operation: Operation, path: str) -> None:
        for each in self._failing:
            if each.operation == operation and each.where in path:
                each.times -= 1
                if not each.times:
                    self._failing.remove(each)
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
