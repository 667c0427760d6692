"""Answers the calls that need no framework, and hands on every other one to FastAPI, which is loaded then.

FastAPI and pydantic take 0.4 s of processor time and 30 MB to load and to describe some fifty calls with. A node that
keeps chunks or messages for others, and most that a test or a demo starts, is never asked for one of those. What is
answered here is answered as the same route would be there, errors too; what is no exact match, a wrong method or a
request that is not plainly right goes there. FastAPI is loaded away from the event loop: whoever comes first waits for
it, other calls do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inos.api.errors import send_error, unforeseen
from inos.api.plain_calls import NotPlain
from inos.core.env import Env
from inos.core.errors import InosError

_REST: Final = ":path}"


@dataclass(frozen=True, slots=True)
class Raw:
    """A route with an ASGI endpoint, which is an object, not a function. A `path` may end with one parameter: {name} up
    to a slash, {name:path} to the end. GET stands for HEAD too."""

    path: str
    endpoint: ASGIApp
    methods: tuple[str, ...]

    @property
    def all_methods(self) -> frozenset[str]:
        """With HEAD where it is meant."""
        return frozenset(self.methods) | ({"HEAD"} if "GET" in self.methods else frozenset())


def _again(read: Sequence[Message], receive: Receive) -> Receive:
    """`receive` once more from the start, of which `read` came already."""
    left = deque(read)

    async def again() -> Message:
        return left.popleft() if left else await receive()

    return again


@dataclass(slots=True)
class _Table:
    """Routes by where they are."""

    whole: dict[tuple[str, str], ASGIApp] = field(default_factory=dict)
    # What comes before the parameter, its name, and whether it may hold slashes.
    begun: list[tuple[str, str, bool, Raw]] = field(default_factory=list)

    def add(self, raw: Raw) -> None:
        before, brace, parameter = raw.path.partition("{")
        if brace:
            name = parameter.removesuffix(_REST).removesuffix("}")
            self.begun.append((before, name, parameter.endswith(_REST), raw))
        else:
            self.whole |= {(method, raw.path): raw.endpoint for method in raw.all_methods}

    def find(self, scope: Scope) -> tuple[ASGIApp | None, dict[str, str]]:
        """The endpoint for a request, and what its parameter is."""
        method: str = scope["method"]
        path: str = scope["path"]
        if (endpoint := self.whole.get((method, path))) is not None:
            return endpoint, {}
        for before, name, slashes, raw in self.begun:
            rest = path[len(before) :]
            if path.startswith(before) and (slashes or (rest and "/" not in rest)) and method in raw.all_methods:
                return raw.endpoint, {name: rest}
        return None, {}


class Plain:
    """An ASGI application of `routes`; what is none of them goes to the one that `make_whole` makes when needed."""

    def __init__(
        self,
        routes: Sequence[Raw],
        calls: Mapping[tuple[str, str], ASGIApp],
        make_whole: Callable[[], ASGIApp],
        env: Env,
    ) -> None:
        """`calls` are by method and path; one may raise NotPlain before it answers. They are left to FastAPI once it is
        there: pydantic writes a page of 1,000 names in 2 ms, `json` in 5."""
        self._table = _Table()
        self._calls = calls
        for raw in routes:
            self._table.add(raw)
        self._make_whole = make_whole
        self._whole: ASGIApp | None = None
        self._making = anyio.Lock()
        self._env = env

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint, parameters = self._table.find(scope) if scope["type"] == "http" else (None, {})
        if endpoint is None and scope["type"] == "http" and self._whole is None:
            endpoint = self._calls.get((scope["method"], scope["path"]))
        if endpoint is not None:
            scope["path_params"] = parameters
            try:
                await self._answer(endpoint, scope, receive, send)
                return
            except NotPlain as request:
                receive = _again(request.read, receive)
        await (self._whole or await self._made())(scope, receive, send)

    async def _made(self) -> ASGIApp:
        async with self._making:
            if self._whole is None:
                self._whole = await self._env.in_thread(self._make_whole)
            return self._whole

    async def _answer(self, endpoint: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """As Starlette does: an error before the answer is the answer; any other is logged, and ends the connection."""
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            try:
                await endpoint(scope, receive, noted)
            except InosError as error:
                if started:
                    raise RuntimeError("an error came when the answer had begun") from error
                await send_error(send, error)
        except NotPlain:
            raise
        except Exception as error:
            refusal = unforeseen(error, scope["method"], scope["path"], self._env)
            if not started:
                await send_error(send, refusal)
            raise
