"""Bytes through the client: put, get, streams; resumed and retried; errors as their classes."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

import inos
from inos.client.download import GetReport
from inos.client.local import fitting_name, read_small
from inos.client.mesh import Mesh
from inos.core.endpoint import SOCKET_FILE
from inos.core.errors import (
    BadInput,
    BadReference,
    BadTicket,
    Conflict,
    NoNode,
    NotEnoughNodes,
    NotFound,
    StorageFull,
    Unauthorised,
    Unavailable,
)
from inos.core.reports import PutOptions, PutReport, TreeReport
from inos.crypto.hashing import blake3_digest
from inos.testing.memory_service import MemoryService

MIB = 1024 * 1024


class Watcher:
    def __init__(self) -> None:
        self.size: int | None = None
        self.done = 0

    def total(self, size: int | None) -> None:
        self.size = size

    def advance(self, size: int) -> None:
        self.done += size


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(mesh: Mesh, target: Any, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in mesh.stream(target, start, end)])


def test_what_is_put_comes_back(run: Any, tmp_path: Path) -> None:
    content = os.urandom(5 * MIB + 7)
    source = tmp_path / "a file.bin"
    source.write_bytes(content)
    source.chmod(0o640)
    os.utime(source, ns=(1_700_000_000_123_000_000,) * 2)

    async def work(mesh: Mesh) -> None:
        up, down = Watcher(), Watcher()
        put = await mesh.put(source, progress=up)
        assert isinstance(put, PutReport) and put.name == "/a file.bin" and put.size == len(content)
        assert (up.size, up.done) == (len(content), len(content))
        assert await read(mesh, put) == await read(mesh, put.name) == content
        assert await read(mesh, put, 100, 200) == content[100:200]
        assert await read(mesh, put, len(content) - 3) == content[-3:]
        got = await mesh.get(put.name, tmp_path / "out", progress=down)
        assert (got.size, got.files, got.resumed_bytes) == (len(content), 1, 0)
        assert (down.size, down.done) == (len(content), len(content))

    run(work)
    out = tmp_path / "out"
    assert out.read_bytes() == content
    assert (out.stat().st_mode & 0o777, out.stat().st_mtime_ns) == (0o640, 1_700_000_000_123_000_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file.bin", "home", "out"]


def test_every_kind_of_source(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"file")
    read_end, write_end = os.pipe()
    os.write(write_end, b"pipe")
    os.close(write_end)

    async def work(mesh: Mesh) -> None:
        sources: list[tuple[Any, bytes]] = [
            (b"bytes", b"bytes"),
            (b"", b""),
            (pieces(b"str", b"", b"eam"), b"stream"),
            (io.BytesIO(b"memory"), b"memory"),
            (file, b"file"),
            (pipe, b"pipe"),
            (null, b""),
        ]
        for source, expected in sources:
            put = await mesh.put(source)
            assert put.name == "" and await read(mesh, put) == expected

    with (
        (tmp_path / "file").open("rb") as file,
        os.fdopen(read_end, "rb") as pipe,
        Path("/dev/null").open("rb") as null,
    ):
        run(work)


def test_what_the_system_makes_up_is_read_to_its_end(run: Any, tmp_path: Path) -> None:
    """Files of /proc have no length, and come a page at a time."""
    symbols, watches = Path("/proc/kallsyms"), Path("/proc/sys/fs/epoll")
    expected = symbols.read_bytes()
    assert symbols.stat().st_size == 0 and len(expected) > MIB

    async def work(mesh: Mesh) -> None:
        watched = Watcher()
        put = await mesh.put(symbols, progress=watched)
        assert isinstance(put, PutReport) and (put.name, put.size) == ("/kallsyms", len(expected))
        assert (watched.size, watched.done) == (None, len(expected))
        assert await read(mesh, put) == expected
        await mesh.put(watches, name="/epoll")
        assert await read(mesh, "/epoll/max_user_watches") == (watches / "max_user_watches").read_bytes() != b""
        (tmp_path / "empty").touch()
        assert isinstance(empty := await mesh.put(tmp_path / "empty"), PutReport) and empty.size == 0

    run(work)
    assert read_small(symbols, 64 * MIB) == expected
    assert read_small(symbols, len(expected)) == expected
    assert read_small(symbols, len(expected) - 1) is None


def test_an_error_of_the_source_is_the_callers(run: Any, service: MemoryService) -> None:
    async def failing() -> AsyncGenerator[bytes, None]:
        yield b"some"
        raise KeyError("mine")

    async def work(mesh: Mesh) -> None:
        with pytest.raises(KeyError, match="mine"):
            await mesh.put(failing(), name="a")
        assert (await mesh.status()).objects == 0

    run(work)


def test_a_refusal_ends_an_endless_upload(run: Any, service: MemoryService) -> None:
    service._quota_bytes = 3 * MIB

    async def endless() -> AsyncGenerator[bytes, None]:
        while True:
            yield bytes(MIB)

    async def work(mesh: Mesh) -> None:
        with pytest.raises(StorageFull) as full:
            await mesh.put(endless(), name="a")
        assert full.value.retryable and full.value.hint
        assert (await mesh.put(b"small", name="b")).size == 5

    run(work)


def test_errors_are_of_their_class(run: Any, tmp_path: Path) -> None:
    async def work(mesh: Mesh) -> None:
        for call, kind in [
            (mesh.stat("/missing"), NotFound),
            (mesh.stat("inos:nonsense"), BadReference),
            (mesh.join("garbled"), BadTicket),
            (mesh.put(b"x", require="replicated"), NotEnoughNodes),
            (mesh.put(b"x", name="a/../b"), BadInput),
            (mesh.put(tmp_path / "missing"), NotFound),
            (mesh.put("/dev/null"), BadInput),
            (mesh.get("/missing", tmp_path / "x"), NotFound),
            (mesh.get("inos:nonsense", tmp_path / "x"), BadReference),
            (mesh.revoke("nobody"), NotFound),
            (read(mesh, "/missing"), NotFound),
        ]:
            with pytest.raises(kind):
                await call
        await mesh.put(b"0123456789", name="ten")
        for start, end in [(10, None), (5, 5), (7, 3), (-1, None)]:
            with pytest.raises(BadInput):
                await read(mesh, "ten", start, end)

    run(work)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_directory_is_no_place_for_a_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    async def work(mesh: Mesh) -> None:
        await mesh.put(b"x", name="a")
        with pytest.raises(BadInput, match="is a directory"):
            await mesh.get("a", tmp_path / "folder")
        with pytest.raises(NotFound):
            await mesh.get("a", tmp_path / "no" / "such" / "folder")

    run(work)


def test_a_pipe_is_written_into_and_nothing_else_is_replaced(run: Any, tmp_path: Path) -> None:
    pipe, socket_file, content = tmp_path / "pipe", tmp_path / "socket", b"streamed" * 400_000
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))

    async def work(mesh: Mesh) -> None:
        await mesh.put(content, name="a")
        await mesh.put(b"x", name="tree/pipe")
        reader.start()
        assert (await mesh.get("a", pipe)).size == len(content)
        await mesh.get("a", os.devnull)
        with pytest.raises(BadInput, match="not a file"):
            await mesh.get("a", socket_file)
        with pytest.raises(Conflict, match="in the way"):  # a folder's files are files
            await mesh.get("tree", tmp_path)

    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(socket_file))
        run(work)
    reader.join(20)
    assert got == [content] and pipe.is_fifo() and socket_file.is_socket() and Path(os.devnull).is_char_device()


def test_no_node(tmp_path: Path, backend: str) -> None:
    async def nobody() -> None:
        with pytest.raises(NoNode, match="no node is running"):
            async with inos.connect(tmp_path):
                pass
        async with inos.connect(url="http://127.0.0.1:1", token="t") as mesh:
            with pytest.raises(Unavailable, match="nothing answers"):
                await mesh.status()
        for url in ("ftp://x", "nonsense"):
            with pytest.raises(BadInput):
                async with inos.connect(url=url, token="t"):
                    pass
        with pytest.raises(BadInput, match="token"):
            async with inos.connect(url="http://127.0.0.1:1"):
                pass

    anyio.run(nobody, backend=backend)


def test_a_wrong_token(node: Any, backend: str) -> None:
    async def main() -> None:
        async with inos.connect(url=node.url, token="wrong") as mesh:
            with pytest.raises(Unauthorised):
                await mesh.status()
            with pytest.raises(Unauthorised):
                await mesh.put(pieces(*[bytes(MIB)] * 20), name="a")

    anyio.run(main, backend=backend)


def test_a_stream_survives_cuts(cutting: Any, run: Any) -> None:
    content = os.urandom(4 * MIB)
    run(lambda mesh: mesh.put(content, name="a"))
    with cutting(0, 100, 5000, MIB, 2 * MIB) as (cut_run, wire):
        assert cut_run(lambda mesh: read(mesh, "a")) == content
    assert wire.connections == 6


def test_a_range_survives_cuts(cutting: Any, run: Any) -> None:
    content = os.urandom(3 * MIB)
    run(lambda mesh: mesh.put(content, name="a"))
    with cutting(MIB, MIB) as (cut_run, wire):
        assert cut_run(lambda mesh: read(mesh, "a", 1000, 3 * MIB - 1000)) == content[1000:-1000]
    assert wire.connections >= 2


def test_cuts_without_end_are_unavailable(cutting: Any, run: Any) -> None:
    run(lambda mesh: mesh.put(bytes(MIB), name="a"))
    with cutting(*[10] * 20) as (cut_run, _), pytest.raises(Unavailable, match="lost"):
        cut_run(lambda mesh: read(mesh, "a"))


def test_an_upload_is_not_repeated(cutting: Any, service: MemoryService) -> None:
    with cutting(10) as (cut_run, wire), pytest.raises(Unavailable, match="lost"):
        cut_run(lambda mesh: mesh.put(b"x" * MIB, name="a"))
    assert wire.connections == 1


def test_a_json_get_is_repeated(cutting: Any) -> None:
    with cutting(0, 50) as (cut_run, wire):
        assert cut_run(lambda mesh: mesh.status()).members == 5
    assert wire.connections == 3


def test_a_download_goes_on_where_it_stopped(cutting: Any, run: Any, tmp_path: Path) -> None:
    content = os.urandom(9 * MIB)
    put = run(lambda mesh: mesh.put(content, name="a"))
    out = tmp_path / "out"
    with cutting(5 * MIB, *[0] * 9) as (cut_run, _), pytest.raises(Unavailable):
        cut_run(lambda mesh: mesh.get(put, out))
    [part] = tmp_path.glob("out.*.part")
    assert 4 * MIB < part.stat().st_size <= 5 * MIB and content.startswith(part.read_bytes()) and not out.exists()
    with cutting() as (again, _):
        got = again(lambda mesh: mesh.get(put, out))
    assert got.resumed_bytes > 4 * MIB and out.read_bytes() == content and not part.exists()


def test_a_whole_part_is_looked_at_and_renamed(run: Any, tmp_path: Path) -> None:
    content = os.urandom(MIB)

    async def work(mesh: Mesh) -> None:
        put = await mesh.put(content, name="a")
        async with mesh.open(put) as opened:
            part = tmp_path / f"out.{opened.tag[:12]}.part"
        part.write_bytes(content)
        assert (await mesh.get("a", tmp_path / "out")).resumed_bytes == MIB

    run(work)
    assert (tmp_path / "out").read_bytes() == content


@pytest.mark.parametrize(
    ("size", "damage"), [(3 * MIB, "hole"), (3 * MIB, "zeros"), (3 * MIB, "whole of zeros"), (40 * MIB, "hole")]
)
def test_a_part_that_is_no_beginning_is_not_believed(run: Any, tmp_path: Path, size: int, damage: str) -> None:
    """As a loss of power leaves it, or somebody who wrote into it."""
    content = os.urandom(size)
    watcher = Watcher()

    async def work(mesh: Mesh) -> GetReport:
        put = await mesh.put(content, name="a")
        async with mesh.open(put) as opened:
            part = tmp_path / f"out.{opened.tag[:12]}.part"
        with part.open("wb") as file:
            if damage == "hole":
                file.write(content[:MIB])
            file.truncate(size if damage == "whole of zeros" else size - MIB)
        return await mesh.get("a", tmp_path / "out", progress=watcher)

    got = run(work)
    assert (tmp_path / "out").read_bytes() == content
    assert got.resumed_bytes == 0 and watcher.done == watcher.size == 2 * size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]


def test_what_is_done_with_an_old_tag_begins_anew(run: Any, service: MemoryService, tmp_path: Path) -> None:
    """Objects of the first release have a tag that is no SHA-256: what was there cannot be told from damage."""
    content = os.urandom(2 * MIB)
    real = service.open

    async def old(target: str, start: int, end: int | None) -> Any:
        return replace(await real(target, start, end), content_hash=blake3_digest(content).hex())

    service.open = old  # type: ignore[method-assign]

    async def work(mesh: Mesh) -> GetReport:
        put = await mesh.put(content, name="a")
        async with mesh.open(put) as opened:
            (tmp_path / f"out.{opened.tag[:12]}.part").write_bytes(content[:MIB])
        return await mesh.get("a", tmp_path / "out")

    assert run(work).resumed_bytes == 0
    assert (tmp_path / "out").read_bytes() == content


def test_a_file_is_on_the_disk_before_it_has_its_name(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, out = os.urandom(2 * MIB), tmp_path / "out"
    synced: list[tuple[int, bool]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, out.exists()))
        real(descriptor)

    async def work(mesh: Mesh) -> None:
        await mesh.put(content, name="a")
        monkeypatch.setattr(os, "fsync", fsync)
        await mesh.get("a", out)

    run(work)
    assert synced == [(len(content), False)]


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "x" * 238])
def test_the_longest_names_go_on_as_well(cutting: Any, run: Any, tmp_path: Path, name: str) -> None:
    content = os.urandom(5 * MIB)
    out = tmp_path / "here" / name
    out.parent.mkdir()
    run(lambda mesh: mesh.put(content, name=f"/{name}"))
    with cutting(3 * MIB, *[0] * 9) as (cut_run, _), pytest.raises(Unavailable):
        cut_run(lambda mesh: mesh.get(f"/{name}", out))
    assert len([*out.parent.iterdir()]) == 1
    assert run(lambda mesh: mesh.get(f"/{name}", out)).resumed_bytes > MIB
    assert out.read_bytes() == content and [*out.parent.iterdir()] == [out]


def test_names_cut_short_are_told_apart() -> None:
    cut = {fitting_name("x" * 250 + end, ".part") for end in ("a", "b")}
    assert len(cut) == 2 and all(len(name) == 255 for name in cut)
    assert fitting_name("x" * 250, ".part") == "x" * 250 + ".part"
    assert len(os.fsencode(fitting_name("文" * 85, ".part"))) <= 255


def test_parts_of_another_version_are_not_mixed_in(run: Any, tmp_path: Path) -> None:
    async def work(mesh: Mesh) -> None:
        old = await mesh.put(b"old " * 1000, name="a")
        async with mesh.open(old) as opened:
            (tmp_path / f"out.{opened.tag[:12]}.part").write_bytes(b"old ")
        await mesh.put(b"new " * 1000, name="a")
        assert (await mesh.get("a", tmp_path / "out")).resumed_bytes == 0

    run(work)
    assert (tmp_path / "out").read_bytes() == b"new " * 1000


def test_a_part_that_is_a_link_is_not_written_through(run: Any, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")

    async def work(mesh: Mesh) -> None:
        put = await mesh.put(b"content", name="a")
        async with mesh.open(put) as opened:
            (tmp_path / f"out.{opened.tag[:12]}.part").symlink_to(victim)
        await mesh.get("a", tmp_path / "out")

    run(work)
    assert victim.read_bytes() == b"" and (tmp_path / "out").read_bytes() == b"content"


def test_a_cancelled_download_leaves_a_part(cutting: Any, run: Any, tmp_path: Path) -> None:
    content = os.urandom(16 * MIB)
    run(lambda mesh: mesh.put(content, name="a"))

    class Stop(Watcher):
        scope: anyio.CancelScope

        def advance(self, size: int) -> None:
            super().advance(size)
            if self.done > 10 * MIB:
                self.scope.cancel()

    async def work(mesh: Mesh) -> None:
        stop = Stop()
        with anyio.CancelScope() as stop.scope:
            await mesh.get("a", tmp_path / "out", progress=stop)

    run(work)
    [part] = tmp_path.glob("out.*.part")
    assert part.stat().st_size >= MIB and content.startswith(part.read_bytes())
    assert run(lambda mesh: mesh.get("a", tmp_path / "out")).resumed_bytes > 0
    assert (tmp_path / "out").read_bytes() == content


def test_a_file_that_shrinks_while_it_is_read(run: Any, node: Any, tmp_path: Path, service: MemoryService) -> None:
    (node.home / SOCKET_FILE).unlink()  # read by the client then; test_handover.py has the other case
    source = tmp_path / "log"
    source.write_bytes(bytes(20 * MIB))

    class Shrink(Watcher):
        def advance(self, size: int) -> None:
            os.truncate(source, 2 * MIB)

    async def work(mesh: Mesh) -> None:
        with pytest.raises(Conflict, match="shorter"):
            await mesh.put(source, progress=Shrink())

    run(work)
    assert not service.contents


def test_many_at_once(run: Any) -> None:
    async def work(mesh: Mesh) -> None:
        async def one(number: int) -> None:
            put = await mesh.put(pieces(*[bytes([number])] * 50), name=f"/n/{number}")
            assert await read(mesh, put) == bytes([number]) * 50

        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(one, number)
        assert len([item async for item in mesh.list("/n/")]) == 40

    run(work)


def test_reports(run: Any, service: MemoryService) -> None:
    async def work(mesh: Mesh) -> None:
        put = await mesh.put(b"x" * 10, name="/a/b", size=10)
        assert not isinstance(put, TreeReport)
        assert (await mesh.stat(put)).cid == put.cid
        assert [peer.state for peer in await mesh.peers()] == ["alive"] * 4 + ["failed"]
        ticket = await mesh.invite(single_use=True, lifetime_s=60)
        assert ticket.single_use and (await mesh.join(ticket.ticket)).peers == 5
        service.corrupt.update(service.contents)
        found = [report async for report in mesh.verify()]
        assert found[-1].finished and found[-1].healed == 1 and "corrupt" in found[0].problem
        with pytest.raises(NotFound):
            [report async for report in mesh.verify("/missing")]
        assert (await mesh.remove("/a")).names == ("/a/b",)
        assert [item async for item in mesh.list()] == []

    run(work)


def test_an_option_is_passed_on(run: Any, service: MemoryService) -> None:
    seen: list[PutOptions] = []
    store = service.put

    async def put(source: AsyncIterator[bytes], options: PutOptions) -> PutReport:
        seen.append(options)
        return await store(source, options)

    service.put = put  # type: ignore[method-assign]
    run(lambda mesh: mesh.put(b"x", name="n", require=2))
    run(lambda mesh: mesh.put(pieces(b"x")))
    assert (seen[0].name, seen[0].size, seen[0].require) == ("/n", 1, "2")
    assert (seen[1].name, seen[1].size, seen[1].require) == (None, None, "")


def test_a_folder_that_is_not_there_is_named(run: Any, tmp_path: Path) -> None:
    run(lambda mesh: mesh.put(b"content", name="a"))
    with pytest.raises(NotFound, match=r"no such folder: .*/nowhere$"):
        run(lambda mesh: mesh.get("a", tmp_path / "nowhere" / "out"))
