"""What befalls a node's stores on a simulated disk: actions, a power cut somewhere in them, recovery, and again.

As a program, `disk_stories.py SEED`, it tells one story and prints the digest of what was left by it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from inos.core.ids import Address
from inos.crypto.hashing import blake3_digest
from inos.node.disk import Disk, open_disk
from inos.sim.disk import SimDisk
from inos.sim.disk_files import SimFiles
from inos.testing.chunks import LARGE, SMALL, Clock, chunk

KEY: Final = bytes(range(32))
QUOTA_BYTES: Final = 10**9
CHUNKS: Final = 10
ACTIONS: Final = ("put", "put", "remove", "set", "checkpoint", "collect", "sweep", "restart")
# More than a few actions take: then power goes in between, or when all is done.
MOST_STEPS: Final = 250

Action = tuple[str, frozenset[int]]
Round = tuple[Sequence[Action], int]


def pick(number: int) -> tuple[Address, bytes]:
    return chunk(number, LARGE + number if number % 2 else SMALL + number)


class Machine:
    """A node's stores on one disk, and what they acknowledged. `open` is what nobody can know: was it done?"""

    def __init__(self, seed: int, ignore_sync: bool) -> None:
        self.clock = Clock()
        self.disk = SimDisk(random.Random(seed), capacity_bytes=QUOTA_BYTES)
        self.disk.ignore_sync = ignore_sync
        self.chunks: dict[Address, bytes] = {}
        self.settings: dict[str, bytes] = {}
        self.open: set[Address | str] = set()
        self.count = 0

    def live(self, actions: Sequence[Action], cut_at: int) -> None:
        """Run until power goes, `cut_at` steps from now or after the last action."""
        files = self.disk.files
        self.disk.cut_power_at(self.disk.steps + cut_at)
        left = list(actions)
        while left and self.disk.files is files:
            self._run(left, files)
        if self.disk.files is files:
            self.disk.crash()

    def _run(self, left: list[Action], files: SimFiles) -> None:
        """One run of the process: until the next restart, the last action, or the end."""
        with open_disk(self.disk.root, KEY, QUOTA_BYTES, self.clock, files=files) as disk:
            while left and self.disk.files is files:
                action, numbers = left.pop(0)
                if action == "restart":
                    return
                self._take(disk, action, numbers, lambda: self.disk.files is files)

    def _take(self, disk: Disk, action: str, numbers: frozenset[int], powered: Callable[[], bool]) -> None:
        batch = [pick(number) for number in sorted(numbers)]
        addresses = [address for address, _ in batch]
        if action == "put":
            self.open.update(addresses)
            disk.chunks.put_many(batch)
            if powered():
                self.chunks.update(batch)
        elif action == "remove":
            self.open.update(addresses)
            disk.chunks.remove_many(addresses)
            if powered():
                for address in addresses:
                    self.chunks.pop(address, None)
        elif action == "set":
            self._set(disk, {f"key {number}": b"%d" % self.count for number in numbers}, powered)
        elif action == "checkpoint":
            disk.database.checkpoint()
        elif action == "collect":
            mark = disk.chunks.begin_mark()
            mark.add(self.chunks)
            mark.sweep(0)
        else:
            for address in addresses:
                disk.chunks.sweep_orphans(address[0])
        if powered():
            self.open.clear()

    def _set(self, disk: Disk, values: dict[str, bytes], powered: Callable[[], bool]) -> None:
        self.count += 1
        self.open.update(values)
        disk.settings.put(values)
        if powered():
            self.settings.update(values)

    def check(self) -> None:
        """Everything acknowledged is there and everything there is whole; what power left open is settled now."""
        with open_disk(self.disk.root, KEY, QUOTA_BYTES, self.clock, files=self.disk.files) as disk:
            assert disk.database.check() == []
            self._compare(disk)
            # An unlinked file may come back with the power, and is adopted; a row without its file there is not.
            assert disk.chunks.rebuild_index().dropped == 0
            before, self.chunks = self.chunks, {a: disk.chunks.get(a) for a in disk.chunks.addresses()}
            assert all(address in self.open or address in self.chunks for address in before)
            keys = (f"key {number}" for number in range(CHUNKS))
            self.settings = {key: value for key in keys if (value := disk.settings.get(key)) is not None}
        self.open.clear()

    def _compare(self, disk: Disk) -> None:
        found = {address: disk.chunks.get(address) for address in disk.chunks.addresses()}
        for address, data in map(pick, range(CHUNKS)):
            assert found.get(address) in (data, None)
            assert address in self.open or found.get(address) == self.chunks.get(address)
        for key in (f"key {number}" for number in range(CHUNKS)):
            assert key in self.open or disk.settings.get(key) == self.settings.get(key)


def survive(rounds: Sequence[Round], seed: int, *, ignore_sync: bool = False) -> Machine:
    """Live through `rounds`. AssertionError, Corrupt: something acknowledged is gone, or something is half there."""
    machine = Machine(seed, ignore_sync)
    for actions, cut_at in rounds:
        machine.live(actions, cut_at)
        machine.check()
    return machine


def plain_rounds(seed: int) -> list[Round]:
    """Some rounds without a search behind them."""
    chance = random.Random(seed)
    return [
        (
            [(chance.choice(ACTIONS), frozenset(chance.sample(range(CHUNKS), 3))) for _ in range(10)],
            chance.randrange(1, MOST_STEPS),
        )
        for _ in range(3)
    ]


def left_by(seed: int) -> str:
    """All that a story left, but the sealed pages of the database, as a digest. Their sizes count."""
    machine = survive(plain_rounds(seed), seed)
    disk = machine.disk
    files = [(path, disk.files.size(Path(path))) for path in disk.paths()]
    said = (disk.steps, files, sorted(machine.chunks.items()), sorted(machine.settings.items()))
    return blake3_digest(repr(said).encode()).hex()


if __name__ == "__main__":
    print(left_by(int(sys.argv[1])))
