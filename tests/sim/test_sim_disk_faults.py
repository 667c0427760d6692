"""Faults that a simulated disk can be told to have, and what the stores make of them."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import pytest
from disk_helpers import KEY, content, move, new_disk, put, running, sync

from inos.core.errors import Corrupt, NotFound, StorageFull
from inos.node.disk import open_disk
from inos.sim.disk_file import PAGE_BYTES
from inos.testing.chunks import LARGE, Clock, chunk


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
        node.database.checkpoint()  # so that nothing that is needed is in the log alone
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
