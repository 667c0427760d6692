"""A node's components without its network: a real database, a real shelf, real processes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from component_packages import packed

from inos.components.desk import ComponentDesk
from inos.components.launch import Surroundings
from inos.components.shelf import Shelf
from inos.components.supervisor import Supervisor
from inos.core.components import ComponentReport
from inos.core.endpoint import Endpoint
from inos.core.env import RealEnv
from inos.core.errors import NotFound
from inos.store.database import Database
from inos.store.repositories import Repositories

API = Endpoint("http://127.0.0.1:1", "the-token-of-the-node")


@dataclass
class Bench:
    """A desk that runs; `objects` are what it finds by reference."""

    desk: ComponentDesk
    supervisor: Supervisor
    shelf: Shelf
    rows: Repositories
    root: Path
    objects: dict[str, bytes]

    async def install(self, files: dict[str, str], *granted: str) -> ComponentReport:
        """Install a package of these files."""
        return await self.desk.install(parts(packed(files)), granted)

    async def until(self, component_id: str, holds: Callable[[ComponentReport], bool]) -> ComponentReport:
        """Wait until a component is so."""
        while not holds(report := await self.desk.get(component_id)):
            await trio.sleep(0.02)
        return report

    async def said(self, component_id: str) -> str:
        """All of its log."""
        return (await self.desk.log(component_id, "", 1 << 18)).text


async def parts(data: bytes) -> AsyncIterator[bytes]:
    """As an upload comes."""
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]


OpenBench = Callable[[], AbstractAsyncContextManager[Bench]]


@asynccontextmanager
async def opened_bench(root: Path) -> AsyncGenerator[Bench, None]:
    """A node's components on the data root `root`."""
    env = RealEnv()
    database = Database(root / "inos.db", bytes(32), env)
    rows, shelf = Repositories(database), Shelf(root, env)
    supervisor = Supervisor(rows, Surroundings(shelf, API), env)
    objects: dict[str, bytes] = {}

    async def content(target: str) -> AsyncGenerator[bytes, None]:
        async for part in parts(objects[target]):
            yield part

    async def fetch(target: str) -> tuple[str, AsyncGenerator[bytes, None]]:
        if target not in objects:
            raise NotFound(f"no {target}")
        return target, content(target)

    desk = ComponentDesk(rows, shelf, supervisor, fetch, env)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            yield Bench(desk, supervisor, shelf, rows, root, objects)
            nursery.cancel_scope.cancel()
    finally:
        database.close()
