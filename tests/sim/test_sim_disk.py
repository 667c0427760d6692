"""The simulated disk itself: what a power cut leaves of files and names, and what the end of a process does not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from disk_helpers import content, move, new_disk, put, running, sync
from hypothesis import given
from hypothesis import strategies as st

from inos.sim.disk import SimDisk
from inos.sim.disk_file import PAGE_BYTES, SECTOR_BYTES, SimFile
from inos.testing.chunks import LARGE, chunk

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
