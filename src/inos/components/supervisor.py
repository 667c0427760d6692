"""The supervisor: a keeper for each component that was ever started here, and one look at all of them as a worker.

It lives as long as the process of a node: starting again as a member of another mesh does not touch components.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from inos.components.installed import Installed, installed_of
from inos.components.keeper import Keeper
from inos.components.launch import Surroundings
from inos.core.env import Env
from inos.core.errors import Conflict, InosError
from inos.core.rows.software import ComponentRun
from inos.store.repositories import Repositories

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = logging.getLogger(__name__)

WORKER: Final = "components"
LOOK_EVERY_S: Final = 10.0
# A component that gives heartbeats may need long until the first: whoever asked is answered before, with "starting".
START_ANSWER_S: Final = 10.0
# Most programs that cannot run say so at once: an import that fails, a port that is taken.
FIRST_LOOK_S: Final = 0.5


class Supervisor:
    """Runs components. `run` is its task; everything else is called from the same event loop."""

    def __init__(self, rows: Repositories, around: Surroundings, env: Env) -> None:
        self._rows = rows
        self._around = around
        self._env = env
        self._keepers: dict[str, Keeper] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._ended: dict[str, trio.Event] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start what is wanted, and keep it until cancelled."""
        await self._env.in_thread(self._tidy)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for run in await self._env.in_thread(self._rows.registry.every):
                await self._take_up(run)
            task_status.started()
            await trio.sleep_forever()

    async def step(self, detail: dict[str, int | float | str]) -> None:
        """One look: how many are in each status, and which of them gave up."""
        statuses = Counter(keeper.row.status for keeper in self._keepers.values())
        detail |= {status: statuses[status] for status in ("running", "starting", "crashed", "stopped")}
        await trio.lowlevel.checkpoint()

    def row(self, component_id: str) -> ComponentRun | None:
        """What is known of a component now, where it has a keeper."""
        keeper = self._keepers.get(component_id)
        return keeper.row if keeper else None

    def running(self, component_id: str) -> Installed | None:
        """What runs of a component now."""
        keeper = self._keepers.get(component_id)
        return keeper.installed if keeper and keeper.row.status == "running" else None

    async def start(self, installed: Installed) -> None:
        """Run it, now and at every start of the node; comes back when it runs or failed, or takes long."""
        keeper = self._keepers.get(installed.id) or self._keep(installed, ComponentRun(installed.id, installed.version))
        if keeper.row.status in ("starting", "running") and keeper.wanted:
            return
        restarts, attempts = keeper.row.restart_count, keeper.attempts
        await self._note(ComponentRun(installed.id, installed.version, "running", restart_count=restarts))
        keeper.want(True, installed)
        with trio.move_on_after(START_ANSWER_S):
            await keeper.tried(attempts)
            with trio.move_on_after(FIRST_LOOK_S):
                await keeper.fallen()

    async def replaced(self, installed: Installed) -> None:
        """Another version was installed: what runs of the one before makes room for it."""
        run = self.row(installed.id)
        if run is not None and run.wanted == "running":
            await self.stop(installed.id)
            await self.start(installed)

    async def stop(self, component_id: str) -> None:
        """Have it stopped; comes back when it is."""
        keeper = self._keepers.get(component_id)
        if keeper is None:
            return
        keeper.want(False)
        await keeper.stopped()
        await self._note(keeper.row)

    async def forget(self, component_id: str) -> None:
        """Stop it and keep it no more."""
        await self.stop(component_id)
        if (scope := self._scopes.pop(component_id, None)) is not None:
            scope.cancel()
            await self._ended.pop(component_id).wait()
        self._keepers.pop(component_id, None)

    async def _take_up(self, run: ComponentRun) -> None:
        """A row as the last run of the node left it, however that ended."""
        try:
            installed = installed_of(await self._env.in_thread(self._rows.components.need, run.component_id))
        except InosError as error:  # a row that was put in by hand is nothing to run
            log.warning("component %s is not kept: %s", run.component_id, error)
            return
        keeper = self._keep(installed, run)
        if run.pid is not None or run.status != keeper.row.status:
            await self._note(keeper.row)

    def _keep(self, installed: Installed, run: ComponentRun) -> Keeper:
        if self._nursery is None:
            raise Conflict("components run in a node only", hint="start it: inos up")
        keeper = self._keepers[installed.id] = Keeper(installed, self._around, run, self._note, self._env)
        scope = self._scopes[installed.id] = trio.CancelScope()
        done = self._ended[installed.id] = trio.Event()

        async def kept() -> None:
            try:
                with scope:
                    await keeper.run()
            finally:
                done.set()

        self._nursery.start_soon(kept)
        return keeper

    def _tidy(self) -> None:
        known: dict[str, frozenset[str] | None] = {}
        for row in self._rows.components.every():
            known[row.component_id] = None
            with suppress(Conflict):  # a row that was put in by hand says nothing of versions
                known[row.component_id] = frozenset((*installed_of(row).digests, row.version))
        for name in self._around.shelf.tidy(known):
            log.info("removed what was left of %s, installed or removed in part", name)
        self._around.shelf.clear()

    async def _note(self, row: ComponentRun) -> None:
        await self._env.in_thread(self._rows.registry.put, row)
