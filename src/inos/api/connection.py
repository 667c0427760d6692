"""One HTTP/1.1 connection: Hypercorn's protocol and application glue over our own socket loop.

Hypercorn's own loop (TCPServer) is not used, for reasons each seen: it reads 64 KiB at a time; it shields writes
from cancellation, so that one client that stops reading keeps the node from stopping; it speaks HTTP/2 to whoever asks,
another parser open to strangers for no use here. Nor is its queue of what an application is told (TaskGroup), which
holds a connection for ever when an application has answered and nobody takes the rest of the body.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import inos.api.lean_imports  # noqa: F401 - before what it makes lean

# isort: split
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from hypercorn.trio.task_group import TaskGroup, _handle
from hypercorn.trio.worker_context import TrioSingleTask, WorkerContext
from hypercorn.typing import ConnectionState

from inos.api.local_socket import handed_over

# What the kernel takes ahead of a reader before the writer sleeps. trio sets 16 KiB: 64 wakes a MiB. 512 MiB read on
# two busy cores, median of five alternating runs: 212 MB/s and 2.36 ms of processor a MB, with this 262 and 2.21.
SEND_AHEAD_BYTES: Final = 1 << 20
# A 512 MiB upload over loopback on two cores, median of four: 64 KiB reads 0.83 GB/s, 256 KiB 1.45, 1 MiB 1.9. More
# than 256 KiB would have every small request allocate and give back that much.
READ_BYTES: Final = 256 * 1024
Put = Callable[[Mapping[str, Any]], Awaitable[None]]
_ENDS: Final = ("http.disconnect", "websocket.disconnect")
_OPTIONS: Final = (
    ("IPPROTO_TCP", "TCP_NOTSENT_LOWAT", SEND_AHEAD_BYTES),
    # A client whose machine is gone in the middle of a request is waited for some two minutes, not for ever.
    ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ("IPPROTO_TCP", "TCP_KEEPIDLE", 60),
    ("IPPROTO_TCP", "TCP_KEEPINTVL", 15),
    ("IPPROTO_TCP", "TCP_KEEPCNT", 4),
)


class _Tasks(TaskGroup):  # type: ignore[misc]  # it has no types
    """The applications of one connection. Each hears of the body as it takes it, and of the end at once and as often as
    it asks; what comes for one that has ended, or after its client has, is dropped."""

    async def spawn_app(self, app: ASGIWrapper, config: Config, scope: Any, send: Any) -> Put:
        into, out = trio.open_memory_channel[Mapping[str, Any]](config.max_app_queue_size)
        last: Mapping[str, Any] = {"type": "http.disconnect"}

        async def receive() -> Mapping[str, Any]:
            try:
                return await out.receive()
            except trio.EndOfChannel:
                return last

        async def put(message: Mapping[str, Any]) -> None:
            nonlocal last
            if message["type"] in _ENDS:
                last = message
                into.close()  # also what waits for room in it goes on
                return
            with suppress(trio.ClosedResourceError):
                await into.send(message)

        self._nursery.start_soon(_handle, app, config, scope, receive, send, None, None)
        return put


class HttpConnection:
    """Serves requests of one client until it goes, idles too long, or `abort` is called."""

    def __init__(self, app: ASGIWrapper, config: Config, context: WorkerContext, stream: trio.SocketStream) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._stream = stream
        self._sending = trio.Lock()
        self._idle = TrioSingleTask()
        self._idling = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._idle_since_s: float | None = trio.current_time()
        self._sending_since_s: float | None = None
        self._protocol: Any = None
        self._gone = False
        self._handed = handed_over(stream)
        for level, name, value in _OPTIONS:
            if hasattr(trio.socket, name):
                with suppress(OSError):  # not on a UNIX socket
                    stream.setsockopt(getattr(trio.socket, level), getattr(trio.socket, name), value)

    async def run(self) -> None:
        """Serve; returns when the connection is closed."""
        try:
            async with _Tasks() as tasks:
                self._tasks = tasks
                self._protocol = H11Protocol(
                    self._app,
                    self._config,
                    self._context,
                    tasks,
                    ConnectionState({} if self._handed is None else self._handed.state()),
                    False,
                    self._name(self._stream.socket.getpeername),
                    self._name(self._stream.socket.getsockname),
                    self._send,
                )
                await self._idle.restart(tasks, self._close_when_idle)
                await self._read()
        finally:
            await self._close()
            if self._handed is not None:
                self._handed.close()

    def abort(self) -> None:
        """Close at once, whatever is being read or written."""
        self._stream.socket.close()

    def close_if_idle(self, for_s: float) -> None:
        """Close it if nothing was asked for that long."""
        if self._idle_since_s is not None and trio.current_time() - self._idle_since_s >= for_s:
            self._idling.cancel()

    def abort_if_unread(self, for_s: float) -> None:
        """Close it if its client has not taken a piece of an answer for that long."""
        if self._sending_since_s is not None and trio.current_time() - self._sending_since_s >= for_s:
            self.abort()

    async def _read(self) -> None:
        try:
            with self._reading:
                while data := await self._receive():
                    await self._protocol.handle(RawData(data))
        except (trio.ClosedResourceError, trio.BrokenResourceError, H2CProtocolRequiredError, H2ProtocolAssumedError):
            await self._stream.aclose()
        self._gone = True
        await self._protocol.handle(Closed())
        await self._idle.stop()

    async def _receive(self) -> bytes | bytearray:
        if self._handed is not None:
            return await self._handed.receive(self._stream.socket, READ_BYTES)
        return await self._stream.receive_some(READ_BYTES)

    def _name(self, ask: Callable[[], Any]) -> tuple[str, int] | None:
        """What to call one end of the connection: a UNIX socket's has no number, nor one that was reset before it was
        looked at."""
        with suppress(OSError):
            return ask()[:2] if self._handed is None else None
        return None

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            async with self._sending:
                self._sending_since_s = trio.current_time()
                try:
                    await self._stream.send_all(event.data)
                except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                    await self._ended()  # or is just being closed
                finally:
                    self._sending_since_s = None
        elif isinstance(event, Closed):
            await self._close()
            await self._ended()
        elif isinstance(event, Updated):
            if event.idle and not self._gone:  # an answer that ends after its client left waits for nobody
                self._idle_since_s = trio.current_time()
                await self._idle.restart(self._tasks, self._close_when_idle)
            else:
                self._idle_since_s = None
                await self._idle.stop()

    async def _ended(self) -> None:
        """Nothing more is sent. Nor is anything read: the protocol may wait for an answer to end, before it takes up a
        request that came behind, and would for ever."""
        await self._protocol.handle(Closed())
        self._reading.cancel()

    async def _close_when_idle(self) -> None:
        with trio.move_on_after(self._config.keep_alive_timeout) as self._idling:
            await self._context.terminated.wait()
        with trio.CancelScope(shield=True):  # closing ends the reader, which cancels this task
            await self._protocol.handle(Closed())
            await self._stream.aclose()

    async def _close(self) -> None:
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.BusyResourceError, trio.ClosedResourceError):
            pass  # already gone
        finally:
            await trio.aclose_forcefully(self._stream)
