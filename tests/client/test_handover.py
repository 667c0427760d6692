"""Large files go to and from the node as open files; and as bytes where that cannot be, or breaks."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from inos.api.handed import StoreFile, WriteFile
from inos.client import download, handover
from inos.client.http import ConnectionLost
from inos.client.mesh import Mesh
from inos.core.endpoint import SOCKET_FILE
from inos.core.errors import Conflict, Corrupt, Unavailable
from inos.testing.memory_service import MemoryService

MIB = 1 << 20
CONTENT = random.Random(5).randbytes(5 * MIB + 3)


class Watcher:
    def __init__(self) -> None:
        self.size: int | None = None
        self.done = 0

    def total(self, size: int | None) -> None:
        self.size = size

    def advance(self, size: int) -> None:
        assert size >= 0
        self.done += size


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was handed over, with the limits low enough for tests."""
    calls: list[str] = []
    for kind in (StoreFile, WriteFile):
        real = kind.__call__

        async def watched(self: Any, *args: Any, real: Any = real, kind: type = kind) -> None:
            calls.append(kind.__name__)
            await real(self, *args)

        monkeypatch.setattr(kind, "__call__", watched)
    monkeypatch.setattr(download, "WRITE_FROM_BYTES", MIB)
    return calls


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18))
    return path


def test_there_and_back(run: Any, source: Path, tmp_path: Path, handed: list[str], service: MemoryService) -> None:
    there, back = Watcher(), Watcher()

    async def work(mesh: Mesh) -> Any:
        report = await mesh.put(source, progress=there)
        return report, await mesh.get(report.name, tmp_path / "out", progress=back)

    put, got = run(work)
    assert (put.size, got.size, got.resumed_bytes) == (len(CONTENT), len(CONTENT), 0)
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out").stat().st_mtime_ns == 10**18
    assert service.names["/source"].size == len(CONTENT)
    assert there.size == there.done == back.size == back.done == len(CONTENT)
    assert handed == ["StoreFile", "WriteFile"]


def test_small_ones_go_as_bytes(run: Any, tmp_path: Path, handed: list[str]) -> None:
    (tmp_path / "small").write_bytes(CONTENT[: handover.FROM_BYTES - 1])

    async def work(mesh: Mesh) -> Any:
        await mesh.get(await mesh.put(tmp_path / "small"), tmp_path / "out")

    run(work)
    assert (tmp_path / "out").read_bytes() == CONTENT[: handover.FROM_BYTES - 1]
    assert not handed


def test_without_a_socket_it_goes_as_bytes(
    run: Any, node: Any, source: Path, tmp_path: Path, handed: list[str]
) -> None:
    (node.home / SOCKET_FILE).unlink()

    async def work(mesh: Mesh) -> Any:
        await mesh.get(await mesh.put(source), tmp_path / "out")

    run(work)
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert not handed


def test_it_goes_on_where_it_stopped(run: Any, source: Path, tmp_path: Path, handed: list[str]) -> None:
    watcher = Watcher()

    async def work(mesh: Mesh) -> Any:
        report = await mesh.put(source)
        async with mesh.open(report) as content:
            part = download.part_path(tmp_path / "out", content)
        part.write_bytes(CONTENT[: 2 * MIB + 1])
        return await mesh.get(report, tmp_path / "out", progress=watcher)

    assert run(work).resumed_bytes == 2 * MIB + 1
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert watcher.done == len(CONTENT)
    assert handed == ["StoreFile"]  # all of it has to be looked at, and as bytes it is on its way


def test_what_fails_midway_leaves_a_beginning(
    run: Any, source: Path, tmp_path: Path, handed: list[str], service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With which the next try goes on."""
    real = service.open

    async def failing(target: str, start: int, end: int | None) -> Any:
        found = await real(target, start, end)
        if "WriteFile" not in handed:
            return found

        async def chunks() -> AsyncGenerator[bytes, None]:
            async with aclosing(found.chunks) as whole:
                yield await anext(whole)
            raise Corrupt("a chunk is damaged")

        return type(found)(found.size, found.name, found.reference, found.content_hash, chunks())

    monkeypatch.setattr(service, "open", failing)

    async def work(mesh: Mesh) -> Any:
        await mesh.get(await mesh.put(source), tmp_path / "out")

    with pytest.raises(Corrupt, match="damaged"):
        run(work)
    monkeypatch.setattr(service, "open", real)
    (part,) = tmp_path.glob("out.*.part")
    assert part.read_bytes() == CONTENT[:MIB]
    run(work)
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_a_file_that_shrinks(run: Any, source: Path, handed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = handover.Handover.store

    async def late(self: Any, descriptor: int, size: int, *args: Any) -> Any:
        os.truncate(source, size - 1)
        return await real(self, descriptor, size, *args)

    monkeypatch.setattr(handover.Handover, "store", late)

    async def work(mesh: Mesh) -> Any:
        await mesh.put(source)

    with pytest.raises(Conflict, match="became shorter"):
        run(work)
    assert handed == ["StoreFile"]


def test_a_connection_that_breaks_is_followed_by_bytes(
    run: Any, source: Path, tmp_path: Path, handed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = handover.Handover.write

    def cut() -> None:
        (part,) = tmp_path.glob("out.*.part")
        os.truncate(part, 3 * MIB)

    async def broken(self: Any, *args: Any) -> None:
        await real(self, *args)
        cut()
        raise ConnectionLost("cut")

    monkeypatch.setattr(handover.Handover, "write", broken)

    async def work(mesh: Mesh) -> Any:
        await mesh.get(await mesh.put(source), tmp_path / "out")

    run(work)
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert handed == ["StoreFile", "WriteFile"]


def test_a_node_that_dies_in_the_middle_of_a_put(run: Any, node: Any, source: Path, service: MemoryService) -> None:
    path = node.home / SOCKET_FILE
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()

        def die() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)

        dying = threading.Thread(target=die)
        dying.start()

        async def work(mesh: Mesh) -> Any:
            await mesh.put(source)

        with pytest.raises(Unavailable, match="connection to the node was lost"):
            run(work)
        dying.join(10)
    assert not service.contents
