"""When simulated things happen: one heap of due events, run by one task, in order of time and then of entry.

A task that sleeps costs several times what an entry here does, and a mesh of a few dozen nodes has hundreds of frames
and deadlines on their way at any moment. Under a `JumpClock` the clock itself runs the events; under another one a task
does, which is started by the first event and ends with the run of trio it belongs to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Any, Protocol, TypeVar

import trio

from inos.sim.clock import JumpClock

T = TypeVar("T")


class Deadline(Protocol):
    """Something that ends by itself at some moment unless it ends before."""

    @property
    def open(self) -> bool: ...

    def expire(self) -> None: ...


class Schedule:
    """Events to come. An event is a plain function and its one argument; it must not block or raise."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._entered = 0
        self._lanes: dict[float, deque[tuple[float, int, Deadline]]] = {}
        self._sleep: trio.CancelScope | None = None
        self._running = False
        self.now_s: Callable[[], float] = trio.current_time
        """trio's time, by the shortest way."""

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, due_s: float, act: Callable[[T], None], what: T) -> None:
        """Call `act(what)` at `due_s` of trio's clock, after all that was entered for that moment before; never at
        once, not even when that time has passed."""
        self._entered += 1
        heappush(self._heap, (due_s, self._entered, act, what))
        if not self._running:
            self._begin()
        elif self._sleep is not None and due_s < self._sleep.deadline:
            self._sleep.deadline = due_s

    def expire_at(self, due_s: float, what: Deadline) -> None:
        """Call `what.expire()` at `due_s` if it is still open then."""
        self.at(due_s, _expire, what)

    def expire_after(self, delay_s: float, what: Deadline) -> None:
        """As `expire_at`, so long from now: for what begins all the time and takes equally long. Of those of one delay
        only the first waits in the heap, and most are over before it is their turn."""
        due_s = self.now_s() + delay_s
        lane = self._lanes.setdefault(delay_s, deque())
        if lane:
            self._entered += 1
            lane.append((due_s, self._entered, what))
        else:
            self.at(due_s, self._expire_first, lane)
            lane.append((due_s, self._entered, what))

    def _expire_first(self, lane: deque[tuple[float, int, Deadline]]) -> None:
        _, _, what = lane.popleft()
        while lane and not lane[0][2].open:
            lane.popleft()
        if lane:
            due_s, entered, _ = lane[0]
            heappush(self._heap, (due_s, entered, self._expire_first, lane))
        _expire(what)

    def next_s(self) -> float:
        """When the next event is due; infinite when there is none."""
        heap = self._heap
        # Most deadlines are met: nobody is woken for them.
        while heap and heap[0][2] is _expire and not heap[0][3].open:
            heappop(heap)
        return heap[0][0] if heap else inf

    def _begin(self) -> None:
        self._running = True
        clock = trio.lowlevel.current_clock()
        self.now_s = clock.current_time
        trio.lowlevel.spawn_system_task(self._run, clock if isinstance(clock, JumpClock) else None)

    async def _run(self, clock: JumpClock | None) -> None:
        try:
            if clock is not None:
                await clock.run(self)
            while True:
                with trio.CancelScope(deadline=self.next_s()) as self._sleep:
                    await trio.sleep_forever()
                self._sleep = None
                self.run_due(trio.current_time())
        finally:
            self._running, self._sleep = False, None
            self.now_s = trio.current_time

    def run_due(self, now_s: float) -> None:
        """Call what is due by now."""
        heap, last = self._heap, self._entered
        # What these enter for this very moment waits until other tasks had their turn.
        while heap and heap[0][0] <= now_s and heap[0][1] <= last:
            _, _, act, what = heappop(heap)
            act(what)


def _expire(what: Deadline) -> None:
    if what.open:
        what.expire()
