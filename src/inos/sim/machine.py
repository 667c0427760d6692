"""The Env of a simulated machine: it sleeps when its lid is closed, its disk takes time, and so do its threads when it
has too much to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import trio

from inos.sim.disk import SimDisk
from inos.testing.env import SimEnv

# Of the moments at which a thread could begin or have ended later than everything else that is ready: enough of them to
# meet every interleaving over the seeds, few enough to be cheap.
_YIELDS: Final = 0.25

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class MachineEnv(SimEnv):
    """SimEnv of one machine. While it sleeps no blocking work begins, and what its disk did is paid for in time."""

    def __init__(self, seed: int, disk: SimDisk) -> None:
        super().__init__(seed)
        # The same by a shorter way: it is asked hundreds of times for each simulated second.
        self._time_s = trio.lowlevel.current_clock().current_time
        self.disk = disk
        self.late_s = 0.0
        """How late work in a thread may begin and end, each at most."""
        self._awake: trio.Event | None = None

    def fall_asleep(self) -> None:
        """Close the lid."""
        if self._awake is None:
            self._awake = trio.Event()

    def wake(self) -> None:
        """Open it."""
        if self._awake is not None:
            self._awake.set()
            self._awake = None

    async def in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        if self._awake is not None:
            await self._awake.wait()
        if self.late_s:
            await trio.sleep(self.random.random() * self.late_s)
        else:
            await self._turn()
        try:
            return work(*args)
        finally:
            busy_s = self.disk.take_busy_s()
            if self.late_s:
                busy_s += self.random.random() * self.late_s
            if busy_s:
                await trio.sleep(busy_s)
            else:
                await self._turn()

    async def _turn(self) -> None:
        if self.random.random() < _YIELDS:
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
