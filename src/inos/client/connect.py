"""Finding the node and opening the client: `inos.connect` and its blocking twin `inos.connect_sync`."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from inos.client.calls import Calls
from inos.client.content import Content
from inos.client.http import HttpClient
from inos.client.mesh import Mesh
from inos.client.patience import Tell
from inos.core.endpoint import Endpoint, data_root, read_endpoint
from inos.core.errors import BadInput

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

Home = str | os.PathLike[str] | None


@asynccontextmanager
async def connect(
    home: Home = None, *, url: str | None = None, token: str | None = None, tell: Tell | None = None
) -> AsyncIterator[Mesh]:
    """The mesh of the node running on the data root `home` ($INOS_HOME, else the platform's data folder), or of the
    node at `url` with its API `token`. Raises NoNode when there is none; one that stopped shows at the first call.

    A call takes as long as the node needs; one that shows no life for 30 s ends it with Unavailable. `tell` is called
    with a text for people when that begins, after 2 s."""
    root = None
    if url is None:
        root = data_root(home)
        endpoint = read_endpoint(root)
    elif token is None:
        raise BadInput("a url needs a token", hint="it is in api.json in the node's data root")
    else:
        endpoint = Endpoint(url.rstrip("/"), token)
    http = HttpClient(endpoint, root, tell)
    try:
        yield Mesh(Calls(http, endpoint.url, root))
    finally:
        await http.aclose()


@contextmanager
def connect_sync(
    home: Home = None, *, url: str | None = None, token: str | None = None, tell: Tell | None = None
) -> Iterator[SyncMesh]:
    """`connect` for programs without async: the same calls, blocking."""
    from anyio.from_thread import start_blocking_portal  # its import costs a third of that of the whole client

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(connect(home, url=url, token=token, tell=tell)) as mesh,
    ):
        yield SyncMesh(mesh, portal)


class SyncMesh:
    """Every call of `Mesh`, blocking: coroutines return their result, streams are iterators, `open` is a `with`."""

    def __init__(self, mesh: Any, portal: BlockingPortal) -> None:
        self._mesh = mesh
        self._portal = portal

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._mesh) if not name.startswith("_")]

    @property
    def db(self) -> Any:
        """The calls of `Mesh.db`, blocking."""
        return SyncMesh(self._mesh.db, self._portal)

    @property
    def keys(self) -> Any:
        """The calls of `Mesh.keys`, blocking."""
        return SyncMesh(self._mesh.keys, self._portal)

    @property
    def components(self) -> Any:
        """The calls of `Mesh.components`, blocking."""
        return SyncMesh(self._mesh.components, self._portal)

    @property
    def messages(self) -> Any:
        """The calls of `Mesh.messages`, blocking."""
        return SyncMesh(self._mesh.messages, self._portal)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._mesh, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._blocking(partial(method, *args, **kwargs))

        call.__name__, call.__doc__ = name, method.__doc__
        return call

    def _blocking(self, call: Callable[[], Any]) -> Any:
        result = self._portal.call(call)
        if isinstance(result, AsyncGenerator):
            return self._iterate(result)
        if isinstance(result, AbstractAsyncContextManager):
            return self._opened(result)
        return result

    def _iterate(self, items: AsyncGenerator[Any, None]) -> Iterator[Any]:
        try:
            while True:
                yield self._portal.call(items.__anext__)
        except StopAsyncIteration:
            return
        finally:
            self._portal.call(items.aclose)

    @contextmanager
    def _opened(self, opening: AbstractAsyncContextManager[Content]) -> Iterator[Content]:
        with self._portal.wrap_async_context_manager(opening) as content:
            yield replace(content, chunks=self._iterate(content.chunks))
