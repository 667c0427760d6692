"""Components of a data root on which no node runs: what stands in for the supervisor there.

None of them runs, whatever a node that was killed has left in their rows; what is to run when the next one starts can
be changed all the same.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os

from inos.components.installed import Installed
from inos.components.shelf import Shelf
from inos.core.env import Env
from inos.core.errors import Locked, NoNode
from inos.core.rows.software import ComponentRun
from inos.store.private_files import explained
from inos.store.repositories import Repositories


class Asleep:
    """`desk.Keeping` where nothing can run. Use it under the lock of the data root."""

    def __init__(self, rows: Repositories, shelf: Shelf, env: Env) -> None:
        self._rows = rows
        self._shelf = shelf
        self._env = env

    def row(self, component_id: str) -> ComponentRun | None:
        """What the last node noted, without what ended with it."""
        run = self._rows.registry.get(component_id)
        if run is None or run.status == "crashed":
            return run
        return dataclasses.replace(run, status="stopped", pid=None, endpoint="")

    def running(self, component_id: str) -> Installed | None:
        """Nothing does."""
        del component_id
        return None

    async def start(self, installed: Installed) -> None:
        """Raises NoNode."""
        raise NoNode(f"no node runs, and {installed.id} can run only while one does", hint="start it first: inos up")

    async def replaced(self, installed: Installed) -> None:
        """The next node starts the new version."""

    async def stop(self, component_id: str) -> None:
        """The next node will not start it."""

        def work() -> None:
            run = self.row(component_id)
            if run is not None and run.wanted == "running":
                self._rows.registry.put(dataclasses.replace(run, wanted="stopped"))

        await self._env.in_thread(work)

    async def forget(self, component_id: str) -> None:
        """Raises Locked while the process that a killed node has left is ending."""
        await self._env.in_thread(self._refuse_ending, component_id)

    def _refuse_ending(self, component_id: str) -> None:
        path = self._shelf.lock(component_id)
        if not path.exists():
            return
        with explained("lock", path):
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked(f"a process of {component_id} is still ending", hint="try again in a moment") from None
            finally:
                os.close(descriptor)
