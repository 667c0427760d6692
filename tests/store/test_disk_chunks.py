"""The chunk store on a disk: the suite, then files, recovery, and disks that fill up."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Final

import pytest
import trio

from inos.core.errors import BadInput, Busy, Corrupt, NotFound, StorageFull
from inos.core.ids import Address
from inos.crypto.hashing import address_of
from inos.store import filesystem
from inos.store.chunk_files import ChunkFiles
from inos.store.chunk_index import VERIFIED_S
from inos.store.chunk_recovery import SweepResult
from inos.store.chunks import StoreUsage
from inos.store.database import Database
from inos.store.disk_chunks import DiskChunkStore
from inos.testing.chunks import LARGE, SMALL, ChunkHarness, ChunkStoreSuite, Clock, chunk

KEY: Final = bytes(range(32))


class Disk:
    def __init__(self, root: Path, capacity_bytes: int | None = None) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.clock = Clock()
        self.database = Database(root / "inos.db", KEY, self.clock)
        # Files take up whole blocks.
        quota_bytes = None if capacity_bytes is None else capacity_bytes + 3 * 4095
        self.store = DiskChunkStore(root, self.database, self.clock, quota_bytes=quota_bytes)

    def damage(self, address: Address, data: bytes) -> None:
        if self.file(address).exists():
            self.file(address).write_bytes(data)
        else:
            sql = "UPDATE inline_chunks SET data = ? WHERE address = ?"
            self.database.write(lambda cursor: list(cursor.execute(sql, (data, address))))

    def file(self, address: Address) -> Path:
        return self.root / "blobs" / address.hex()[:2] / f"{address.hex()}.enc"

    def reopened(self) -> Disk:
        self.close()
        return Disk(self.root)

    def close(self) -> None:
        self.database.close()


class TestDiskChunkStore(ChunkStoreSuite):
    def harness(self, root: Path, capacity_bytes: int | None = None) -> ChunkHarness:
        return Disk(root, capacity_bytes)


@pytest.fixture
def disk(tmp_path: Path) -> object:
    made = Disk(tmp_path / "home")
    yield made
    made.close()


def test_small_ones_are_inline_and_large_ones_files(disk: Disk) -> None:
    small, large = chunk(1, 65_536), chunk(2, 65_537)
    disk.store.put_many([small, large])
    assert not disk.file(small[0]).exists()
    assert disk.file(large[0]).read_bytes() == large[1]
    assert (disk.file(large[0]).stat().st_mode & 0o777) == 0o600
    assert list((disk.root / "staging").iterdir()) == []
    again = disk.reopened()
    assert again.store.get(small[0]) == small[1]
    assert again.store.get(large[0]) == large[1]
    assert again.store.usage() == StoreUsage(2, 65_536 + 65_537)
    again.close()


def test_a_present_chunk_is_not_rewritten_but_a_lost_or_cut_file_is(disk: Disk) -> None:
    address, data = chunk(1, LARGE)
    disk.store.put_many([(address, data)])
    before = disk.file(address).stat().st_ino
    disk.store.put_many([(address, data)])
    assert disk.file(address).stat().st_ino == before
    disk.file(address).write_bytes(data[:-1])
    disk.store.put_many([(address, data)])
    assert disk.store.get(address) == data
    disk.file(address).unlink()
    disk.store.put_many([(address, data)])
    assert disk.store.get(address) == data
    assert disk.store.usage() == StoreUsage(1, LARGE)


def test_every_cut_and_every_flipped_bit_of_a_file_is_noticed(disk: Disk) -> None:
    address, data = chunk(7, LARGE)
    positions = [*range(64), *range(64, LARGE - 64, 4999), *range(LARGE - 64, LARGE)]
    for position in positions:
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        for broken in (data[:position], bytes(flipped)):
            disk.store.put_many([(address, data)])
            disk.file(address).write_bytes(broken)
            with pytest.raises(Corrupt):
                disk.store.get(address)
            assert disk.store.present([address]) == frozenset()


def test_a_missing_or_unreadable_file_is_corrupt_not_absent(disk: Disk) -> None:
    for harm in (Path.unlink, lambda file: file.unlink() or file.mkdir()):
        address, data = chunk(1, LARGE)
        disk.store.put_many([(address, data)])
        harm(disk.file(address))
        with pytest.raises(Corrupt) as caught:
            disk.store.get(address)
        assert caught.value.hint
        with pytest.raises(NotFound):
            disk.store.get(address)


def test_staging_is_emptied_at_start_and_nothing_else_is(disk: Disk) -> None:
    address, data = chunk(1, LARGE)
    disk.store.put_many([(address, data)])
    (disk.root / "staging" / address.hex()).write_bytes(data[:100])
    again = disk.reopened()
    assert list((disk.root / "staging").iterdir()) == []
    assert again.store.get(address) == data
    again.close()


def test_orphans_are_adopted_or_deleted_and_rows_without_files_dropped(disk: Disk) -> None:
    adopted, lost, cut, fine = (chunk(number, LARGE) for number in range(4))
    disk.store.put_many([lost, cut, fine])
    disk.file(adopted[0]).write_bytes(adopted[1])
    garbage = disk.file(chunk(5)[0])
    garbage.write_bytes(b"not that chunk")
    stranger = garbage.with_name("notes.txt")
    stranger.write_text("not ours")
    disk.file(lost[0]).unlink()
    disk.file(cut[0]).write_bytes(cut[1][:5])
    assert disk.store.rebuild_index() == SweepResult(adopted=1, deleted=1, dropped=2)
    assert sorted(disk.store.addresses()) == sorted([adopted[0], fine[0]])
    assert not garbage.exists()
    assert stranger.exists()
    assert disk.store.get(adopted[0]) == adopted[1]
    # What was dropped for its size is now a file without a row, and goes with the next sweep.
    assert disk.store.rebuild_index() == SweepResult(adopted=0, deleted=1, dropped=0)
    assert disk.store.rebuild_index() == SweepResult(0, 0, 0)
    with pytest.raises(BadInput):
        disk.store.sweep_orphans(256)


def test_a_chunk_the_disk_gives_back_after_all_is_adopted(disk: Disk) -> None:
    address, data = chunk(1, LARGE)
    disk.store.put_many([(address, data)])
    disk.file(address).rename(disk.root / "elsewhere")
    with pytest.raises(Corrupt):
        disk.store.get(address)
    (disk.root / "elsewhere").rename(disk.file(address))
    assert disk.store.sweep_orphans(address[0]).adopted == 1
    assert disk.store.get(address) == data


def test_the_index_is_rebuilt_from_files_alone(disk: Disk) -> None:
    batch = [chunk(number, LARGE) for number in range(20)]
    disk.store.put_many(batch)
    disk.close()
    (disk.root / "inos.db").unlink()
    again = Disk(disk.root)
    assert again.store.usage() == StoreUsage(0, 0)
    assert again.store.rebuild_index() == SweepResult(20, 0, 0)
    assert all(again.store.get(address) == data for address, data in batch)
    assert again.store.usage() == StoreUsage(20, 20 * LARGE)
    again.close()


def test_scrub_notes_what_it_verified(disk: Disk) -> None:
    def noted() -> list[tuple[int]]:
        return disk.database.read(lambda cursor: list(cursor.execute("SELECT DISTINCT verified_at FROM chunks")))

    disk.store.put_many([chunk(1), chunk(2, LARGE)])
    put_at = int(disk.clock.wall_s)
    disk.clock.wall_s += VERIFIED_S / 2
    disk.store.scrub(None, 10)
    assert noted() == [(put_at,)]
    disk.clock.wall_s += VERIFIED_S
    disk.store.scrub(None, 10)
    assert noted() == [(int(disk.clock.wall_s),)]
    disk.clock.wall_s -= 2 * VERIFIED_S  # a clock that was wrong then
    disk.store.scrub(None, 10)
    assert noted() == [(int(disk.clock.wall_s),)]


def test_a_reserve_is_left_on_the_disk(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    free = os.statvfs(tmp_path)
    greedy = DiskChunkStore(tmp_path, disk.database, disk.clock, reserve_bytes=free.f_blocks * free.f_frsize)
    with pytest.raises(StorageFull) as caught:
        greedy.put_many([chunk(1, SMALL)])
    assert "reserve" in caught.value.message
    disk.store.put_many([chunk(1, SMALL)])
    greedy.put_many([chunk(1, SMALL)])  # present already: needs no room
    disk.close()


def test_too_many_open_files_does_not_condemn_a_chunk(disk: Disk) -> None:
    address, data = chunk(1, LARGE)
    disk.store.put_many([(address, data)])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open("/dev/null", os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 32, limits[1]))
    try:
        while True:
            try:
                taken.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        with pytest.raises(Busy):
            disk.store.get(address)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert disk.store.get(address) == data


def test_the_order_of_writing(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Synced, then in place, then the folder synced, then indexed: what a power cut may separate."""
    steps: list[str] = []

    def watch(owner: object, name: str, step: str) -> None:
        real = getattr(owner, name)

        def watched(*args: object) -> object:
            steps.append(step)
            return real(*args)

        monkeypatch.setattr(owner, name, watched)

    watch(filesystem, "write_all", "write")
    watch(filesystem, "sync_data", "sync")
    watch(Path, "replace", "rename")
    watch(filesystem, "sync_folder", "sync folder")
    watch(disk.database, "write", "index")
    one, other = chunk(1, LARGE), chunk(2, LARGE)
    disk.store.put_many([one, other])
    folders = len({one[0][0], other[0][0]})
    assert steps == ["write"] * 2 + ["sync"] * 2 + ["rename"] * 2 + ["sync folder"] * folders + ["index"]
    del steps[:]
    watch(ChunkFiles, "remove", "unlink")
    disk.store.remove_many([one[0]])
    assert steps == ["index", "unlink"]


