"""Running a coroutine so that a seed decides everything: the clock, the order of tasks, and when garbage is collected.

trio orders tasks that are ready at the same moment by chance on purpose. Under its (private) switch for deterministic
scheduling it sorts them first, and its own generator, seeded here, does the rest. The clock jumps ahead whenever all
tasks wait. The cyclic garbage collector is stopped, because it ends forgotten generators at moments that depend on the
history of the process; `Sweeper` collects at fixed virtual times instead.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, TypeVar

import trio
from trio._core import _run as scheduler  # the only way to seed it; pinned by requirements/*.lock

from inos.core.pure import remembered
from inos.sim.clock import JumpClock

T = TypeVar("T")

COLLECT_EVERY_S: Final = 300.0
# Passes of the loop: a few milliseconds.
_LOOK_OUTSIDE_EVERY: Final = 64


def run_seeded(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """What `main` returns, run under a virtual clock that starts at zero. The same `seed` and `main` do the same, step
    by step, in any process."""
    try:
        with _decided_by(seed):
            result: T = trio.run(_with_sweeper, main, clock=JumpClock())
            return result
    except BaseExceptionGroup as group:
        # Nurseries wrap what a user's Ctrl-C raises somewhere among the nodes.
        if group.subgroup(KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from None
        raise


async def _with_sweeper(main: Callable[[], Awaitable[T]]) -> T:
    runner = scheduler.GLOBAL_RUN_CONTEXT.runner
    runner.io_manager = _Unhurried(runner.io_manager)  # type: ignore[assignment]
    async with trio.open_nursery() as nursery:
        with _ended_by_interrupts(nursery.cancel_scope):
            nursery.start_soon(_sweep)
            result = await main()
        nursery.cancel_scope.cancel()
        return result
    raise KeyboardInterrupt


class _Unhurried:
    """trio's door to the system, opened only now and then: nothing comes in but a Ctrl-C, and the system call of each
    pass costs as much as a small step of a task."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._passes = count(1)
        self.process_events = manager.process_events

    def get_events(self, timeout_s: float) -> Any:
        """What has come in, by as long at most; at a jump of the clock mostly nothing."""
        if timeout_s <= 0 and next(self._passes) % _LOOK_OUTSIDE_EVERY:
            return ()
        return self._manager.get_events(timeout_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)


@contextmanager
def _ended_by_interrupts(scope: trio.CancelScope) -> Iterator[None]:
    """Ctrl-C ends the run between two steps of its tasks. Raised wherever it finds the program it can get lost: SQLite
    calls back into Python where nothing can be raised."""
    token = trio.lowlevel.current_trio_token()
    try:
        before = signal.signal(signal.SIGINT, lambda _number, _frame: token.run_sync_soon(scope.cancel))
    except ValueError:  # signals are the main thread's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _sweep() -> None:
    while True:
        await trio.sleep(COLLECT_EVERY_S)
        gc.collect()


@contextmanager
def _decided_by(seed: int) -> Iterator[None]:
    """Have trio's scheduler follow `seed`; everything is as before afterwards."""
    before = (scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate(), gc.isenabled())
    gc.collect()
    gc.freeze()  # what was there before need not be gone through again and again
    gc.disable()
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    scheduler._r.seed(seed)
    try:
        with remembered():
            yield
    finally:
        gc.unfreeze()
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before[0]  # type: ignore[misc]
        scheduler._r.setstate(before[1])
        if before[2]:
            gc.enable()
