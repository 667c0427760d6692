"""HTTP/1.1 to the node on this machine: h11 for the bytes, anyio for the sockets, and nothing heavier.

A command must start in a blink, and importing httpx alone takes as long as a whole command may.

Rules: connections are kept and reused; nothing is retried here except a request without side effects whose kept
connection turned out to be closed; an error answer becomes the InosError it carries; the answer to a refused upload is
read while the upload is still going; nothing waits for a node that shows no life (patience.py).
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import anyio
import h11
from anyio.abc import SocketStream, UNIXSocketStream

from inos.client.patience import Patience, Tell
from inos.client.tasks import first_error
from inos.core.endpoint import SOCKET_FILE, Endpoint
from inos.core.errors import BadFrame, BadInput, Busy, InosError, Unavailable, from_wire

Body = bytes | AsyncIterable[bytes]

RECEIVE_BYTES: Final = 256 * 1024
IDLE_MAX: Final = 16  # as many as ever run at once (tree.py)
IDLE_USABLE_S: Final = 30.0  # half of what the server keeps an idle connection
JSON_MAX_BYTES: Final = 16 * 1024 * 1024  # a page of 1,000 long names has some 6 MB
_PAUSE: Final = re.compile(r"[0-9]{1,5}")  # seconds; INOS gives no dates
_SAFE: Final = frozenset({"GET", "HEAD"})


class ConnectionLost(Exception):
    """The node closed the connection, or died, in the middle; becomes Unavailable outside the client."""


class NoHandover(Exception):
    """The node takes no open files: send the bytes."""


class Unreachable(Exception):
    """Nobody took the connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `length` None with an iterable body: sent chunked. `descriptor`: an open file that goes along."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    body: Body | None = None
    length: int | None = None
    descriptor: int | None = None

    def target(self) -> str:
        """Path and query as they are sent."""
        try:
            return f"{self.path}?{urlencode(self.query)}" if self.query else self.path
        except UnicodeEncodeError as error:
            raise not_text(error.object) from None


class Response:
    """A response whose head is here and whose body is still to be read."""

    def __init__(self, head: h11.Response, connection: _Connection) -> None:
        self.status = head.status_code
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        self._connection = connection

    async def next_chunk(self) -> bytes | None:
        """The next piece of the body; None at its end. Raises ConnectionLost when it ends early."""
        event = await self._connection.next_event()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def read(self, limit: int = JSON_MAX_BYTES) -> bytes:
        """The whole body, at most `limit` bytes."""
        parts: list[bytes] = []
        while (chunk := await self.next_chunk()) is not None:
            parts.append(chunk)
            limit -= len(chunk)
            if limit < 0:
                raise BadFrame("the node's answer is longer than any it should give")
        return b"".join(parts)

    async def json(self) -> Any:
        """The body as a JSON value."""
        try:
            return json.loads(await self.read())
        except (ValueError, RecursionError):
            raise BadFrame("the node's answer is not JSON", hint="is another program listening on its port?") from None

    async def raise_error(self) -> None:
        """Raise the error this response reports, if it does."""
        if self.status < 400:
            return
        value = await self.json()
        fields = value.get("error") if isinstance(value, dict) else None
        if not isinstance(fields, dict):
            raise InosError(f"the node answered {self.status}")
        error = from_wire(str(fields.get("code")), str(fields.get("message")), str(fields.get("hint", "")))
        if isinstance(error, Busy) and _PAUSE.fullmatch(pause := self.headers.get("retry-after", "")):
            error.retry_after_s = float(pause)
        raise error


class HttpClient:
    """Requests to one endpoint. `home` and `tell` are as in Patience."""

    def __init__(self, endpoint: Endpoint, home: Path | None = None, tell: Tell | None = None) -> None:
        url = urlsplit(endpoint.url)
        if url.scheme != "http" or not url.hostname:
            raise BadInput(
                f"not the address of a node's API: {endpoint.url!r}", hint="it looks like http://127.0.0.1:4711"
            )
        self._host, self._port = url.hostname, url.port or 80
        self._headers = [("host", url.netloc.rpartition("@")[2]), ("authorization", f"Bearer {endpoint.token}")]
        self._idle: list[_Connection] = []
        self._patience = Patience(endpoint.url, home, tell, self._ask_for_life)
        self._socket = home / SOCKET_FILE if home is not None and hasattr(socket, "AF_UNIX") else None

    async def aclose(self) -> None:
        """Close the kept connections."""
        while self._idle:
            await self._idle.pop().aclose()

    @asynccontextmanager
    async def request(self, request: Request) -> AsyncIterator[Response]:
        """Send a request and give its response. Raises Unreachable, ConnectionLost, or the error answered."""
        connection, head = await self._exchange(request)
        whole = False
        try:
            response = Response(head, connection)
            await response.raise_error()
            yield response
            whole = True
        finally:
            await self._give_back(connection, whole)

    async def _exchange(self, request: Request) -> tuple[_Connection, h11.Response]:
        if request.descriptor is not None:
            local = _Connection(await self._connect_locally(), self._patience)
            return local, await self._try(local, request)
        kept = await self._take_idle()
        if kept is not None:
            try:
                return kept, await self._try(kept, request)
            except ConnectionLost:
                if request.method not in _SAFE:
                    raise
        fresh = _Connection(await self._connect(), self._patience)
        return fresh, await self._try(fresh, request)

    async def _try(self, connection: _Connection, request: Request) -> h11.Response:
        try:
            return await connection.exchange(request, self._headers)
        except BaseException:
            await connection.aclose()
            raise

    async def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if anyio.current_time() - connection.idle_since_s < IDLE_USABLE_S:
                return connection
            await connection.aclose()
        return None

    async def _connect(self) -> SocketStream:
        made: list[SocketStream] = []

        async def connect() -> None:
            made.append(await anyio.connect_tcp(self._host, self._port))

        try:
            await self._patience.of(connect, lambda: False)
        except BaseException as error:
            for stream in made:  # cancelled a moment after
                await anyio.aclose_forcefully(stream)
            if isinstance(error, OSError):
                raise Unreachable(str(error)) from None
            raise
        return made[0]

    async def _connect_locally(self) -> UNIXSocketStream:
        if self._socket is None:
            raise NoHandover
        try:
            return await anyio.connect_unix(self._socket)
        except OSError:
            raise NoHandover from None

    def saw_life(self) -> None:
        """The node was seen at work, by other signs than its answers."""
        self._patience.saw_life()

    async def _ask_for_life(self) -> None:
        async with await anyio.connect_tcp(self._host, self._port) as stream:
            try:
                await stream.send(f"GET /health HTTP/1.1\r\nhost: {self._headers[0][1]}\r\n\r\n".encode())
                await stream.receive(1)
            except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
                raise ConnectionError(str(error)) from None

    async def _give_back(self, connection: _Connection, whole: bool) -> None:
        if whole and not connection.is_local and connection.recycle() and len(self._idle) < IDLE_MAX:
            self._idle.append(connection)
        else:
            await connection.aclose()


