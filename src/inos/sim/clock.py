"""A clock that starts at zero and jumps to what comes next the moment everybody waits.

    trio.run(main, clock=JumpClock())

Like `trio.testing.MockClock(autojump_threshold=0)`, at half the passes of the event loop for each jump, which is most
of what an idle simulated mesh costs. The events of a `Schedule` are run here, between two passes of the loop: frames
that wake nobody, which are most, cost no pass at all. Only for programs that wait for nothing outside themselves:
threads and sockets would be overtaken by time. `trio.testing.wait_all_tasks_blocked` needs the other clock.
"""

from __future__ import annotations

from math import inf
from typing import Protocol

import trio
from trio._core import _run as scheduler  # for whether a task can run, which nothing public tells
from trio.abc import Clock


class Events(Protocol):
    """Plain functions to be called at moments of their own."""

    def next_s(self) -> float:
        """When the next is due; infinite when there is none."""

    def run_due(self, now_s: float) -> None:
        """Call those that are."""


class JumpClock(Clock):
    """Virtual seconds since the run began."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._events: list[Events] = []

    def start_clock(self) -> None:
        """Time stands until somebody waits."""

    def current_time(self) -> float:
        return self._now_s

    async def run(self, events: Events) -> None:
        """Call what is in `events` when it is due, until cancelled."""
        self._events.append(events)
        try:
            await trio.sleep_forever()
        finally:
            self._events.remove(events)

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Asked by the event loop when no task can run: the time to go on to what comes next."""
        runner = scheduler.GLOBAL_RUN_CONTEXT.runner
        while self._events and not runner.runq:
            first = self._events[0] if len(self._events) == 1 else min(self._events, key=lambda events: events.next_s())
            due_s = first.next_s()
            deadline = runner.deadlines.next_deadline()
            if due_s > deadline or due_s == inf:
                break
            self._now_s = max(self._now_s, due_s)
            first.run_due(self._now_s)
        if runner.runq:
            return 0.0
        if deadline == inf:
            return inf
        self._now_s = max(self._now_s, deadline)
        return 0.0
