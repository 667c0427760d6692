"""The only door to time, chance, threads, and what the machine is.

Everything above takes an `Env`; nothing else imports `time`, `random`, `secrets`, `os.urandom` or `trio.to_thread`
(tests/test_tidy.py checks it). `trio.sleep` and trio deadlines are free to use: a simulation owns trio's clock; what a
node does all the time had better `pause`, which a simulation has cheaper. A real node gets `RealEnv`; the simulator
supplies one that draws everything from a seed and runs "threads" inline.
"""

from __future__ import annotations

import math
import os
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, TypeVarTuple

import trio

from inos.core.memory import release_memory

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node runs on."""

    cores: int
    memory_bytes: int


class Alarm:
    """Ends a pause before its time. Rung while nobody pauses, it ends the next one at once. Owned by one event loop,
    and for one pause at a time."""

    __slots__ = ("on_ring", "rung")

    def __init__(self) -> None:
        self.rung = False
        self.on_ring: Callable[[], object] | None = None
        """What a pause under way is ended by; only an Env's `pause` sets it."""

    def ring(self) -> None:
        """Cheap; many rings are one."""
        if not self.rung:
            self.rung = True
            if self.on_ring is not None:
                self.on_ring()

    def reset(self) -> None:
        """Rings up to now do not count."""
        self.rung = False


class Env(Protocol):
    """Time, chance, threads and the machine, owned by whoever runs the node."""

    @property
    def random(self) -> random.Random:
        """Chance that needs no secrecy: jitter, sampling, tie-breaking."""

    def now_s(self) -> float:
        """Wall-clock seconds since 1970. May jump; never decide durability by it."""

    def monotonic_s(self) -> float:
        """Seconds that only go forward; the zero is arbitrary."""

    def token_bytes(self, size: int) -> bytes:
        """`size` unpredictable bytes, fit for keys."""

    async def pause(self, seconds: float, alarm: Alarm | None = None) -> None:
        """Let time pass, until `alarm` rings at most: what background work does between two rounds."""

    async def in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run blocking `work(*args)` away from the event loop and return what it returns."""

    def machine(self) -> Machine:
        """What this node runs on; does not change."""

    def load(self) -> float:
        """The share of the machine's cores that is busy, 0..1."""

    def release_memory(self) -> None:
        """Give memory that is free in this process back to the machine. Blocks for milliseconds."""


async def pause_on_trio(seconds: float, alarm: Alarm | None) -> None:
    """The pause of an Env whose tasks are trio's."""
    if alarm is None:
        await trio.sleep(seconds)
        return
    woken = trio.Event()
    if alarm.rung:
        woken.set()
    alarm.on_ring = woken.set
    try:
        with trio.move_on_after(seconds):
            await woken.wait()
    finally:
        alarm.on_ring = None


class RealEnv:
    """The machine itself: its clock, entropy, threads and load."""

    # Blocking work is disk and hashing; more threads than this only fight over two cores and the GIL.
    THREADS = 8

    def __init__(self) -> None:
        self._random = random.Random(secrets.randbits(128))  # noqa: S311 - jitter and sampling, never keys
        self._limiter = trio.CapacityLimiter(self.THREADS)
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._machine = Machine(os.cpu_count() or 1, memory_bytes)

    @property
    def random(self) -> random.Random:
        return self._random

    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def token_bytes(self, size: int) -> bytes:
        return secrets.token_bytes(size)

    async def pause(self, seconds: float, alarm: Alarm | None = None) -> None:
        await pause_on_trio(seconds, alarm)

    async def in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await trio.to_thread.run_sync(work, *args, limiter=self._limiter)

    def machine(self) -> Machine:
        return self._machine

    def load(self) -> float:
        return min(1.0, os.getloadavg()[0] / self._machine.cores)

    def release_memory(self) -> None:
        release_memory()


FOREVER_S = math.inf
