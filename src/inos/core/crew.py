"""Tasks beside each other: those that outlive the call that started them, and those that are part of one call.

A node opens one Crew; what has to go on after its caller has left (reading ahead, pushing to stragglers) is started in
it. A task that ends with an error is logged and counted, and hurts no other: like a worker's step, it must never take
the node down.

`open_tasks` is for the other kind: a call that does several things at once and fails as if it had done one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVarTuple

import trio

from inos.core.errors import InosError

log = logging.getLogger(__name__)

Ts = TypeVarTuple("Ts")


class Crew:
    """A nursery whose tasks fail alone. Open with `open_crew`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.failures = 0

    @property
    def running(self) -> int:
        """Tasks alive now."""
        return len(self._nursery.child_tasks)

    def start(self, work: Callable[[*Ts], Awaitable[None]], *args: *Ts) -> None:
        """Run `work(*args)` until it ends, or the crew does."""
        self._nursery.start_soon(self._supervise, work, args)

    async def _supervise(self, work: Callable[..., Awaitable[None]], args: tuple[object, ...]) -> None:
        try:
            await work(*args)
        except Exception:
            self.failures += 1
            log.exception("a background task failed")


@asynccontextmanager
async def open_crew() -> AsyncGenerator[Crew, None]:
    """A crew for as long as the block lasts; its tasks are cancelled at the end."""
    async with open_tasks() as nursery:
        try:
            yield Crew(nursery)
        finally:
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_tasks() -> AsyncGenerator[trio.Nursery, None]:
    """A nursery for the parts of one call: what fails in it is raised as it is, not inside an ExceptionGroup.

    Of several failures the first InosError is raised, being what a caller understands.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except ExceptionGroup as group:
        errors = list(_leaves(group))
        error = next((error for error in errors if isinstance(error, InosError)), errors[0])
        raise error from error.__cause__


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
