"""Reading objects as a stream that survives a broken connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from inos.client.calls import Calls, Retries
from inos.client.http import ConnectionLost, Request, Response
from inos.core.errors import BadFrame, BadInput, Conflict


@dataclass(frozen=True, slots=True)
class Content:
    """An object being read: what it is, and its bytes from `start` on. `size` is the whole object's."""

    reference: str
    name: str
    size: int
    tag: str
    mode: int
    modified_ms: int
    start: int
    end: int
    chunks: Any

    @property
    def length(self) -> int:
        """Bytes that `chunks` gives in all."""
        return self.end - self.start


class Contents:
    """Opens objects."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @asynccontextmanager
    async def open(self, target: str, start: int = 0, end: int | None = None) -> AsyncIterator[Content]:
        """Bytes [start, end) of an object. When the connection breaks, reading goes on where it stopped, in the very
        same object; Unavailable when that fails too. Raises NotFound, and BadInput for a range outside the object."""
        if start < 0 or (end is not None and end <= start):
            raise BadInput(f"not a range of bytes: {start} to {end}", hint="the end lies behind the start")
        async with AsyncExitStack() as stack:
            response = await self._respond(stack, target, start, end)
            content = _content(response, start)
            chunks = self._chunks(response, content)
            try:
                yield replace(content, chunks=chunks)
            finally:
                await chunks.aclose()

    async def _respond(self, stack: AsyncExitStack, target: str, start: int, end: int | None) -> Response:
        tries = Retries()
        while True:
            try:
                return await stack.enter_async_context(self._calls.response(_request(target, start, end)))
            except ConnectionLost as error:
                await tries.pause(error)

    async def _chunks(self, response: Response, content: Content) -> AsyncGenerator[bytes, None]:
        at, tries = content.start, Retries()
        reading: Response | None = response
        while True:
            async with AsyncExitStack() as stack:
                try:
                    if reading is None:
                        reading = await self._respond(stack, content.reference, at, content.end)
                        _check_same(reading, content)
                    while (chunk := await reading.next_chunk()) is not None:
                        at, tries = at + len(chunk), Retries()
                        yield chunk
                    return
                except ConnectionLost as error:
                    broken, reading = error, None
            await tries.pause(broken)


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""


def _request(target: str, start: int, end: int | None) -> Request:
    headers = {}
    if start or end is not None:
        headers["range"] = f"bytes={start}-{'' if end is None else end - 1}"
    return Request("GET", "/v1/objects/content", {"target": target}, headers)


def _content(response: Response, start: int) -> Content:
    headers = response.headers
    try:
        length = int(headers["content-length"])
        ranged = headers.get("content-range", "").rpartition("/")[2]
        return Content(
            reference=unquote(headers["x-inos-reference"]),
            name=unquote(headers["x-inos-name"]),
            size=int(ranged) if ranged else length,
            tag=headers["etag"].strip('"'),
            mode=int(headers["x-inos-mode"]),
            modified_ms=int(headers["x-inos-modified-ms"]),
            start=start,
            end=start + length,
            chunks=_nothing(),
        )
    except (KeyError, ValueError):
        raise BadFrame(
            "the node's answer to a read lacks a header", hint="is this client as new as the node?"
        ) from None


def _check_same(response: Response, content: Content) -> None:
    if response.headers.get("etag", "").strip('"') != content.tag:
        raise Conflict(f"{content.name or content.reference} changed while it was read", hint="run it again")
