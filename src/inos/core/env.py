"""The only door to time, chance and threads.

Everything above takes an `Env`; nothing else imports `time`, `random`, `secrets`, `os.urandom` or `trio.to_thread`
(tests/test_tidy.py checks it). `trio.sleep` and trio deadlines are free to use: a simulation owns trio's clock. A real
node gets `RealEnv`; the simulator supplies one that draws everything from a seed and runs "threads" inline.
"""

from __future__ import annotations

import math
import random
import secrets
import time
from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Env(Protocol):
    """Time, chance and threads, owned by whoever runs the node."""

    @property
    def random(self) -> random.Random:
        """Chance that needs no secrecy: jitter, sampling, tie-breaking."""

    def now_s(self) -> float:
        """Wall-clock seconds since 1970. May jump; never decide durability by it."""

    def monotonic_s(self) -> float:
        """Seconds that only go forward; the zero is arbitrary."""

    def token_bytes(self, size: int) -> bytes:
        """`size` unpredictable bytes, fit for keys."""

    async def in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run blocking `work(*args)` away from the event loop and return what it returns."""


class RealEnv:
    """The machine's own clock, entropy and threads."""

    # Blocking work is disk and hashing; more threads than this only fight over two cores and the GIL.
    THREADS = 8

    def __init__(self) -> None:
        self._random = random.Random(secrets.randbits(128))  # noqa: S311 - jitter and sampling, never keys
        self._limiter = trio.CapacityLimiter(self.THREADS)

    @property
    def random(self) -> random.Random:
        return self._random

    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def token_bytes(self, size: int) -> bytes:
        return secrets.token_bytes(size)

    async def in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await trio.to_thread.run_sync(work, *args, limiter=self._limiter)


FOREVER_S = math.inf
