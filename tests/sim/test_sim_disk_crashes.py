"""Power lost at any step of anything: what was acknowledged is there, nothing is half there - and these tests notice a
disk, or a store, that does not sync."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import InosError
from inos.core.ids import Address
from inos.node.disk import Disk, open_disk
from inos.sim.disk import SimDisk
from inos.sim.disk_file import SimFile
from inos.sim.disk_files import SimFiles
from inos.store.chunk_files import ChunkFiles
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


def survive(rounds: Sequence[Round], seed: int, *, ignore_sync: bool = False) -> None:
    machine = Machine(seed, ignore_sync)
    for actions, cut_at in rounds:
        machine.live(actions, cut_at)
        machine.check()


actions = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.frozensets(st.integers(0, CHUNKS - 1), min_size=1, max_size=4)),
    max_size=12,
)


@settings(max_examples=150)
@given(st.lists(st.tuples(actions, st.integers(1, MOST_STEPS)), min_size=1, max_size=3), st.integers(0, 2**32))
def test_what_was_acknowledged_survives_a_power_cut_at_any_step(rounds: list[Round], seed: int) -> None:
    survive(rounds, seed)


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


def test_a_power_cut_at_each_step_of_a_beginning() -> None:
    """From an empty disk: making the database, the folders, the first chunks."""
    story: list[Action] = [("put", frozenset({1, 2, 3})), ("set", frozenset({1})), ("restart", frozenset({1}))]
    for cut_at in range(1, 80):
        survive([([*story, ("put", frozenset({5}))], cut_at), (story, cut_at)], seed=cut_at)


def badly_ended(*, ignore_sync: bool = False, stories: int = 40) -> int:
    """How many of some stories end badly."""
    return sum(ends_badly(seed, ignore_sync) for seed in range(stories))


def ends_badly(seed: int, ignore_sync: bool) -> bool:
    try:
        survive(plain_rounds(seed), seed, ignore_sync=ignore_sync)
    except (AssertionError, InosError):
        return True
    return False


def test_these_stories_end_well_on_an_honest_disk() -> None:
    assert badly_ended() == 0


def test_a_disk_that_ignores_sync_is_noticed() -> None:
    assert badly_ended(ignore_sync=True) > 20


def unsynced_folders(self: SimFiles, folder: object) -> None:
    """A store that forgets that names need a sync too."""


def synced_except_chunks(self: SimFiles, path: str, file: SimFile) -> None:
    if "/staging/" not in path:
        file.sync()


def synced_except_the_log(self: SimFiles, path: str, file: SimFile) -> None:
    if not path.endswith("-wal"):
        file.sync()


def written_in_place(self: ChunkFiles, chunks: Sequence[tuple[Address, bytes]]) -> None:
    files = [(self.path(address), data) for address, data in chunks]
    for place, data in files:
        self._files.write_synced([(place, data)])


@pytest.mark.parametrize(
    ("owner", "name", "mutant"),
    [
        (SimFiles, "sync_folder", unsynced_folders),
        (SimFiles, "sync", synced_except_chunks),
        (SimFiles, "sync", synced_except_the_log),
        (ChunkFiles, "write", written_in_place),
    ],
)
def test_a_store_that_forgets_one_kind_of_sync_is_noticed(
    owner: type, name: str, mutant: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, mutant)
    assert badly_ended() > 0
