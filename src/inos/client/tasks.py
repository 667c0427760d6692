"""Doing one thing for many items, a few at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

T = TypeVar("T")


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]], parallel: int) -> None:
    """`await work(item)` for every item, `parallel` at once; items are taken as they are needed. The first error ends
    it all and is raised as it is."""
    send, receive = anyio.create_memory_object_stream[T](0)
    try:
        async with receive, anyio.create_task_group() as tasks, send:
            for _ in range(parallel):
                tasks.start_soon(_work_through, receive, work)
            for item in items:
                await send.send(item)
    except BaseExceptionGroup as group:
        raise first_error(group) from None


async def _work_through(items: MemoryObjectReceiveStream[T], work: Callable[[T], Awaitable[None]]) -> None:
    async for item in items:
        await work(item)


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first thing that went wrong in a task group: what a caller who never saw the tasks should get."""
    found = group.exceptions[0]
    return first_error(found) if isinstance(found, BaseExceptionGroup) else found
