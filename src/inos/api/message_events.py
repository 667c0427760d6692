"""What happens on the hub, live, as server-sent events.

    GET /events?after=SEQ       `id:` is a seq; `Last-Event-ID` resumes behind it

A line goes out every KEEP_ALIVE_S even when nothing happens, so that whoever sits between does not hang up and a reader
notices a dead connection. A reader that does not read holds up nobody: the next event is asked for when the last was
taken. All streams end, with the end of their body, when the node stops.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from inos.api.content import query_of
from inos.api.service import Messaging
from inos.api.streaming import Streamed, send_stream
from inos.core.errors import BadInput, Busy, InosError
from inos.core.messages.calls import MessageEvent

# What of a request's scope is an event that is set when the server stops.
CLOSING: Final = "inos.closing"
# A quarter of the connections the server has.
MAX_STREAMS: Final = 32
KEEP_ALIVE_S: Final = 15.0
# How long an error has to come as the answer's status; after that it ends the stream.
_OPENING_S: Final = 0.1
_RETRY_MS: Final = 2_000
_SEQ: Final = re.compile(r"[0-9]{1,18}")

_Item = MessageEvent | InosError
_HEADERS: Final = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}


class MessageEvents:
    """GET /events"""

    def __init__(self, service: Messaging) -> None:
        self._service = service
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        after = _after(scope)
        if self._open >= MAX_STREAMS:
            raise Busy(f"{MAX_STREAMS} streams of events are open", hint="close a page that shows messages")
        self._open += 1
        try:
            await self._serve(after, scope.get(CLOSING) or anyio.Event(), receive, send)
        finally:
            self._open -= 1

    async def _serve(self, after: int | None, closing: anyio.Event, receive: Receive, send: Send) -> None:
        into, out = anyio.create_memory_object_stream[_Item](0)
        failure: InosError | None = None
        async with out, anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed, after, into)
            tasks.start_soon(_end_with_the_node, closing, out)
            first: _Item | None = None
            with anyio.move_on_after(_OPENING_S), _ends_quietly():
                first = await out.receive()
            if isinstance(first, InosError):
                failure = first
            else:
                await send_stream(Streamed(200, _HEADERS, _lines(first, out)), receive, send)
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _feed(self, after: int | None, into: MemoryObjectSendStream[_Item]) -> None:
        """Cancelled by whoever reads; ends when the events do."""
        async with into:
            try:
                async with aclosing(self._service.messages.events(after)) as events:
                    async for event in events:
                        await into.send(event)
            except InosError as error:
                await into.send(error)
            except anyio.BrokenResourceError:  # the reading side was closed
                return


async def _end_with_the_node(closing: anyio.Event, out: MemoryObjectReceiveStream[_Item]) -> None:
    await closing.wait()
    out.close()


class _ends_quietly:  # noqa: N801 - reads as a statement
    """The end of a stream is no error here."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, anyio.EndOfStream | anyio.ClosedResourceError)


async def _lines(first: _Item | None, out: MemoryObjectReceiveStream[_Item]) -> AsyncIterator[bytes]:
    yield f"retry: {_RETRY_MS}\n\n".encode()
    if isinstance(first, MessageEvent):
        yield encode_event(first)
    while True:
        item: _Item | None = None
        try:
            with anyio.move_on_after(KEEP_ALIVE_S):
                item = await out.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return
        if isinstance(item, InosError):
            return  # whoever reads comes again, and is told why then
        yield b": still here\n\n" if item is None else encode_event(item)


def encode_event(event: MessageEvent) -> bytes:
    """One event as it is sent. JSON has no line ends of its own."""
    return f"id: {event.seq}\nevent: {event.kind}\ndata: {json.dumps(event.to_json())}\n\n".encode()


def _after(scope: Scope) -> int | None:
    text = Headers(scope=scope).get("last-event-id") or query_of(scope).get("after", "")
    if not text:
        return None
    if not _SEQ.fullmatch(text):
        raise BadInput("after is not the seq of an event", hint="take it from the id of the last event")
    return int(text)
