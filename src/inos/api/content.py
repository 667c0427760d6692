"""Object bytes in and out over HTTP, as raw ASGI: the only hot paths, and never a whole body in memory.

    PUT  /v1/objects?name=&mode=&modified_ms=&require=      one object, streamed (Content-Length may be absent)
    POST /v1/objects:batch?require=                         many small files (core/batch.py)
    GET, HEAD /v1/objects/content?target=                   an object or one range of it

Backpressure goes both ways: the server reads from the socket only as the service takes, and the service is asked for
the next bytes only when the socket took the last.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final
from urllib.parse import parse_qs, quote

import anyio
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from inos.api.errors import send_error
from inos.api.gate import limit_body
from inos.api.ranges import ByteRange, parse_range
from inos.api.service import Download, Reading, Storing
from inos.api.streaming import Streamed, send_start, send_stream
from inos.core.batch import BATCH_BODY_MAX, decode_batch
from inos.core.errors import BadInput, InosError, Unavailable
from inos.core.file_times import check_modified_ms
from inos.core.reports import PutOptions, to_dict
from inos.objects.reference import ObjectName

# An error is answered while the client still sends; closing at once would reset the connection and lose the answer.
LINGER_S: Final = 2.0
LINGER_BYTES: Final = 64 * 1024 * 1024
_MODE_MAX: Final = 0o7777


class PutObject:
    """PUT /v1/objects"""

    def __init__(self, service: Storing) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(request_body(receive)) as body:
                report = await self._service.put(body, put_options(scope))
        except InosError as error:
            await refuse_and_linger(receive, send, error)
            return
        await send_json(send, to_dict(report))


class PutBatch:
    """POST /v1/objects:batch"""

    def __init__(self, service: Storing) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(request_body(limit_body(receive, BATCH_BODY_MAX))) as parts:
                body = b"".join([part async for part in parts])
            items = decode_batch(body)
            reports = await self._service.put_batch(items, query_of(scope).get("require", ""))
        except InosError as error:
            await refuse_and_linger(receive, send, error)
            return
        await send_json(send, {"reports": [to_dict(report) for report in reports]})


class GetContent:
    """GET and HEAD /v1/objects/content"""

    def __init__(self, service: Reading) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = query_of(scope).get("target", "")
        if not target:
            raise BadInput("target is missing", hint="give ?target= a reference or a name")
        headers = Headers(scope=scope)
        if scope["method"] == "HEAD":
            probe = await self._probe(target)
            await send_start(send, 200, content_headers(probe, probe.size))
            await send({"type": "http.response.body", "body": b""})
            return
        asked = parse_range(headers.get("range"))
        if asked is not None and (asked.first is None or "if-range" in headers):
            asked = await self._settle(target, asked, headers.get("if-range"))
        await self._send(target, asked, receive, send)

    async def _send(self, target: str, asked: ByteRange | None, receive: Receive, send: Send) -> None:
        first, last = (asked.first or 0, asked.last) if asked else (0, None)
        download = await self._service.open(target, first, None if last is None else last + 1)
        async with aclosing(download.chunks):
            span = asked.resolve(download.size) if asked else (0, download.size)
            if span is None:
                await _refuse_range(send, download.size)
                return
            extra = content_headers(download, span[1] - span[0])
            if asked:
                extra["content-range"] = f"bytes {span[0]}-{span[1] - 1}/{download.size}"
            answer = Streamed(206 if asked else 200, extra, download.chunks, span[1] - span[0])
            await send_stream(answer, receive, send)

    async def _probe(self, target: str) -> Download:
        download = await self._service.open(target, 0, 0)
        await download.chunks.aclose()
        return download

    async def _settle(self, target: str, asked: ByteRange, if_range: str | None) -> ByteRange | None:
        probe = await self._probe(target)
        if if_range is not None and if_range != etag(probe):
            return None
        span = asked.resolve(probe.size)
        return ByteRange(span[0], span[1] - 1) if span else ByteRange(probe.size, None)


def put_options(scope: Scope) -> PutOptions:
    """The options of an upload, from its query and headers. Raises BadInput."""
    query = query_of(scope)
    length = Headers(scope=scope).get("content-length")
    name = query.get("name")
    mode = integer(query, "mode", 0o644)
    if not 0 <= mode <= _MODE_MAX:
        raise BadInput(f"mode {mode} is not a file mode", hint="give the permission bits as a decimal number")
    return PutOptions(
        name=None if name is None else ObjectName.parse(name),
        size=None if length is None else int(length),
        mode=mode,
        modified_ms=check_modified_ms(integer(query, "modified_ms", 0)),
        require=query.get("require", ""),
    )


def etag(download: Download) -> str:
    """The entity tag of a content: quoted, the same for the same bytes."""
    return f'"{download.content_hash}"'


def content_headers(download: Download, length: int) -> dict[str, str]:
    """Response headers of an object; never rendered by a browser on our origin, whatever is in it."""
    return {
        "content-type": "application/octet-stream",
        "content-disposition": "attachment",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "accept-ranges": "bytes",
        "content-length": str(length),
        "etag": etag(download),
        "x-inos-reference": quote(download.reference, safe=":#"),
        "x-inos-name": quote(download.name),
        "x-inos-mode": str(download.mode),
        "x-inos-modified-ms": str(download.modified_ms),
    }


def query_of(scope: Scope) -> dict[str, str]:
    """The query's fields, each once. Raises BadInput."""
    try:
        text = scope["query_string"].decode("ascii")
        parsed = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=16)
    except (UnicodeDecodeError, ValueError):
        raise BadInput("the query string is not percent-encoded UTF-8") from None
    return {key: values[-1] for key, values in parsed.items()}


def integer(query: Mapping[str, str], key: str, default: int) -> int:
    """A number of the query. Raises BadInput."""
    text = query.get(key, str(default))
    try:
        return int(text) if len(text) < 20 else int("too long")
    except ValueError:
        raise BadInput(f"{key} is not a number: {text[:50]!r}") from None


async def request_body(receive: Receive) -> AsyncGenerator[bytes, None]:
    """The body of a request as it comes. Raises Unavailable when the client goes away before its end."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unavailable("the client went away before the end of the upload")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def refuse_and_linger(receive: Receive, send: Send, error: InosError) -> None:
    """Answer with an error, and take what the client still sends, so that it gets to read the answer."""
    await send_error(send, error, more_body=True)
    drained = 0
    with anyio.move_on_after(LINGER_S):
        while drained < LINGER_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
            drained += len(message.get("body", b""))
    await send({"type": "http.response.body", "body": b""})


async def _refuse_range(send: Send, size: int) -> None:
    body = json.dumps(
        {
            "error": {
                "code": "bad_input",
                "message": f"the range is outside the {size} bytes",
                "hint": "",
                "retryable": False,
            }
        }
    ).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "content-range": f"bytes */{size}",
    }
    await send_start(send, 416, headers)
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, value: object) -> None:
    """A JSON value as a whole response."""
    await send_encoded(send, json.dumps(value).encode())


async def send_encoded(send: Send, body: bytes) -> None:
    """JSON as a whole response."""
    await send_start(send, 200, {"content-type": "application/json", "content-length": str(len(body))})
    await send({"type": "http.response.body", "body": body})
