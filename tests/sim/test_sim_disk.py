"""The simulated disk itself: what a power cut leaves of files and names, and each fault that can be ordered."""

from __future__ import annotations

import errno
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import Corrupt, NotFound, StorageFull
from inos.node.disk import Disk, open_disk
from inos.sim.disk import SimDisk
from inos.sim.disk_file import PAGE_BYTES, SECTOR_BYTES, SimFile
from inos.testing.chunks import LARGE, Clock, chunk

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


# Contents

offsets = st.integers(0, 5 * PAGE_BYTES)
steps = st.one_of(
    st.tuples(st.just("write"), offsets, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("fill"), offsets, st.integers(1, 255)),
    st.tuples(st.just("resize"), offsets, st.none()),
    st.tuples(st.just("sync"), st.none(), st.none()),
)


def take(file: SimFile, model: bytearray, step: tuple[str, int, bytes | int]) -> None:
    """The same on a file and on its model."""
    kind, offset, what = step
    if kind == "resize":
        file.resize(offset)
        model[offset:] = bytes(max(0, offset - len(model)))
        return
    data = what if isinstance(what, bytes) else bytes([what]) * PAGE_BYTES
    file.write(data, offset)
    model.extend(bytes(max(0, offset - len(model))))
    model[offset : offset + len(data)] = data


@given(st.lists(steps, max_size=12), st.integers(0, 1000))
def test_each_sector_is_as_it_was_synced_or_as_it_was_written(taken: list[tuple[str, int, bytes]], seed: int) -> None:
    file, now, synced = SimFile(), bytearray(), b""
    for step in taken:
        if step[0] == "sync":
            file.sync()
            synced = bytes(now)
        else:
            take(file, now, step)
    assert file.data == now
    left = file.copy().after_power_loss(random.Random(seed)).data
    assert min(len(synced), len(now)) <= len(left) <= max(len(synced), len(now))
    size = len(left)
    candidates = [bytes(each[:size]) + bytes(max(0, size - len(each))) for each in (synced, now)]
    for start in range(0, size, SECTOR_BYTES):
        end = min(start + SECTOR_BYTES, size)
        assert any(bytes(left[start:end]) == each[start:end] for each in candidates)
    file.sync()
    assert file.after_power_loss(random.Random(seed)).data == now


def test_a_page_is_lost_kept_or_torn() -> None:
    fates = set()
    for seed in range(40):
        file = SimFile(bytes(PAGE_BYTES))
        file.sync()
        file.write(b"\1" * PAGE_BYTES, 0)
        left = file.after_power_loss(random.Random(seed)).data
        fates.add({0: "lost", PAGE_BYTES: "kept"}.get(sum(left), "torn"))
    assert fates == {"lost", "kept", "torn"}


def test_an_unsynced_tail_is_cut_at_any_page() -> None:
    sizes = {len(SimFile(bytes(3 * PAGE_BYTES + 5)).after_power_loss(random.Random(seed)).data) for seed in range(60)}
    assert sizes == {0, PAGE_BYTES, 2 * PAGE_BYTES, 3 * PAGE_BYTES, 3 * PAGE_BYTES + 5}


def test_what_was_once_lost_does_not_come_back() -> None:
    """The content that a power cut left counts as synced."""
    file = SimFile(b"a" * 9 * PAGE_BYTES).after_power_loss(random.Random(5))
    assert file.after_power_loss(random.Random(6)) is file


# Names


def after_cuts(prepare: Callable[[SimDisk], None], *synced: str) -> set[tuple[str, ...]]:
    """The sets of names, without the root, that power cuts leave after `prepare` and syncing some folders."""
    found = set()
    for seed in range(40):
        disk = new_disk(seed)
        disk.files.make_folders(disk.root, ["a", "b"])
        prepare(disk)
        sync(disk, *synced)
        disk.crash()
        found.add(tuple(path.removeprefix(f"{disk.root}/") for path in disk.paths()))
    return found


