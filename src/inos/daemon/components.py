"""The components of a node's process: their supervisor and the desk that answers for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from inos.api.service import Download
from inos.components.desk import ComponentDesk
from inos.components.launch import Surroundings
from inos.components.shelf import Shelf
from inos.components.supervisor import LOOK_EVERY_S, WORKER, Supervisor
from inos.core.endpoint import Endpoint
from inos.core.env import Env
from inos.core.worker import Worker, WorkerSet
from inos.node.disk import Disk

if TYPE_CHECKING:
    from trio_typing import TaskStatus

OpenObject = Callable[[str], Awaitable[Download]]


@dataclass(frozen=True, slots=True)
class RunningComponents:
    """Components being kept."""

    desk: ComponentDesk
    supervisor: Supervisor

    def watched_by(self, workers: WorkerSet) -> None:
        """Show how they are among the workers of a node."""
        made: list[Worker] = []

        async def step() -> None:
            await self.supervisor.step(made[0].status.detail)

        made.append(workers.add(WORKER, step, interval_s=LOOK_EVERY_S))


async def run_components(
    disk: Disk,
    open_object: OpenObject,
    api: Endpoint,
    env: Env,
    task_status: TaskStatus[RunningComponents] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep the components of `disk` until cancelled; `api` is where they reach the node. Packages that are objects are
    opened by `open_object`."""

    async def fetch(target: str) -> tuple[str, AsyncGenerator[bytes, None]]:
        download = await open_object(target)
        return download.reference, download.chunks

    shelf = Shelf(disk.root, env)
    supervisor = Supervisor(disk.rows, Surroundings(shelf, api), env)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        task_status.started(RunningComponents(ComponentDesk(disk.rows, shelf, supervisor, fetch, env), supervisor))
