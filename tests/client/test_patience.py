"""A node that does not answer: told of soon, given up in time; one that is at work is waited for."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

import inos
from inos.client import patience
from inos.client.http import HttpClient
from inos.client.mesh import Mesh
from inos.core.endpoint import Endpoint, lock_holder, write_endpoint
from inos.core.env import RealEnv
from inos.core.errors import Unavailable
from inos.core.reports import StatusReport
from inos.testing.memory_service import MemoryService
from served import served

MIB = 1024 * 1024
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\nx-inos-reference: r\r\nx-inos-name: n\r\netag: t\r\n"
    b"x-inos-mode: 420\r\nx-inos-modified-ms: 0\r\n\r\n"
)


class Slow(MemoryService):
    """Answers when it is told to, and others meanwhile."""

    done: trio.Event

    async def status(self) -> StatusReport:
        await self.done.wait()
        return await super().status()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as fast as for people."""
    for name, seconds in (("QUIET_S", 0.1), ("PROBE_S", 0.1), ("GIVE_UP_S", 0.6)):
        monkeypatch.setattr(patience, name, seconds)


class Clock:
    """What `patience` has of anyio, with a clock that goes on by half of what would be too long each time that the node
    shows life: so that nothing depends on how fast it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lives = 0
        self.shown: Callable[[], None] = lambda: None
        """Called when it has shown life."""
        self._ahead_s = 0.0
        self._ask = HttpClient._ask_for_life
        for name, seconds in (("PROBE_S", 60.0), ("GIVE_UP_S", 120.0)):
            monkeypatch.setattr(patience, name, seconds)
        monkeypatch.setattr(patience, "anyio", self)
        monkeypatch.setattr(HttpClient, "_ask_for_life", lambda http: self._alive(http))

    def __getattr__(self, name: str) -> Any:
        return getattr(anyio, name)

    def current_time(self) -> float:
        return anyio.current_time() + self._ahead_s

    async def sleep_until(self, at_s: float) -> None:
        await anyio.sleep_until(at_s - self._ahead_s)

    async def _alive(self, http: HttpClient) -> None:
        await self._ask(http)
        self._ahead_s += 60.0
        self.lives += 1
        self.shown()


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[socket.socket]:
    """What is left of a node that was stopped: the system still takes its connections. This process has its lock."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "lock").write_text(f"{os.getpid()}\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        write_endpoint(home, Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", "token"))
        yield listener


def run_told(backend: str, home: Path, work: Callable[[Mesh], Awaitable[Any]]) -> tuple[list[str], float]:
    """What was told, and how long it took, in seconds."""
    told: list[str] = []

    async def main() -> float:
        async with inos.connect(home, tell=told.append) as mesh:
            started_s = anyio.current_time()
            with anyio.fail_after(60):
                await work(mesh)
            return anyio.current_time() - started_s

    return told, anyio.run(main, backend=backend)


def check_given_up(backend: str, home: Path, work: Callable[[Mesh], Awaitable[Any]], *, lived: bool = False) -> None:
    """Told of once; again after each sign of life, where it `lived` at first."""

    async def failing(mesh: Mesh) -> None:
        with pytest.raises(Unavailable, match=rf"\(process {os.getpid()}\) has not answered for") as error:
            await work(mesh)
        assert "inos up" in error.value.hint

    told, took_s = run_told(backend, home, failing)
    assert told if lived else len(told) == 1
    for text in told:
        assert text.startswith("the node at http://127.0.0.1:")
        assert f"(process {os.getpid()}) does not answer yet" in text
        assert "\nhint: " in text
    assert took_s >= 0.6


def test_every_kind_of_call_to_a_stopped_node_is_given_up(stopped: socket.socket, backend: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(64 * MIB)  # more than the system takes for it
    check_given_up(backend, home, lambda mesh: mesh.status())
    check_given_up(backend, home, lambda mesh: mesh.put(b"x"))
    check_given_up(backend, home, lambda mesh: mesh.put(big), lived=True)
    check_given_up(backend, home, lambda mesh: mesh.get("/name", tmp_path / "out"))


def test_a_node_that_takes_no_connection_is_given_up(backend: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "lock").write_text(f"{os.getpid()}\n")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address):  # the one there is room for
            write_endpoint(home, Endpoint(f"http://127.0.0.1:{address[1]}", "token"))
            check_given_up(backend, home, lambda mesh: mesh.status())


def test_a_node_that_stops_in_the_middle_of_an_object_is_given_up(
    stopped: socket.socket, backend: str, tmp_path: Path
) -> None:
    def answer() -> None:
        near, _ = stopped.accept()
        near.recv(65536)
        near.sendall(HEAD + bytes(1000))
        connections.append(near)

    connections: list[socket.socket] = []
    thread = threading.Thread(target=answer)
    thread.start()
    try:
        check_given_up(backend, tmp_path / "home", lambda mesh: mesh.get("/n", tmp_path / "out"), lived=True)
    finally:
        thread.join(10)
        for connection in connections:
            connection.close()
    (part,) = tmp_path.glob("out.*.part")
    assert part.stat().st_size == 1000


def test_a_node_at_work_is_waited_for(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over three times as long as one without life would be."""
    clock, service = Clock(monkeypatch), Slow(RealEnv())
    service.done = trio.Event()
    with served(service, tmp_path / "home") as node:
        clock.shown = lambda: node.trio_token.run_sync_soon(service.done.set) if clock.lives == 7 else None
        told, _ = run_told(backend, tmp_path / "home", lambda mesh: mesh.status())
    assert [text.rpartition(" is ")[2] for text in told] == ["still at work on this"]


def test_a_source_that_pauses_is_waited_for(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def pausing() -> Any:
        for _ in range(3):
            asked, lived = anyio.Event(), clock.lives
            clock.shown = lambda asked=asked, lived=lived: asked.set() if clock.lives >= lived + 3 else None  # type: ignore[misc]
            await asked.wait()
            yield b"some"

    with served(MemoryService(RealEnv()), tmp_path / "home"):
        told, _ = run_told(backend, tmp_path / "home", lambda mesh: mesh.put(pausing(), name="slow"))
    assert told == [] and clock.lives >= 9


@pytest.mark.parametrize("text", ["", "x", "-5", "0", "999999999", str(10**30), "9" * 5000])
def test_a_lock_that_names_nobody(text: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(text)
    assert lock_holder(tmp_path) is None