def put(disk: SimDisk, name: str, data: bytes = b"x") -> None:
    disk.files.write_synced([(disk.root / name, data)])


def move(disk: SimDisk, old: str, new: str) -> None:
    disk.files.rename(disk.root / old, disk.root / new)


def sync(disk: SimDisk, *folders: str) -> None:
    for folder in folders:
        disk.files.sync_folder(disk.root / folder)


def test_a_new_name_needs_its_folder_synced() -> None:
    def make(disk: SimDisk) -> None:
        put(disk, "a/1")

    assert after_cuts(make) == {(), ("a/1",)}
    assert after_cuts(make, "a") == {("a/1",)}
    assert after_cuts(make, "b") == {(), ("a/1",)}


def test_an_unlinked_name_may_come_back() -> None:
    def unlink(disk: SimDisk) -> None:
        put(disk, "a/1")
        sync(disk, "a")
        disk.files.unlink(disk.root / "a/1")

    assert after_cuts(unlink) == {(), ("a/1",)}
    assert after_cuts(unlink, "a") == {()}


def test_a_rename_of_a_synced_name_has_happened_or_not() -> None:
    def rename(disk: SimDisk) -> None:
        put(disk, "a/1")
        sync(disk, "a")
        move(disk, "a/1", "b/1")

    assert after_cuts(rename) == {("a/1",), ("b/1",)}
    assert after_cuts(rename, "a") == after_cuts(rename, "b") == {("b/1",)}


def test_a_rename_of_a_name_never_synced_may_leave_either_or_none() -> None:
    def rename(disk: SimDisk) -> None:
        put(disk, "a/1")
        move(disk, "a/1", "b/1")

    assert after_cuts(rename) == {("a/1",), ("b/1",), ()}


def test_a_rename_over_another_file_leaves_one_of_them_whole() -> None:
    for seed in range(20):
        disk = new_disk(seed)
        put(disk, "1", b"old")
        sync(disk, ".")
        put(disk, "2", b"new")
        move(disk, "2", "1")
        disk.crash()
        assert content(disk, "1") in (b"old", b"new")


def test_a_file_written_anew_in_place_is_at_risk_until_synced() -> None:
    disk = new_disk()
    put(disk, "1", b"old" * 4000)
    put(disk, "1", b"new")
    sync(disk, "")
    disk.crash()
    assert content(disk, "1") == b"new"


def test_folders_and_files_that_are_not_there_are_said() -> None:
    disk = new_disk()
    for use in (
        lambda: disk.files.read(disk.root / "no", 1),
        lambda: disk.files.size(disk.root / "no"),
        lambda: disk.files.listed(disk.root / "no"),
        lambda: disk.files.sync_folder(disk.root / "no"),
        lambda: disk.files.free_bytes(disk.root / "no"),
        lambda: put(disk, "no/1"),
        lambda: move(disk, "no", "yes"),
    ):
        with pytest.raises(FileNotFoundError):
            use()
    disk.files.unlink(disk.root / "no")
    assert disk.paths() == []


# Processes and machines


def test_a_killed_process_loses_nothing_and_changes_nothing_any_more() -> None:
    disk = new_disk()
    with running(disk) as dead:
        dead.settings.put({"a": b"1"})
        disk.kill()
        dead.settings.put({"a": b"2", "b": b"3"})
        dead.chunks.put_many([chunk(1, LARGE)])
        before = disk.steps
    assert disk.steps == before
    with running(disk) as after:
        assert (after.settings.get("a"), after.settings.get("b")) == (b"1", None)
        assert after.chunks.usage().chunks == 0


