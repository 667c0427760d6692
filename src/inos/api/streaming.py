"""Sending a long response: stops as soon as the client is gone, and never lets a short one look whole."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import anyio
from starlette.types import Receive, Send

from inos.core.errors import InosError, Unavailable

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Streamed:
    """A response whose body comes in pieces. `length` None: sent chunked; else exactly so many bytes are promised."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]
    length: int | None = None


async def send_start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """The head of a response."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def send_stream(answer: Streamed, receive: Receive, send: Send) -> None:
    """Send it. When the source fails midway, or gives another length than promised, the connection is closed short of
    the end, which every HTTP client reports; the next request of the client gets the error itself."""
    async with anyio.create_task_group() as tasks:
        # The server drops what is sent to a closed connection without a word, so someone must listen for it.
        tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope)
        await _send(answer, send)
        tasks.cancel_scope.cancel()


async def while_there(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    """`work()`, cancelled when the client goes; Unavailable then, for nobody to read."""
    done: list[T] = []
    failure: InosError = Unavailable("the client went away")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope)
        try:
            done.append(await work())
        except InosError as error:
            failure = error
        tasks.cancel_scope.cancel()
    if not done:
        raise failure
    return done[0]


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _send(answer: Streamed, send: Send) -> None:
    await send_start(send, answer.status, answer.headers)
    sent = 0
    try:
        async for chunk in answer.chunks:
            sent += len(chunk)
            if answer.length is not None and sent > answer.length:
                break
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except InosError as error:
        log.warning("a download ended after %d bytes: %s", sent, error)
        return
    if answer.length is not None and sent != answer.length:
        log.error("a download promised %d bytes and its source gave %d", answer.length, sent)
        return
    await send({"type": "http.response.body", "body": b""})
