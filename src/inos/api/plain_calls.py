"""Calls with JSON answers that a node is asked most, answered without FastAPI where the request is plainly right.

FastAPI describes them (routes.py, message_routes.py) and answers whatever is not: `NotPlain` hands a request on to it,
whole. So nothing is judged here that it would judge otherwise, and no error of a request's form is worded twice.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import Message, Receive, Scope, Send

from inos.api.service import NodeService
from inos.api.streaming import send_start
from inos.core.reports import PeerReport, StatusReport
from inos.objects.reference import ObjectName, parse_sha256

PAGE_MAX: Final = 1000  # about 400 KB of JSON
TEXT_MAX: Final = 8192  # a name, a reference or a ticket with many addresses
LIFETIME_MAX_S: Final = 30 * 24 * 3600  # an invitation forgotten for a month should not open a mesh
LIFETIME_S: Final = 24 * 3600


class NotPlain(Exception):
    """A request that FastAPI has to look at. `read` is what was received of it."""

    def __init__(self, read: Sequence[Message] = ()) -> None:
        super().__init__()
        self.read = read


class Reports:
    """What a node says of itself. FastAPI takes these functions as they are, and a docstring for a description."""

    def __init__(self, service: NodeService) -> None:
        self._service = service

    async def status(self) -> StatusReport:
        return await self._service.status()

    async def peers(self) -> list[PeerReport]:
        return list(await self._service.peers())

    async def health(self) -> dict[str, str]:
        return {"status": "ok"}


def prefix_of(text: str) -> str:
    """The prefix of names that a text stands for, with or without `inos:`. Raises BadInput."""
    rest = text.removeprefix("inos:")
    if not rest.strip("/"):
        return "/"
    return ObjectName.parse(text) + ("/" if rest.endswith("/") else "")


@dataclass(frozen=True, slots=True)
class Text:
    """A field of a query; one without default is needed."""

    default: str | None = None
    least: int = 0

    def plain(self, text: str) -> str:
        """Its value. Raises NotPlain."""
        if not self.least <= len(text) <= TEXT_MAX:
            raise NotPlain
        return text


@dataclass(frozen=True, slots=True)
class Number:
    """A field of a query, from 1 to `most`."""

    default: int
    most: int

    def plain(self, text: str) -> int:
        """Its value. Raises NotPlain."""
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(self.most)) and 1 <= int(text) <= self.most):
            raise NotPlain
        return int(text)


class Answered:
    """A call as raw ASGI: the fields of its `query` are its arguments. It answers as FastAPI does; only
    an integer that is declared as a float stays one."""

    def __init__(self, call: Callable[..., Awaitable[Any]], query: Mapping[str, Text | Number] | None = None) -> None:
        self._call = call
        self._fields = query or {}

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await _send_value(send, await self._call(**self._arguments(scope["query_string"])))

    def _arguments(self, query: bytes) -> dict[str, Any]:
        try:
            given = parse_qsl(
                query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict"
            )
        except ValueError:
            raise NotPlain from None
        if len(dict(given)) != len(given) or not dict(given).keys() <= self._fields.keys():
            raise NotPlain
        found: dict[str, Any] = {name: self._fields[name].plain(text) for name, text in given}
        missing = {name: field.default for name, field in self._fields.items() if name not in found}
        if None in missing.values():
            raise NotPlain
        return found | missing


class Invite:
    """POST /v1/invite"""

    def __init__(self, service: NodeService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        single_use, lifetime_s = _invitation(*await _json_body(scope, receive))
        await _send_value(send, await self._service.invite(single_use, lifetime_s))


def _invitation(body: Any, read: list[Message]) -> tuple[bool, int]:
    asked = {"single_use": False, "lifetime_s": LIFETIME_S}
    if not isinstance(body, dict) or not body.keys() <= asked.keys():
        raise NotPlain(read)
    asked |= body
    single_use, lifetime_s = asked["single_use"], asked["lifetime_s"]
    if type(single_use) is not bool or type(lifetime_s) is not int or not 1 <= lifetime_s <= LIFETIME_MAX_S:
        raise NotPlain(read)
    return single_use, lifetime_s


async def _json_body(scope: Scope, receive: Receive) -> tuple[Any, list[Message]]:
    """The value that the body holds, and the messages it came in. Raises NotPlain."""
    if dict(scope["headers"]).get(b"content-type") != b"application/json":
        raise NotPlain
    read = [await receive()]
    while read[-1].get("more_body"):
        read.append(await receive())
    if read[-1]["type"] != "http.request":
        raise NotPlain(read)
    try:
        return json.loads(b"".join(message.get("body", b"") for message in read)), read
    except ValueError:
        raise NotPlain(read) from None


async def _send_value(send: Send, value: Any) -> None:
    body = json.dumps(value, default=_as_dict, ensure_ascii=False, separators=(",", ":")).encode()
    await send_start(send, 200, {"content-length": str(len(body)), "content-type": "application/json"})
    await send({"type": "http.response.body", "body": body})


def _as_dict(report: Any) -> dict[str, Any]:
    """Not `asdict`, which copies all that is in it: a page of names takes a third of that so."""
    names, values = _fields_of(report.__class__)
    return dict(zip(names, values(report), strict=True))


@functools.cache
def _fields_of(kind: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    names = tuple(field.name for field in fields(kind))
    return names, attrgetter(*names)  # of more than one name: a tuple


def plain_calls(service: NodeService) -> dict[tuple[str, str], Answered | Invite]:
    """All of them, by method and path. `service` is not asked for anything yet."""
    reports = Reports(service)
    page: dict[str, Text | Number] = {"after": Text(""), "limit": Number(PAGE_MAX, PAGE_MAX)}

    async def list_objects(prefix: str, after: str, limit: int) -> Any:
        return await service.list(prefix_of(prefix), after, limit)

    async def find_objects(sha256: str, after: str, limit: int) -> Any:
        return await service.find(parse_sha256(sha256), after, limit)

    async def stat_object(target: str) -> Any:
        return await service.stat(target)

    async def messages_report() -> Any:
        return await service.messages.report()

    return {
        ("GET", "/v1/status"): Answered(reports.status),
        ("GET", "/v1/peers"): Answered(reports.peers),
        ("GET", "/health"): Answered(reports.health),
        ("GET", "/v1/messages/report"): Answered(messages_report),
        ("GET", "/v1/objects"): Answered(list_objects, {"prefix": Text(""), **page}),
        ("GET", "/v1/objects/find"): Answered(find_objects, {"sha256": Text(least=1), **page}),
        ("GET", "/v1/objects/stat"): Answered(stat_object, {"target": Text(least=1)}),
        ("POST", "/v1/invite"): Invite(service),
    }
