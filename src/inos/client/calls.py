"""Requests with JSON answers, and how the client deals with a node that is gone or goes away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from inos.client.http import ConnectionLost, HttpClient, Request, Response, Unreachable, lost
from inos.core.endpoint import no_node
from inos.core.errors import InosError, Unavailable
from inos.core.reports import from_dict

R = TypeVar("R")

# Requests without side effects are tried so often; the pauses between add up to about a second and a half, which
# outlasts a restart of the API and is not yet a wait a person would wonder about.
TRIES: Final = 4
FIRST_PAUSE_S: Final = 0.2


class Calls:
    """JSON requests to one node. `home` is the data root the node was found by, if it was; errors name it."""

    def __init__(self, http: HttpClient, url: str, home: Path | None) -> None:
        self._http = http
        self._url = url
        self._home = home

    @asynccontextmanager
    async def response(self, request: Request) -> AsyncIterator[Response]:
        """The response to a request, once. Raises InosErrors, and ConnectionLost when it breaks within the `with`."""
        try:
            async with self._http.request(request) as response:
                yield response
        except Unreachable:
            raise self._unreachable() from None

    def saw_life(self) -> None:
        """The node was seen at work."""
        self._http.saw_life()

    def _unreachable(self) -> InosError:
        if self._home is not None:
            return no_node(self._home)
        return Unavailable(f"nothing answers at {self._url}", hint="check the address, and that the node runs: inos up")

    async def json(self, request: Request) -> Any:
        """The JSON answer; a GET is repeated when the connection breaks."""
        tries = Retries(TRIES if request.method == "GET" else 1)
        while True:
            try:
                async with self.response(request) as response:
                    return await response.json()
            except ConnectionLost as error:
                await tries.pause(error)

    async def report(self, kind: type[R], request: Request) -> R:
        """The answer as a report of `kind`."""
        return from_dict(kind, await self.json(request))

    async def get(self, kind: type[R], path: str, query: Mapping[str, str] | None = None) -> R:
        """GET a report."""
        return await self.report(kind, Request("GET", path, query))

    async def post(self, kind: type[R], path: str, value: Mapping[str, object]) -> R:
        """POST a JSON value; answers a report."""
        return await self.report(kind, json_request("POST", path, value))


class Retries:
    """Counts tries, waits longer before each next one, and gives up with Unavailable."""

    def __init__(self, tries: int = TRIES) -> None:
        self._left = tries
        self._pause_s = FIRST_PAUSE_S

    async def pause(self, error: ConnectionLost) -> None:
        """Wait before the next try. Raises Unavailable when there is none left."""
        self._left -= 1
        if self._left <= 0:
            raise lost(error) from None
        await anyio.sleep(self._pause_s)
        self._pause_s *= 2


def json_request(method: str, path: str, value: Mapping[str, object]) -> Request:
    """A request with a JSON body."""
    return Request(method, path, None, {"content-type": "application/json"}, json.dumps(value).encode())