class _Connection:
    """One connection; one request at a time."""

    def __init__(self, stream: SocketStream | UNIXSocketStream, patience: Patience) -> None:
        self._stream = stream
        self._patience = patience
        self._http = h11.Connection(h11.CLIENT)
        self.idle_since_s = 0.0

    @property
    def is_local(self) -> bool:
        return isinstance(self._stream, UNIXSocketStream)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)

    def recycle(self) -> bool:
        """Whether it can take another request."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self.idle_since_s = anyio.current_time()
        return True

    async def exchange(self, request: Request, headers: list[tuple[str, str]]) -> h11.Response:
        """Send the request; returns the head of the response."""
        event = _request_event(request, headers)
        body = request.body
        if isinstance(body, bytes) or body is None:
            events = [event, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
            data = b"".join(self._http.send(each) or b"" for each in events)
            await self._patience.of(partial(self._send, data, request.descriptor), self._owes_an_answer)
            return await self._head()
        await self._send(self._http.send(event) or b"")
        try:
            return await self._exchange_stream(body)
        except BaseExceptionGroup as group:
            raise first_error(group) from None

    async def _exchange_stream(self, body: AsyncIterable[bytes]) -> h11.Response:
        # An answer may come long before the end of the body (disk full, wrong token): listen while sending.
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send_body, body)
            head = await self._head()
            tasks.cancel_scope.cancel()
        return head

    async def _send_body(self, body: AsyncIterable[bytes]) -> None:
        try:
            async for chunk in body:
                await self._send_parts(h11.Data(data=chunk))
            await self._send_parts(h11.EndOfMessage())
        except ConnectionLost:
            return  # what the node said before it closed is what the caller must know, and the listener reads it

    async def _send_parts(self, event: h11.Data | h11.EndOfMessage) -> None:
        for part in self._http.send_with_data_passthrough(event) or ():
            await self._send(part)

    async def _send(self, data: bytes, descriptor: int | None = None) -> None:
        try:
            if isinstance(self._stream, UNIXSocketStream) and descriptor is not None:
                await self._stream.send_fds(data, [descriptor])
            else:
                await self._stream.send(data)
            self._patience.saw_life()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise ConnectionLost("the node closed the connection") from None

    async def _head(self) -> h11.Response:
        while True:
            event = await self.next_event()
            if isinstance(event, h11.Response):
                return event

    async def next_event(self) -> Any:
        """The next h11 event. Raises ConnectionLost when the node went away before the end."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise ConnectionLost(str(error)) from None
            if event is not h11.NEED_DATA:
                if isinstance(event, h11.ConnectionClosed):
                    raise ConnectionLost("the node closed the connection")
                return event
            try:
                self._http.receive_data(await self._receive())
            except anyio.EndOfStream:
                self._http.receive_data(b"")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                raise ConnectionLost("the connection to the node broke") from None

    def _owes_an_answer(self) -> bool:
        return self._http.our_state is h11.DONE  # the whole request is sent

    async def _receive(self) -> bytes:
        return await self._patience.of_piece(self._take, self._owes_an_answer)

    async def _take(self) -> bytes:
        data = await self._stream.receive(RECEIVE_BYTES)
        self._patience.saw_life()
        return data


def _request_event(request: Request, common: list[tuple[str, str]]) -> h11.Request:
    headers = [*common, *(request.headers or {}).items()]
    if isinstance(request.body, bytes):
        headers.append(("content-length", str(len(request.body))))
    elif request.body is not None:
        length = request.length
        headers.append(("transfer-encoding", "chunked") if length is None else ("content-length", str(length)))
    return h11.Request(method=request.method, target=request.target(), headers=headers)


def not_text(name: str) -> BadInput:
    """The error for a file name that is bytes but no text."""
    hint = "names are kept as UTF-8: rename it, or store it under another with --name"
    return BadInput(f"the name {name!r} is not UTF-8", hint=hint)


def lost(error: ConnectionLost) -> Unavailable:
    """What a user is told about a connection that broke for good."""
    return Unavailable(f"the connection to the node was lost: {error}", hint="see whether it still runs: inos status")
