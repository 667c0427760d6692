"""What every request passes first, and the limits it is held to.

Order: kind of connection, target length, Host (a page on a name that resolves to loopback must not reach us), Origin
(no page of another site), then who sent it: the node's token, which opens everything; an agent's token or the cookie of
a signed-in page, which open calls on messages only (callers.py). /health, /docs, /openapi.json, the files of front ends
and of the inbox carry no data and need none. Bodies are read through `limit_body`, which stops one that is over its
limit whether or not it announced its length, or does not come. Whatever agents hold open, a share of the connections
stays the owner's.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inos.api.callers import caller_of, scope_for, set_caller, set_recheck
from inos.api.errors import send_error
from inos.api.inbox_page import INBOX_PATH
from inos.api.service import TokenKeeping
from inos.api.sessions import Sessions
from inos.core.components import APPS_PATH
from inos.core.errors import BadInput, Busy, InosError, Refused, TooLarge, Unauthorised, Unavailable
from inos.core.messages.access import Caller
from inos.core.messages.shares import Room

OPEN_PATHS: Final = frozenset({"/health", "/docs", "/openapi.json", INBOX_PATH})
# The inbox's files; where a code is exchanged for a session, and where one ends.
_INBOX: Final = (INBOX_PATH + "/assets/", INBOX_PATH + "/session")
# A 4,096-byte name takes three times that when every byte is percent-encoded; the rest are small numbers.
TARGET_MAX_BYTES: Final = 14 * 1024
HEADERS_MAX: Final = 64  # browsers send about 20
JSON_BODY_MAX: Final = 1024 * 1024
# From the request on. As long as a client has for the head; the largest of these bodies takes a modem as long.
BODY_S: Final = 60.0
# Of the 128 connections that the server has, for all agents together: whatever they hold open, by streams, uploads or
# bodies that do not come, the owner finds one of the rest.
MAX_OF_AGENTS: Final = 96
# They have limits of their own.
STREAMED_BODIES: Final = frozenset(
    {
        ("PUT", "/v1/objects"),
        ("POST", "/v1/objects:batch"),
        ("PUT", "/v1/components"),
        ("POST", "/sync/message"),
        ("POST", "/sync/messages"),
        ("POST", "/sync/files"),
    }
)


class Gate:
    """ASGI middleware in front of everything. `host` is what the server was asked to listen on."""

    def __init__(self, app: ASGIApp, *, token: str, host: str, tokens: TokenKeeping, sessions: Sessions) -> None:
        self._app = app
        self._token = token.encode()
        self._host = host.lower()
        self._tokens = tokens
        self._sessions = sessions
        self._agents = Room(MAX_OF_AGENTS, "requests of agents are open", hint="end one first, or send it again later")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            try:
                headers = dict(scope["headers"])
                set_caller(scope, await self._admitted(scope, headers, self._sessions.use))
                set_recheck(scope, partial(self._admitted, scope, headers, self._sessions.has))
            except InosError as error:
                refusal = error
        if refusal is not None:
            await send_error(send, refusal)
            return
        if (scope["method"], scope["path"]) not in STREAMED_BODIES:
            receive = limit_body(receive, JSON_BODY_MAX, BODY_S)
        await self._handed_on(caller_of(scope).agent, scope, receive, send)

    async def _handed_on(self, agent: str, scope: Scope, receive: Receive, send: Send) -> None:
        if not agent:
            await self._app(scope, receive, send)
            return
        try:
            self._agents.take(agent)
        except Busy as error:
            await send_error(send, error)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._agents.give(agent)

    def _refusal(self, scope: Scope) -> InosError | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if len(scope["raw_path"]) + len(scope["query_string"]) > TARGET_MAX_BYTES:
            return TooLarge(f"the request target is over {TARGET_MAX_BYTES} bytes")
        if len(scope["headers"]) > HEADERS_MAX:
            return TooLarge(f"more than {HEADERS_MAX} request headers")
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._host_allowed(host) or sum(name == b"host" for name, _ in scope["headers"]) != 1:
            return Refused(f"wrong Host header {host[:100]!r}", hint="use the node's address as a number, or localhost")
        if not _same_origin(headers, host):
            return Refused("requests from another site's page are refused", hint="call the API from a program")
        return _length_refusal(headers, scope)

    def _host_allowed(self, host: str) -> bool:
        # DNS rebinding needs a name: an address written as a number cannot be rebound.
        name = _without_port(host.lower())
        if name in {"localhost", self._host}:
            return bool(name)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _admitted(
        self, scope: Scope, headers: Mapping[bytes, bytes], in_session: Callable[[str], bool]
    ) -> Caller:
        """Who sent it. Raises Unauthorised, and Refused for a call that is not open to whoever that is."""
        given = _bearer(headers)
        if _is_open(scope["path"]) or hmac.compare_digest(given, self._token):
            return Caller()
        needed = scope_for(scope["method"], scope["path"])
        if not given and in_session(headers.get(b"cookie", b"").decode("latin-1")):
            if needed is None:
                raise Refused("the inbox may use messages only", hint="use the node's own token")
            # A browser says where a request that changes something comes from. A cookie alone proves nothing.
            if scope["method"] not in {"GET", "HEAD"} and b"origin" not in headers:
                raise Refused("no Origin header came with the session", hint="send the node's own token instead")
            return Caller()
        token = await self._tokens.message_tokens.of(given.decode("latin-1")) if given else None
        if token is None:
            raise Unauthorised(
                "missing or wrong bearer token",
                hint="send 'Authorization: Bearer …' with the token of api.json in the data root",
            )
        if needed is None or needed not in token.scopes:
            what = "calls on messages" if needed is None else ", ".join(token.scopes)
            raise Refused(f"this token opens {what} only", hint="make one that may: inos msg token")
        return Caller(token.agent, frozenset(token.scopes))


def _bearer(headers: Mapping[bytes, bytes]) -> bytes:
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    return given.strip() if scheme.lower() == b"bearer" else b""


def _is_open(path: str) -> bool:
    # A browser that opens a front end has no token to send; its files are programs, not data.
    return path in OPEN_PATHS or path.startswith((APPS_PATH, *_INBOX))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _same_origin(headers: Mapping[bytes, bytes], host: str) -> bool:
    if headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}:
        return False
    origin = headers.get(b"origin")
    return origin is None or origin.decode("latin-1").lower() == f"http://{host.lower()}"


def _length_refusal(headers: Mapping[bytes, bytes], scope: Scope) -> InosError | None:
    text = headers.get(b"content-length", b"0")
    if not text.isdigit():
        return BadInput("Content-Length is not a number")
    if (scope["method"], scope["path"]) not in STREAMED_BODIES and int(text) > JSON_BODY_MAX:
        return TooLarge(f"the body of this request may have {JSON_BODY_MAX} bytes, it announces {int(text)}")
    return None


def limit_body(receive: Receive, limit: int, within_s: float = math.inf) -> Receive:
    """`receive`, raising TooLarge once the body has given more than `limit` bytes, and Unavailable when it is not whole
    `within_s` seconds from now."""
    taken, whole = 0, False
    until_s = anyio.current_time() + within_s

    async def limited() -> Message:
        nonlocal taken, whole
        with anyio.CancelScope(deadline=math.inf if whole else until_s) as waiting:
            message = await receive()
        if waiting.cancelled_caught:
            raise Unavailable(f"the body of this request was not here within {within_s:g} s", hint="send it at once")
        whole = not message.get("more_body")
        taken += len(message.get("body", b""))
        if taken > limit:
            raise TooLarge(f"the body of this request is over {limit} bytes")
        return message

    return limited
