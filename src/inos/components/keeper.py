"""The keeper of one component: runs it as long as it is wanted, starts it again as `life.py` decides, notes how it is.

One task for each component, which is the only one to change what is known of it; others ask it by `want` and wait.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import trio

from inos.components.installed import Installed
from inos.components.launch import Surroundings, spec_of
from inos.components.life import Ended, Life, asked_to_start, ended, silent_for_s, starting
from inos.components.process import Beat, Endpoint, Process, Started, open_process
from inos.core.components import APPS_PATH
from inos.core.env import Env
from inos.core.errors import InosError
from inos.core.rows.software import ComponentRun

log = logging.getLogger(__name__)

# Each note of a heartbeat is a synced write; between them it is known in memory.
BEAT_NOTED_S: Final = 15.0

Note = Callable[[ComponentRun], Awaitable[None]]


class Keeper:
    """One component. `run` is its task."""

    def __init__(self, installed: Installed, around: Surroundings, run: ComponentRun, note: Note, env: Env) -> None:
        self.installed = installed
        self.wanted = run.wanted == "running"
        self.attempts = 0
        self._around = around
        self._note = note
        self._env = env
        self._life = Life(restarts=run.restart_count, error=run.last_error if run.status == "crashed" else "")
        self._pid: int | None = None
        self._endpoint = ""
        self._started_at_s = run.started_at_s
        self._beat_at_s = run.last_heartbeat_s
        self._beaten_s = 0.0
        self._hung = ""
        self._asked = trio.Event()
        self._changed = trio.Event()

    @property
    def row(self) -> ComponentRun:
        """What is known of it now."""
        return ComponentRun(
            component_id=self.installed.id,
            version=self.installed.version,
            wanted="running" if self.wanted else "stopped",
            status=self._life.status,
            pid=self._pid,
            endpoint=self._endpoint,
            started_at_s=self._started_at_s,
            last_heartbeat_s=self._beat_at_s,
            restart_count=self._life.restarts,
            last_error=self._life.error[:1000],
        )

    def want(self, running: bool, installed: Installed | None = None) -> None:
        """From now on it is to run, or not; as `installed` when it is started next. What failed before is forgotten."""
        self.installed = installed or self.installed
        self.wanted = running
        if running:
            self._life = asked_to_start(self._life)
        self._asked.set()

    async def tried(self, attempts: int) -> None:
        """Wait until there was one more attempt to start it than `attempts`, and what became of it is known."""
        while self.attempts == attempts or self._life.status == "starting":
            await self._changed.wait()

    async def fallen(self) -> None:
        """Wait until it does not run."""
        while self._life.status == "running":
            await self._changed.wait()

    async def stopped(self) -> None:
        """Wait until it is stopped, or somebody wants it to run again."""
        while self._life.status != "stopped" and not self.wanted:
            await self._changed.wait()

    async def run(self) -> None:
        """Keep it until cancelled; then it is stopped, and stays wanted."""
        while True:
            self._asked = trio.Event()
            if not self.wanted:
                if self._life.status == "crashed":
                    await self._become(self._life.to("stopped"))
                await self._asked.wait()
                continue
            try:
                await self._once()
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await self._rest()
                raise
            await self._pause()

    async def _pause(self) -> None:
        """Until it is to be started again, which may be never, or somebody asks."""
        if self.wanted and self._asked.is_set():
            return
        with trio.move_on_after(float("inf") if self._life.delay_s is None else self._life.delay_s):
            await self._asked.wait()

    async def _once(self) -> None:
        again = self._life.delay_s is not None
        self._hung = ""
        self.attempts += 1
        await self._become(starting(self._life, again=again))
        try:
            how = await (self._serve() if self.installed.manifest.kind == "static" else self._execute())
        except InosError as error:
            how = Ended(None, error.message)
        self._pid, self._endpoint = None, ""
        if self._life.status == "starting" and not self.wanted:
            self._life = self._life.to("stopping")
        await self._become(ended(self._life, how, self.installed.manifest.restart, self._env.monotonic_s()))
        if self._life.status == "crashed":
            log.warning("component %s crashed: %s", self.installed.id, self._life.error)

    async def _rest(self) -> None:
        """The node stops, and it has been stopped with it."""
        self._pid, self._endpoint = None, ""
        if self._life.status != "stopped":
            await self._become(Life("stopped", restarts=self._life.restarts))

    async def _become(self, life: Life) -> None:
        self._life = life
        self._changed.set()
        self._changed = trio.Event()
        await self._write()

    async def _write(self) -> None:
        try:
            await self._note(self.row)
        except InosError as error:  # a full disk: it runs on, and `status` shows what is known in memory
            log.warning("cannot note how component %s is: %s", self.installed.id, error)

    async def _check(self) -> None:
        installed, shelf = self.installed, self._around.shelf
        await self._env.in_thread(shelf.verified, installed.id, installed.version, installed.digest)
        await self._env.in_thread(shelf.make_data, installed.id, installed.version)

    # A front end: no process

    async def _serve(self) -> Ended:
        await self._check()
        self._pid, self._started_at_s = os.getpid(), int(self._env.now_s())
        self._endpoint = f"{self._around.api.url}{APPS_PATH}{self.installed.id}/"
        await self._become(self._life.to("running"))
        await self._unwanted()
        await self._become(self._life.to("stopping"))
        return Ended(0)

    # A process

    async def _execute(self) -> Ended:
        await self._check()
        stop_s = self.installed.manifest.stop_s
        how = Ended(None, "its guard was killed")
        async with open_process(spec_of(self.installed, self._around)) as process, trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_when_unwanted, process, stop_s)
            async with aclosing(process.said()) as all_said:
                async for said in all_said:
                    if isinstance(said, Ended):
                        how = said
                        break
                    await self._hear(said, process, nursery)
            nursery.cancel_scope.cancel()
        return Ended(how.code, self._hung) if self._hung else how

    async def _hear(self, said: Started | Beat | Endpoint, process: Process, nursery: trio.Nursery) -> None:
        heartbeat_s = self.installed.manifest.heartbeat_s
        match said:
            case Started(pid):
                self._pid, self._started_at_s = pid, int(self._env.now_s())
                self._beaten_s = self._env.monotonic_s()
                if heartbeat_s:
                    nursery.start_soon(self._watch, process, heartbeat_s)
                    await self._write()
                elif self._life.status == "starting":
                    await self._become(self._life.to("running"))
            case Beat():
                await self._beat()
            case Endpoint(url):
                self._endpoint = url
                await self._write()

    async def _beat(self) -> None:
        self._beaten_s, now_s = self._env.monotonic_s(), int(self._env.now_s())
        due = self._beat_at_s is None or now_s - self._beat_at_s >= BEAT_NOTED_S
        self._beat_at_s = now_s
        if self._life.status == "starting" and self._pid is not None:
            await self._become(self._life.to("running"))
        elif due:
            await self._write()

    async def _watch(self, process: Process, heartbeat_s: float) -> None:
        """End it when it says nothing for too long."""
        while True:
            limit_s = silent_for_s(heartbeat_s, first=self._life.status == "starting")
            left_s = self._beaten_s + limit_s - self._env.monotonic_s()
            if left_s <= 0:
                break
            await trio.sleep(min(left_s, heartbeat_s))  # the limit is another once it has begun to beat
        self._hung = f"no heartbeat for {limit_s:g} s"
        await self._end(process, self.installed.manifest.stop_s)

    async def _stop_when_unwanted(self, process: Process, stop_s: float) -> None:
        await self._unwanted()
        if self._life.status in ("starting", "running"):
            await self._become(self._life.to("stopping"))
        await self._end(process, stop_s)

    async def _end(self, process: Process, stop_s: float) -> None:
        await process.stop()
        await trio.sleep(stop_s)
        await process.kill()

    async def _unwanted(self) -> None:
        while self.wanted:
            self._asked = trio.Event()
            await self._asked.wait()
