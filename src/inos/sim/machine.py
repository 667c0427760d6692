"""The Env of a simulated machine: it sleeps when its lid is closed, its disk takes time, and so do its threads when it
has too much to do."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final, TypeVar, TypeVarTuple

import trio

from inos.core.env import Alarm
from inos.sim.disk import SimDisk
from inos.sim.schedule import Schedule
from inos.testing.env import SimEnv

# Of the moments at which a thread could begin or have ended later than everything else that is ready: enough of them to
# meet every interleaving over the seeds, few enough to be cheap.
_YIELDS: Final = 0.25

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Pause:
    """A task that waits for its moment, for the alarm, or to be cancelled, whatever comes first."""

    __slots__ = ("_alarm", "_task")

    def __init__(self, task: trio.lowlevel.Task, alarm: Alarm | None) -> None:
        self._task: trio.lowlevel.Task | None = task
        self._alarm = alarm
        if alarm is not None:
            alarm.on_ring = self.end

    @property
    def open(self) -> bool:
        return self._task is not None

    def end(self) -> None:
        task = self._over()
        if task is not None:
            trio.lowlevel.reschedule(task)

    expire = end

    def abort(self, _raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._over()
        return trio.lowlevel.Abort.SUCCEEDED

    def _over(self) -> trio.lowlevel.Task | None:
        task, self._task = self._task, None
        if task is not None and self._alarm is not None:
            self._alarm.on_ring = None
        return task


class MachineEnv(SimEnv):
    """SimEnv of one machine. While it sleeps no blocking work begins, and what its disk did is paid for in time."""

    def __init__(self, seed: int, disk: SimDisk, schedule: Schedule) -> None:
        super().__init__(seed)
        self._schedule = schedule
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

    async def pause(self, seconds: float, alarm: Alarm | None = None) -> None:
        """By an entry in the schedule: most of what the tasks of a mesh at rest do is pause, and a deadline of trio's
        costs several times as much."""
        if alarm is not None and alarm.rung:
            await trio.lowlevel.checkpoint()
            return
        pause = _Pause(trio.lowlevel.current_task(), alarm)
        if seconds != inf:
            self._schedule.expire_at(self._time_s() + seconds, pause)
        await trio.lowlevel.wait_task_rescheduled(pause.abort)

    async def in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        if self._awake is not None:
            await self._awake.wait()
        if self.late_s:
            await trio.sleep(self.random.random() * self.late_s)
        elif self.random.random() < _YIELDS:
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        try:
            return work(*args)
        finally:
            busy_s = self.disk.take_busy_s()
            if self.late_s:
                busy_s += self.random.random() * self.late_s
            if busy_s:
                await trio.sleep(busy_s)
            elif self.random.random() < _YIELDS:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.checkpoint_if_cancelled()