def test_a_killed_process_leaves_what_the_machine_has_not_synced() -> None:
    disk = new_disk()
    file = SimFile(b"x" * PAGE_BYTES)
    disk.files.tree.bind(str(disk.root / "1"), file)
    disk.kill()
    assert content(disk, "1") == b"x" * PAGE_BYTES
    left = set()
    for _ in range(30):
        disk.files.write(str(disk.root / "1"), disk.files.tree.get(str(disk.root / "1")), b"y" * PAGE_BYTES, 0)
        disk.kill()
        disk.crash()
        left.add(content(disk, "1") if disk.paths() else b"")
        put(disk, "1")
        sync(disk, "")
    assert len(left) > 2


# Faults


def test_a_rotten_chunk_is_noticed_and_healed() -> None:
    disk = new_disk()
    batch = [chunk(number, LARGE) for number in range(4)]
    with running(disk) as node:
        assert disk.rot() is None
        node.chunks.put_many(batch)
        rotten = disk.rot(bits=3)
        assert rotten is not None
        (hurt,) = node.chunks.scrub(None, 10).corrupt
        assert Path(rotten).stem == hurt.hex()
        node.chunks.put_many(batch)
        assert all(node.chunks.get(address) == data for address, data in batch)


def test_a_rotten_database_is_noticed() -> None:
    noticed = 0
    for seed in range(20):
        disk = new_disk(seed)
        with running(disk) as node:
            node.settings.put({f"key {number}": bytes(500) for number in range(100)})
        assert disk.rot(f"{disk.root}/inos.db") is not None
        try:
            with running(disk) as node:
                noticed += bool(node.database.check())
        except Corrupt:
            noticed += 1
    assert noticed == 20


def test_rot_stays_through_a_power_cut() -> None:
    disk = new_disk()
    put(disk, "1", bytes(2 * PAGE_BYTES))
    sync(disk, "")
    file = disk.files.tree.get(str(disk.root / "1"))
    disk.files.write(str(disk.root / "1"), file, b"\xff" * 3, 10)
    file.flip(100, 0)
    disk.crash()
    assert content(disk, "1")[100] == 1


def test_a_full_disk_leaves_nothing_half() -> None:
    disk = new_disk()
    kept = [chunk(number, LARGE) for number in range(3)]
    with running(disk) as node:
        node.chunks.put_many(kept)
        disk.fill(64 << 20)
        assert node.free_bytes() == disk.free_bytes == 64 << 20
        with pytest.raises(StorageFull, match="reserve"):
            node.chunks.put_many([chunk(9, LARGE)])
        disk.fill(1000)
        before = disk.paths()
        with pytest.raises(StorageFull):
            node.settings.put({"a": bytes(100_000)})
        with pytest.raises(OSError) as caught:
            node.files.write_synced(
                [(node.root / "staging" / "1", bytes(600)), (node.root / "staging" / "2", bytes(600))]
            )
        assert caught.value.errno == errno.ENOSPC
        node.files.unlink(node.root / "staging" / "1")
        assert disk.paths() == before
        assert node.settings.get("a") is None
        assert node.database.check() == []
        disk.fill(None)
        node.settings.put({"a": b"1"})
        node.chunks.put_many([chunk(9, LARGE)])
        assert node.chunks.usage().chunks == 4
        assert node.chunks.rebuild_index().deleted == 0
    with running(disk) as node:
        assert all(node.chunks.get(address) == data for address, data in kept)


def test_no_room_for_half_a_batch_is_no_room_for_all_of_it() -> None:
    """Without the store's own reserve the disk says it in the middle of writing."""
    disk = new_disk()
    with running(disk) as node:
        node.chunks._reserve_bytes = 0
        batch = [chunk(number, LARGE) for number in range(4)]
        disk.fill(3 * LARGE)
        before = disk.paths()
        with pytest.raises(StorageFull):
            node.chunks.put_many(batch)
        assert disk.paths() == before
        assert node.chunks.present([address for address, _ in batch]) == frozenset()


def test_what_a_node_offers_is_what_its_disk_has() -> None:
    disk = new_disk(capacity_bytes=7 * 10**9)
    with open_disk(disk.root, KEY, 5 * 10**9, Clock(), files=disk.files) as node:
        assert node.storage_bytes() == 5 * 10**9
        disk.fill(3 * 10**9 + 5)
        assert node.storage_bytes() == 3 * 10**9
        assert node.free_bytes() == 3 * 10**9 + 5


