"""Serving the API on a socket inside the node's own nursery: listening, bounding connections, stopping in time."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import inos.api.lean_imports  # noqa: F401 - before what it makes lean

# isort: split
import anyio
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inos.api.app import make_app
from inos.api.connection import HttpConnection
from inos.api.local_socket import listening_at
from inos.api.message_events import CLOSING
from inos.api.service import NodeService
from inos.core.env import Env
from inos.core.errors import BadInput, Conflict
from inos.core.messages.shares import DEFAULT_RATE

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = logging.getLogger(__name__)

# One person's tools open a handful; the rest is room for a console and scripts. Each costs at most about 2 MiB.
MAX_CONNECTIONS: Final = 128
BACKLOG: Final = 128
# While all connections are taken those that were idle for so long are closed. A request comes right behind its
# connection; a client that comes back later than this opens another.
IDLE_SPARED_S: Final = 5.0
# So are those whose client does not take a piece of an answer, a megabyte at most, for so long. While there is room, a
# download may pause as it likes.
UNREAD_SPARED_S: Final = 30.0
CROWDED_LOOK_S: Final = 0.5
# Messages of READ_BYTES between socket and service; enough to overlap the two, small beside the node's memory.
QUEUE: Final = 4
# Also the time a client has for a whole request head.
KEEP_ALIVE_S: Final = 60
HEAD_MAX_BYTES: Final = 32 * 1024
STOP_S: Final = 0.5
_OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
OUT_OF_FILES_WAIT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the API listens: `url` as a client wants it."""

    url: str
    port: int


async def serve_api(
    service: NodeService,
    *,
    env: Env,
    host: str,
    port: int,
    token: str,
    version: str,
    agent_rate: float = DEFAULT_RATE,
    local: Path | None = None,
    task_status: TaskStatus[Bound] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the API of `service` until cancelled, like `serve_app`; `version` is shown, `token` is asked for, and
    `agent_rate` messages a second are taken from one agent."""
    app = make_app(service, env=env, token=token, host=host, version=version, agent_rate=agent_rate)
    await serve_app(app, host=host, port=port, local=local, task_status=task_status)


async def serve_app(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    local: Path | None = None,
    task_status: TaskStatus[Bound] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports where once it listens. Port 0 takes a free one. Raises Conflict when it is in use,
    BadInput for an address that is none. Once cancelled, requests in flight have STOP_S to end. `local` is the name of
    a UNIX socket to listen on as well, where the system has such and the name is not too long for one."""
    closing = anyio.Event()
    connections = _Connections(app, closing)
    async with await _listen(host, port) as listener, listening_at(local) as here, trio.open_nursery() as nursery:
        bound_port: int = listener.socket.getsockname()[1]
        await nursery.start(connections.hold)
        shown = f"[{host}]" if ":" in host else host
        task_status.started(Bound(f"http://{shown}:{bound_port}", bound_port))
        try:
            if here is not None:
                nursery.start_soon(connections.accept, here)
            await connections.accept(listener)
        finally:
            closing.set()
            await connections.stop()


def _last(send: Send) -> Send:
    """`send`, whose answer is the last on its connection."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return sending


def _config() -> Config:
    config = Config()
    config.errorlog = None  # api/errors.py logs what went wrong, once
    config.max_app_queue_size = QUEUE
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.keep_alive_max_requests = 1_000_000  # a folder of many files is one connection
    config.h11_max_incomplete_size = HEAD_MAX_BYTES
    config.include_server_header = False
    return config


async def _listen(host: str, port: int) -> trio.SocketListener:
    try:
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except socket.gaierror:
        raise BadInput(f"{host!r} is not an address of this machine", hint="listen on 127.0.0.1") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(f"port {port} is in use", hint="choose another, or port 0 for a free one") from None
        raise BadInput(f"cannot listen on {host}:{port}: {error.strerror}", hint="listen on 127.0.0.1") from None
    for spare in listeners[1:]:
        await spare.aclose()
    return listeners[0]


class _Connections:
    """The open connections; they outlive the cancellation of the server by STOP_S at most."""

    def __init__(self, app: ASGIApp, closing: anyio.Event) -> None:
        """Each request of `app` is given `closing`, which is set when the server stops."""
        self._inner = app
        self._closing = closing
        self._app = ASGIWrapper(self._request)
        self._config = _config()
        self._context = WorkerContext(None)
        self._room = trio.Event()
        self._open: set[HttpConnection] = set()
        self._stopping = trio.Event()
        self._done = trio.Event()
        self._scope = trio.CancelScope(shield=True)
        self._start: Callable[[Callable[..., Awaitable[None]], HttpConnection], object]

    async def hold(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The nursery of the connections, until `stop`."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._start = nursery.start_soon
                task_status.started()
                await self._stopping.wait()
        self._done.set()

    async def accept(self, listener: trio.SocketListener) -> None:
        """Take connections as long as there is room; the system's backlog holds the rest."""
        while True:
            while len(self._open) >= MAX_CONNECTIONS:
                await self._make_room()
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _OUT_OF_FILES:
                    raise
                log.warning("no file descriptor left for an API connection")
                await trio.sleep(OUT_OF_FILES_WAIT_S)
                continue
            connection = HttpConnection(self._app, self._config, self._context, stream)
            self._open.add(connection)
            self._start(self._serve, connection)

    async def _make_room(self) -> None:
        """Wait until one ends, or it is time to look again."""
        with trio.move_on_after(CROWDED_LOOK_S):
            await self._room.wait()
            return
        for connection in self._open:
            connection.close_if_idle(IDLE_SPARED_S)
            connection.abort_if_unread(UNREAD_SPARED_S)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """While all connections are taken each is good for one request, and whoever waits for one gets a turn: a client
        that opens many and keeps them would shut out everybody else."""
        scope[CLOSING] = self._closing
        await self._inner(scope, receive, _last(send) if len(self._open) >= MAX_CONNECTIONS else send)

    async def _serve(self, connection: HttpConnection) -> None:
        try:
            await connection.run()
        except* Exception as errors:  # one connection's trouble, whatever it is, must not stop the node
            log.error("an API connection failed", exc_info=errors)
        finally:
            self._open.discard(connection)
            self._room.set()
            self._room = trio.Event()

    async def stop(self) -> None:
        """Idle connections now, busy ones within STOP_S."""
        with trio.CancelScope(shield=True):
            self._stopping.set()
            await self._context.terminated.set()
            with trio.move_on_after(STOP_S):
                await self._done.wait()
            self._scope.cancel()
            for connection in list(self._open):
                connection.abort()
            await self._done.wait()
