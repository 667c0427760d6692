"""A download's unfinished file belongs to one download: another is told so, and what is done to the file is noticed."""

from __future__ import annotations

import errno
import fcntl
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from inos.client import download
from inos.client.mesh import Mesh
from inos.core.errors import BadInput, Conflict, InosError

MIB = 1 << 20
CONTENT = random.Random(6).randbytes(4 * MIB + 3)
WAYS = ["bytes", "handed", "resumed"]


class Acting:
    """Does something once, in the middle."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act
        self._done = 0

    def total(self, size: int | None) -> None:
        pass

    def advance(self, size: int) -> None:
        self._done += size
        if self._act is not None and self._done > len(CONTENT) // 2:
            act, self._act = self._act, None
            act()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "there" / "out"
    path.parent.mkdir()
    path.write_bytes(b"before")
    return path


def content_of(out: Path) -> bytes | None:
    return None if out.is_dir() else out.read_bytes()


async def prepared(mesh: Mesh, way: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The content stored as "a", to be got in this way; where its unfinished file will be."""
    if way == "handed":
        monkeypatch.setattr(download, "WRITE_FROM_BYTES", MIB)
    put = await mesh.put(CONTENT, name="a")
    async with mesh.open(put) as content:
        part = download.part_path(out, content)
    if way == "resumed":
        part.write_bytes(CONTENT[:MIB])
    return part


async def at_once(mesh: Mesh, target: str, out: Path, count: int) -> list[InosError | None]:
    ends: list[InosError | None] = []

    async def get() -> None:
        try:
            await mesh.get(target, out)
        except InosError as error:
            ends.append(error)
        else:
            assert content_of(out) in (CONTENT, None)
            ends.append(None)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(get)
    return ends


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_several_at_once(run: Any, out: Path, monkeypatch: pytest.MonkeyPatch, way: str, locks: bool) -> None:
    """Whoever says that it wrote the file has; the others say that they did not. Without locks as well."""
    if not locks:
        without_locks(monkeypatch)

    async def work(mesh: Mesh) -> None:
        for _ in range(3):
            await prepared(mesh, way, out, monkeypatch)
            ends = await at_once(mesh, "a", out, 3)
            assert None in ends and all(end is None or isinstance(end, Conflict) for end in ends), ends
            assert content_of(out) == CONTENT
            if locks:
                assert [*out.parent.iterdir()] == [out]
                refused = [end for end in ends if end is not None]
                assert all("another get writes this file" in end.message and end.hint for end in refused)

    run(work)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("done", ["removed", "swapped"])
def test_what_is_done_to_the_file_in_the_middle_is_noticed(
    run: Any, out: Path, monkeypatch: pytest.MonkeyPatch, way: str, done: str
) -> None:
    """And nothing is written to OUT, nor into what is somebody else's."""

    async def work(mesh: Mesh) -> None:
        part = await prepared(mesh, way, out, monkeypatch)

        def act() -> None:
            part.unlink()
            if done == "swapped":
                part.write_bytes(b"somebody's")

        with pytest.raises(Conflict, match=r"\.part was removed, cut short or replaced"):
            await mesh.get("a", out, progress=Acting(act))
        assert content_of(out) == b"before"
        assert [path.read_bytes() for path in out.parent.glob("*.part")] == [b"somebody's"] * (done == "swapped")
        assert (await mesh.get("a", out)).resumed_bytes == 0
        assert content_of(out) == CONTENT and [*out.parent.iterdir()] == [out]

    run(work)


def test_what_is_cut_short_at_the_end_gets_no_name(run: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        os.truncate(descriptor, MIB)

    async def work(mesh: Mesh) -> None:
        part = await prepared(mesh, "bytes", out, monkeypatch)
        with monkeypatch.context() as patched, pytest.raises(Conflict, match="cut short"):
            patched.setattr(os, "fsync", fsync)
            await mesh.get("a", out)
        assert content_of(out) == b"before" and part.read_bytes() == CONTENT[:MIB]
        assert (await mesh.get("a", out)).resumed_bytes == MIB

    run(work)
    assert content_of(out) == CONTENT


@pytest.mark.parametrize("times", [1, 100])
def test_a_file_that_is_finished_by_another_before_it_is_locked(
    run: Any, out: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Then what was opened is the other's OUT already, and is not touched."""
    real, moved = fcntl.flock, out.with_name("moved")

    async def work(mesh: Mesh) -> None:
        part = await prepared(mesh, "resumed", out, monkeypatch)
        left = times

        def flock(*args: Any) -> None:
            nonlocal left
            if left and args[1] & fcntl.LOCK_EX and part.exists():
                part.replace(moved)
                left -= 1
            real(*args)

        monkeypatch.setattr(fcntl, "flock", flock)
        if times == 1:
            assert (await mesh.get("a", out)).resumed_bytes == 0
            assert moved.read_bytes() == CONTENT[:MIB] and content_of(out) == CONTENT
        else:
            with pytest.raises(Conflict, match="replaced"):
                await mesh.get("a", out)
            assert content_of(out) == b"before"

    run(work)


def test_a_folder_at_the_place_of_the_unfinished_file_is_told(
    run: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(mesh: Mesh) -> None:
        part = await prepared(mesh, "bytes", out, monkeypatch)
        part.mkdir()
        with pytest.raises(BadInput, match=r"\.part is a directory"):
            await mesh.get("a", out)
        assert [*out.parent.glob("*.part")] == [part] and content_of(out) == b"before"

    run(work)


def test_a_folder_got_twice_at_once(run: Any, out: Path, tmp_path: Path) -> None:
    """Either the one or the other ends, or both are told; what is written is right, and once more completes it."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(12):
        (tree / str(number)).write_bytes(CONTENT[: number * 100_000])

    async def work(mesh: Mesh) -> None:
        await mesh.put(tree)
        copy = tmp_path / "copy"
        ends = await at_once(mesh, "tree", copy, 2)
        assert all(end is None or "another get" in end.message for end in ends), ends
        await mesh.get("tree", copy)
        assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
            path.name: path.read_bytes() for path in tree.iterdir()
        }

    run(work)
