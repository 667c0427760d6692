"""A service behind a real API server on a real socket, in a thread of its own, for tests of whoever talks to it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import trio
from starlette.types import ASGIApp

from inos.api.app import make_app
from inos.api.server import Bound, serve_app
from inos.api.service import NodeService
from inos.core.endpoint import SOCKET_FILE, Endpoint, remove_endpoint, write_endpoint
from inos.core.env import RealEnv
from inos.testing.memory_service import MemoryService

TOKEN = "a-token-for-tests"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Served:
    """Where it is served, and the data root that says so."""

    url: str
    token: str
    home: Path
    trio_token: trio.lowlevel.TrioToken

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call something of the service in the thread that serves it."""
        trio.from_thread.run_sync(function, *args, trio_token=self.trio_token)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


class _Current:
    """Stands before the service of the test that runs: making the application takes longer than most tests."""

    service: NodeService | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)


_current = _Current()


def _make_app(service: NodeService) -> ASGIApp:
    return make_app(service, env=RealEnv(), token=TOKEN, host=HOST, version="0.1.0")


@functools.cache
def _shared_app() -> ASGIApp:
    return _make_app(cast(NodeService, _current))


@contextmanager
def _app(service: NodeService) -> Iterator[ASGIApp]:
    """The application on `service`: the one that all tests share, or one of its own while that is taken."""
    if _current.service is not None:
        yield _make_app(service)
        return
    _current.service = service
    try:
        yield _shared_app()
    finally:
        _current.service = None


@contextmanager
def served(service: NodeService, home: Path, *, port: int = 0) -> Iterator[Served]:
    """Serve `service` as the node of the data root `home`."""
    with _app(service) as app:
        yield from _served(app, service, home, port)


def _served(app: ASGIApp, service: NodeService, home: Path, port: int) -> Iterator[Served]:
    started = threading.Event()
    bounds: list[Bound] = []
    stop: list[trio.CancelScope] = []
    tokens: list[trio.lowlevel.TrioToken] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            stop.append(nursery.cancel_scope)
            tokens.append(trio.lowlevel.current_trio_token())

            async def serve(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
                await serve_app(app, host=HOST, port=port, local=home / SOCKET_FILE, task_status=task_status)

            bounds.append(await nursery.start(serve))
            started.set()

    home.mkdir(exist_ok=True)
    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    try:
        assert started.wait(10), "the API did not start"
        write_endpoint(home, Endpoint(bounds[0].url, TOKEN))
        yield Served(bounds[0].url, TOKEN, home, tokens[0])
    finally:
        remove_endpoint(home)
        if tokens:
            tokens[0].run_sync_soon(stop[0].cancel)
        thread.join(10)
        assert not thread.is_alive(), "the API did not stop"
        if isinstance(service, MemoryService):
            service.close()
