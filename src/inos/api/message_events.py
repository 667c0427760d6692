"""What happens on the hub, live, as server-sent events.

    GET /events?after=SEQ       `id:` is a seq; `Last-Event-ID` resumes behind it

A line goes out every KEEP_ALIVE_S even when nothing happens, so that whoever sits between does not hang up and a reader
notices a dead connection. A reader that does not read holds up nobody: the next event is asked for when the last was
taken. A hub that cannot be reached is an error before anything of the stream. Agents share the streams there are, and
the owner has as many besides. All end, with the end of their body, when the node stops; one of somebody who is not let
in any more before the next line of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from inos.api.callers import caller_of, still_admitted
from inos.api.content import query_of
from inos.api.service import Messaging
from inos.api.streaming import Streamed, send_stream, while_there
from inos.core.errors import BadInput, InosError
from inos.core.messages.calls import MessageEvent
from inos.core.messages.shares import Places

# What of a request's scope is an event that is set when the server stops.
CLOSING: Final = "inos.closing"
# A quarter of the connections the server has: so many for all agents, so many for the owner.
MAX_STREAMS: Final = 32
KEEP_ALIVE_S: Final = 15.0
_RETRY_MS: Final = 2_000
_HINT: Final = "close one: a page that shows messages, or a program that follows them"
_SEQ: Final = re.compile(r"[0-9]{1,18}")

_HEADERS: Final = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}


class MessageEvents:
    """GET /events"""

    def __init__(self, service: Messaging) -> None:
        self._service = service
        self._places = Places(MAX_STREAMS, "streams of events are open", hint=_HINT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        after = _after(scope)
        with self._places.held(caller_of(scope).agent):
            await self._serve(after, scope, receive, send)

    async def _serve(self, after: int | None, scope: Scope, receive: Receive, send: Send) -> None:
        closing = scope.get(CLOSING) or anyio.Event()
        events = await while_there(receive, lambda: self._service.messages.events(after))
        into, out = anyio.create_memory_object_stream[MessageEvent](0)
        async with out, anyio.create_task_group() as tasks:
            tasks.start_soon(_feed, events, into)
            tasks.start_soon(_end_with_the_node, closing, out)
            async with aclosing(_lines(out, partial(still_admitted, scope))) as lines:
                await send_stream(Streamed(200, _HEADERS, lines), receive, send)
            tasks.cancel_scope.cancel()


async def _feed(events: AsyncGenerator[MessageEvent, None], into: MemoryObjectSendStream[MessageEvent]) -> None:
    """Cancelled by whoever reads; ends when the events do."""
    async with into, aclosing(events):
        try:
            async for event in events:
                await into.send(event)
        except InosError:
            return  # whoever reads comes again, and is told why then
        except anyio.BrokenResourceError:  # the reading side was closed
            return


async def _end_with_the_node(closing: anyio.Event, out: MemoryObjectReceiveStream[MessageEvent]) -> None:
    await closing.wait()
    out.close()


async def _lines(
    out: MemoryObjectReceiveStream[MessageEvent], admitted: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes, None]:
    yield f"retry: {_RETRY_MS}\n\n".encode()
    while True:
        event: MessageEvent | None = None
        try:
            with anyio.move_on_after(KEEP_ALIVE_S):
                event = await out.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return
        if not await admitted():
            return
        yield b": still here\n\n" if event is None else encode_event(event)


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
