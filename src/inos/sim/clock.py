"""A clock that starts at zero and jumps to the next deadline the moment everybody waits.

    trio.run(main, clock=JumpClock())

Like `trio.testing.MockClock(autojump_threshold=0)`, at half the passes of the event loop for each jump, which is most
of what an idle simulated mesh costs. Only for programs that wait for nothing outside themselves: threads and sockets
would be overtaken by time. `trio.testing.wait_all_tasks_blocked` needs the other clock.
"""

from __future__ import annotations

from math import inf

from trio.abc import Clock


class JumpClock(Clock):
    """Virtual seconds since the run began."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def start_clock(self) -> None:
        """Time stands until somebody waits."""

    def current_time(self) -> float:
        return self._now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Asked by the event loop when no task can run: the time to go on to what comes next."""
        if deadline == inf:
            return inf
        self._now_s = max(self._now_s, deadline)
        return 0.0
