"""A served in-memory node, a client in both event loops, and a wire that can be cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

import inos
from inos.client.mesh import Mesh
from inos.core.env import RealEnv
from inos.testing.memory_service import MemoryService
from served import TOKEN, Served, served

Run = Callable[[Callable[[Mesh], Awaitable[Any]]], Any]


@pytest.fixture
def service() -> MemoryService:
    return MemoryService(RealEnv())


@pytest.fixture
def node(service: MemoryService, tmp_path: Path) -> Iterator[Served]:
    with served(service, tmp_path / "home") as running:
        yield running


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(node: Served, backend: str) -> Run:
    """Runs `work(mesh)` against the node."""
    return runner(backend, home=node.home)


def runner(backend: str, **where: Any) -> Run:
    def run(work: Callable[[Mesh], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            with anyio.fail_after(50):
                async with inos.connect(**where) as mesh:
                    return await work(mesh)

        return anyio.run(main, backend=backend)

    return run


class Wire:
    """Forwards connections to a port. `cuts` says after how many answered bytes each next connection is cut; the ones
    after are left whole."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self.cuts = cuts
        self.connections = 0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self._port))
            limit = self.cuts.pop(0) if self.cuts else None
            for source, sink, most in ((near, far, None), (far, near, limit)):
                thread = threading.Thread(target=self._copy, args=(source, sink, most))
                self._threads.append(thread)
                thread.start()

    def _copy(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        left = limit
        try:
            while left != 0:
                data = source.recv(65536 if left is None else min(left, 65536))
                if not data:
                    break
                sink.sendall(data)
                left = None if left is None else left - len(data)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@contextmanager
def cut_wire(node: Served, *cuts: int) -> Iterator[Wire]:
    wire = Wire(node.port, list(cuts))
    try:
        yield wire
    finally:
        wire.close()


@pytest.fixture
def cutting(node: Served, backend: str) -> Callable[..., Any]:
    """`with cutting(…) as (run, wire)`: a client behind a wire that is cut."""

    @contextmanager
    def make(*cuts: int) -> Iterator[tuple[Run, Wire]]:
        with cut_wire(node, *cuts) as wire:
            yield runner(backend, url=wire.url, token=TOKEN), wire

    return make