@pytest.mark.parametrize("call", ["sync_data", "sync_folder", "write_all"])
def test_a_disk_that_fails_acknowledges_nothing(disk: Disk, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    address, data = chunk(1, LARGE)
    with monkeypatch.context() as failing:
        failing.setattr(filesystem, call, fail)
        with pytest.raises(Corrupt) as caught:
            disk.store.put_many([(address, data)])
    assert "check the disk" in caught.value.hint
    assert disk.store.present([address]) == frozenset()
    assert list((disk.root / "staging").iterdir()) == []
    disk.store.put_many([(address, data)])
    assert disk.store.get(address) == data


def test_sweeps_and_collections_beside_writers_lose_nothing(disk: Disk) -> None:
    batch = [chunk(number, LARGE) for number in range(6)]
    prefixes = {address[0] for address, _ in batch}

    def write() -> None:
        for _ in range(15):
            disk.store.put_many(batch)
            assert disk.store.touch([batch[0][0]]) <= {batch[0][0]}
            disk.store.remove_many([address for address, _ in batch[3:]])
        disk.store.put_many(batch)

    def sweep() -> None:
        for _ in range(15):
            for prefix in prefixes:
                assert disk.store.sweep_orphans(prefix).deleted == 0

    def collect() -> None:
        for _ in range(15):
            mark = disk.store.begin_mark()
            mark.add([address for address, _ in batch])
            assert mark.sweep(disk.clock.wall_s + 10) == StoreUsage(0, 0)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for work in (write, write, sweep, collect):
                nursery.start_soon(disk.clock.in_thread, work)

    trio.run(main)
    disk.store.put_many(batch)
    assert all(disk.store.get(address) == data for address, data in batch)
    assert disk.store.rebuild_index() == SweepResult(0, 0, 0)
    assert disk.store.usage() == StoreUsage(6, 6 * LARGE)


def test_nothing_readable_in_the_data_root(disk: Disk) -> None:
    """Neither an inline chunk nor the address of any chunk shows anywhere but in the chunk's own file."""
    inline = b"sealed bytes that are kept in the database"
    address, data = chunk(1, LARGE)
    disk.store.put_many([(address, data), (address_of(inline), inline)])
    secrets = (inline, bytes(address), bytes(address_of(inline)), address.hex().encode())
    files = [file for file in disk.root.rglob("*") if file.is_file() and file != disk.file(address)]
    assert {file.name for file in files} >= {"inos.db", "inos.db-wal"}
    for file in files:
        content = file.read_bytes()
        assert not any(secret in content for secret in secrets)


def test_small_chunks_move_into_files_and_stay_readable(disk: Disk) -> None:
    small = [chunk(n, 5_000 + n) for n in range(10)]
    disk.store.put_many(small)
    assert disk.store.demote(4) == StoreUsage(4, sum(5_000 + n for n in range(4)))
    assert sum(disk.file(address).exists() for address, _ in small) == 4
    assert all(disk.store.get(address) == data for address, data in small)
    assert disk.store.demote(100).chunks == 6 and disk.store.demote(100) == StoreUsage(0, 0)
    again = disk.reopened()
    assert all(again.store.get(address) == data for address, data in small)
    assert again.store.rebuild_index() == SweepResult(0, 0, 0)
    again.store.small_as_files = True
    late = chunk(99, 10)
    again.store.put_many([late])
    assert again.file(late[0]).exists() and again.store.get(late[0]) == late[1]
    again.close()


def test_a_move_into_files_that_was_cut_off_leaves_no_file(disk: Disk) -> None:
    small = chunk(1, 5_000)
    disk.store.put_many([small])
    disk.file(small[0]).write_bytes(small[1])
    assert disk.store.rebuild_index() == SweepResult(adopted=0, deleted=1, dropped=0)
    assert disk.store.get(small[0]) == small[1] and not disk.file(small[0]).exists()


def test_space_is_what_files_take_up_on_the_disk(disk: Disk) -> None:
    def on_disk() -> int:
        return sum(file.stat().st_blocks * 512 for file in (disk.root / "blobs").rglob("*.enc"))

    first = [chunk(n, 70_000 + n) for n in range(5)]
    disk.store.put_many(first)
    assert disk.store.cold_bytes() == disk.store.usage().bytes  # not measured yet
    disk.store.measure()
    assert disk.store.cold_bytes() == on_disk() > disk.store.usage().bytes
    disk.store.put_many([chunk(50, 90_000), chunk(51, 900)])
    assert disk.store.cold_bytes() == on_disk()
    disk.store.remove_many([address for address, _ in first[:3]])
    assert disk.store.cold_bytes() == on_disk()