def test_a_disk_of_its_size_fills_up_and_frees() -> None:
    disk = new_disk(capacity_bytes=1000)
    put(disk, "1", bytes(900))
    with pytest.raises(OSError, match="No space"):
        put(disk, "2", bytes(200))
    put(disk, "1", bytes(100))
    put(disk, "2", bytes(800))
    assert disk.free_bytes == 100
    disk.files.unlink(disk.root / "2")
    move(disk, "1", "3")
    assert (disk.used_bytes, disk.free_bytes) == (100, 900)


def test_a_slow_disk_is_busy_for_what_it_syncs_and_reads() -> None:
    disk = new_disk()
    with running(disk) as node:
        address, data = chunk(1, LARGE)
        node.chunks.put_many([(address, data)])
        assert disk.take_busy_s() == 0
        disk.slow(0.01, 1e6)
        node.chunks.get(address)
        assert math.isclose(disk.take_busy_s(), 0.01 + LARGE / 1e6)
        node.settings.put({"a": b"1"})
        commit_s = disk.take_busy_s()
        assert 0.01 < commit_s < 0.04
        node.chunks.put_many([chunk(2, LARGE)])
        assert disk.take_busy_s() > commit_s + 0.02 + LARGE / 1e6
        node.settings.get("a")
        assert disk.take_busy_s() == 0
        disk.slow()
        node.settings.put({"a": b"2"})
        assert disk.take_busy_s() == 0


def test_what_cannot_be_read_is_corrupt_and_comes_back() -> None:
    disk = new_disk()
    address, data = chunk(1, LARGE)
    with running(disk) as node:
        node.chunks.put_many([(address, data)])
        disk.fail("read", where="/blobs/", times=2)  # the store looks twice
        with pytest.raises(Corrupt):
            node.chunks.get(address)
        with pytest.raises(NotFound):
            node.chunks.get(address)
        assert node.chunks.sweep_orphans(address[0]).adopted == 1
        assert node.chunks.get(address) == data
    disk.fail("read", where="inos.db")
    with pytest.raises(Corrupt, match="cannot be opened"), running(disk):
        pass
    with running(disk) as node:
        disk.fail("read", where="inos.db", times=99)
        assert node.database.check() != []
        disk.fail("read", where="inos.db", times=0)
        assert node.chunks.get(address) == data


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_what_cannot_be_written_is_not_acknowledged(operation: str) -> None:
    disk = new_disk()
    address, data = chunk(1, LARGE)
    with running(disk) as node:
        for where in ("/staging/", "/blobs/", "inos.db-wal"):
            disk.fail(operation, where=where)  # type: ignore[arg-type]
            with pytest.raises(Corrupt, match="Input/output error"):
                node.chunks.put_many([(address, data)])
            assert node.chunks.present([address]) == frozenset()
            assert node.files.listed(node.root / "staging") == []
        node.chunks.put_many([(address, data)])
    disk.crash()
    with running(disk) as node:
        assert node.chunks.get(address) == data


def test_a_commit_holds_although_its_log_cannot_be_written_back() -> None:
    disk = new_disk()
    with running(disk) as node:
        disk.fail("read", where="inos.db-wal", times=10**6)
        for number in range(200):
            node.settings.put({"a": b"%d" % number})
        long = disk.files.size(disk.root / "inos.db-wal")
        assert long > 100 * PAGE_BYTES
        disk.fail("read", where="inos.db-wal", times=0)
        for number in range(200, 400):
            node.settings.put({"a": b"%d" % number})
        assert disk.files.size(disk.root / "inos.db-wal") < long + 20 * PAGE_BYTES
    disk.crash()
    with running(disk) as node:
        assert node.settings.get("a") == b"399"
