"""Background activities as named workers with a status anyone can look at.

A worker is a step function run again and again: at an interval, at once when poked, later after a failure (exponential
backoff with jitter). What it last did, when it last succeeded and how often it failed is kept for `inos status`, the
console and metrics, because a silent stop is the worst failure a storage system has. This module is the only place
allowed to catch every exception: a step that raises is recorded and retried, never lost.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import trio

from inos.core.env import Alarm, Env

log = logging.getLogger(__name__)

BACKOFF_MAX_S: Final = 60.0
JITTER: Final = 0.1  # share of the interval, so that the nodes of a mesh do not tick together


class Phase(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    FAILING = "failing"
    STOPPED = "stopped"


@dataclass(slots=True)
class WorkerStatus:
    """What a worker is doing. Times are monotonic seconds of the node's Env; None means never."""

    name: str
    phase: Phase = Phase.WAITING
    runs: int = 0
    failures: int = 0
    failures_in_row: int = 0
    last_success_s: float | None = None
    last_error: str = ""
    detail: dict[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay after the n-th failure in a row: base * 2^(n-1), capped."""

    base_s: float = 1.0
    max_s: float = BACKOFF_MAX_S

    def delay_s(self, failures_in_row: int) -> float:
        return float(min(self.max_s, self.base_s * 2 ** min(failures_in_row - 1, 32)))


class Worker:
    """One named background activity. `step` does one bounded round and returns; raise to report failure. `interval_s`
    may be asked after each round: a worker that finds all well can rest for longer."""

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[None]],
        *,
        env: Env,
        interval_s: float | Callable[[], float],
        backoff: Backoff | None = None,
        first_after_s: float = 0.0,
    ) -> None:
        self.status = WorkerStatus(name)
        self._step = step
        self._env = env
        self._interval_s = interval_s
        self._first_after_s = first_after_s
        self._backoff = backoff or Backoff(min(1.0, self._rest_s()))
        self._alarm = Alarm()

    def poke(self) -> None:
        """Ask for a round now rather than at the next interval. Cheap; many pokes make one round."""
        self._alarm.ring()

    async def run(self) -> None:
        """Run rounds until cancelled. A poke brings the first one forward, too."""
        try:
            if self._first_after_s:
                await self._wait(self._first_after_s)
            while True:
                await self._wait(await self._round())
        finally:
            self.status.phase = Phase.STOPPED

    async def _round(self) -> float:
        status = self.status
        status.phase = Phase.RUNNING
        self._alarm.reset()
        try:
            await self._step()
        except Exception as error:
            status.failures += 1
            status.failures_in_row += 1
            status.last_error = f"{type(error).__name__}: {error}"[:300]
            status.phase = Phase.FAILING
            log.warning("worker %s failed: %s", status.name, status.last_error)
            return self._backoff.delay_s(status.failures_in_row)
        status.runs += 1
        status.failures_in_row = 0
        status.last_success_s = self._env.monotonic_s()
        status.phase = Phase.WAITING
        return self._rest_s()

    def _rest_s(self) -> float:
        return self._interval_s() if callable(self._interval_s) else self._interval_s

    async def _wait(self, delay_s: float) -> None:
        jittered_s = delay_s * (1 + JITTER * (2 * self._env.random.random() - 1))
        # A failing worker waits out its backoff; pokes must not turn a broken disk into a busy loop.
        await self._env.pause(jittered_s, None if self.status.phase is Phase.FAILING else self._alarm)


class WorkerSet:
    """The workers of one node: register, run together, report."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._workers: dict[str, Worker] = {}
        self._nursery: trio.Nursery | None = None

    def add(
        self,
        name: str,
        step: Callable[[], Awaitable[None]],
        *,
        interval_s: float | Callable[[], float],
        backoff: Backoff | None = None,
        first_after_s: float = 0.0,
    ) -> Worker:
        """A worker of that name, which runs first `first_after_s` from the start: 0 for what others wait for."""
        if name in self._workers:
            raise ValueError(f"two workers named {name!r}")
        worker = self._workers[name] = Worker(
            name, step, env=self._env, interval_s=interval_s, backoff=backoff, first_after_s=first_after_s
        )
        if self._nursery is not None:
            self._nursery.start_soon(worker.run)
        return worker

    def statuses(self) -> list[WorkerStatus]:
        return [worker.status for worker in self._workers.values()]

    async def run(self) -> None:
        """Run every registered worker, and those that are added meanwhile, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for worker in self._workers.values():
                nursery.start_soon(worker.run)
