"""Answers the calls that need no framework, and hands on every other one to FastAPI, which is loaded then.

FastAPI and pydantic take 0.4 s of processor time and 30 MB to load and to describe some fifty calls with. A node that
keeps chunks or messages for others, and most that a test or a demo starts, is never asked for one of those. What is
answered here is answered as the same route would be there: the same endpoint, the same errors, and what is no exact
match, wrong methods too, goes there. FastAPI is loaded away from the event loop: whoever comes first waits for it,
other calls do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inos.api.errors import send_error, unforeseen
from inos.core.env import Env
from inos.core.errors import InosError

_REST: Final = ":path}"


@dataclass(frozen=True, slots=True)
class Raw:
    """A route with an ASGI endpoint. A `path` may end with one parameter: {name} up to a slash, {name:path} to the end.
    GET stands for HEAD too unless it is `exact`."""

    path: str
    endpoint: ASGIApp
    methods: tuple[str, ...]
    exact: bool = False

    @property
    def all_methods(self) -> frozenset[str]:
        """With those that it stands for."""
        return frozenset(self.methods) | ({"HEAD"} if "GET" in self.methods and not self.exact else frozenset())


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

    def __init__(self, routes: Sequence[Raw], make_whole: Callable[[], ASGIApp], env: Env) -> None:
        self._table = _Table()
        for raw in routes:
            self._table.add(raw)
        self._make_whole = make_whole
        self._whole: ASGIApp | None = None
        self._making = anyio.Lock()
        self._env = env

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint, parameters = self._table.find(scope) if scope["type"] == "http" else (None, {})
        if endpoint is None:
            await (self._whole or await self._made())(scope, receive, send)
            return
        scope["path_params"] = parameters
        await self._answer(endpoint, scope, receive, send)

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
        except Exception as error:
            refusal = unforeseen(error, scope["method"], scope["path"], self._env)
            if not started:
                await send_error(send, refusal)
            raise
