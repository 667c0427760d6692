"""An Env for tests and simulations: time is trio's clock, chance comes from one seed, "threads" run inline, the machine
and its load are what the test says.

Under `trio.testing.MockClock` a test owns time; the same seed draws the same numbers. Nothing it draws is secret.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import trio

from inos.core.env import Alarm, Machine, pause_on_trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# A small machine at rest.
MACHINE: Final = Machine(cores=4, memory_bytes=8 << 30)
# Wall clock at trio's second zero: an arbitrary round date in 2027, so that no test depends on today's.
EPOCH_S: Final = 1_800_000_000.0


class SimEnv:
    """The Env contract on trio's clock. `skew_s` moves the wall clock only, as a wrongly set machine would; `busy` is
    the load."""

    def __init__(self, seed: int = 0, *, skew_s: float = 0.0, machine: Machine = MACHINE, busy: float = 0.0) -> None:
        self.skew_s = skew_s
        self.busy = busy
        self._machine = machine
        self._time_s: Callable[[], float] = trio.current_time
        self._random = random.Random(seed)  # noqa: S311 - repeatable by intent, and never a real key

    @property
    def random(self) -> random.Random:
        return self._random

    def now_s(self) -> float:
        return EPOCH_S + self.skew_s + self._time_s()

    def monotonic_s(self) -> float:
        return self._time_s()

    def token_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)

    async def pause(self, seconds: float, alarm: Alarm | None = None) -> None:
        await pause_on_trio(seconds, alarm)

    async def in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run `work` here, between two scheduling points, so that callers interleave as they would with threads."""
        await trio.lowlevel.checkpoint()
        result = work(*args)
        await trio.lowlevel.checkpoint()
        return result

    def machine(self) -> Machine:
        return self._machine

    def load(self) -> float:
        return self.busy

    def release_memory(self) -> None:
        """The memory is that of the process around it, which is not for a node to go through."""
