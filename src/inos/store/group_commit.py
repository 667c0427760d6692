"""Writers that meet share one commit: a queue of work, drained by whichever caller comes first.

The one that drains is the leader of a group; what arrives meanwhile is the next group. Nothing here knows SQL: a group
is handed to `run_group`, which gives back one outcome for each piece of work, or raises for all of them.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import outcome
import trio

from inos.core.env import Env
from inos.store.cursor import Cursor

T = TypeVar("T")
Work = Callable[[Cursor], T]
Outcome = outcome.Value[Any] | outcome.Error

# The sync is shared long before this many; more would only make each of them wait longer.
MAX_GROUP: Final = 256


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    work: Work[T]
    result: outcome.Value[T] | outcome.Error | None = field(default=None)
    abandoned: bool = False


class GroupCommit:
    """Runs work in groups, one group at a time. Safe from several threads; `run_async` from trio."""

    def __init__(self, run_group: Callable[[Sequence[Work[Any]]], list[Outcome]], env: Env) -> None:
        self._run_group = run_group
        self._env = env
        self._jobs: deque[_Job[Any]] = deque()
        self._turn = trio.Lock()
        self.exclusive = threading.Lock()
        """Held while a group runs; take it to keep groups out."""

    def run(self, work: Work[T]) -> T:
        """What `work` returns or raises, once its group has been committed."""
        job = _Job(work)
        self._jobs.append(job)
        while job.result is None:
            self._drain()
        return job.result.unwrap()

    async def run_async(self, work: Work[T]) -> T:
        """As `run`; waiting callers occupy no thread. Cancelled before its group began, `work` is not run; cancelled
        later, it may have been."""
        job = _Job(work)
        self._jobs.append(job)
        try:
            while job.result is None:
                # Uncontended, this still yields once: callers of the same tick queue up before the first group forms.
                async with self._turn:
                    if job.result is None:
                        await self._env.in_thread(self._drain)
        finally:
            job.abandoned = True
        return job.result.unwrap()

    def _drain(self) -> None:
        with self.exclusive:
            group: list[_Job[Any]] = []
            while self._jobs and len(group) < MAX_GROUP:
                job = self._jobs.popleft()
                if not job.abandoned:
                    group.append(job)
            if group:
                self._settle(group)

    def _settle(self, group: list[_Job[Any]]) -> None:
        ran = outcome.capture(self._run_group, [job.work for job in group])
        if isinstance(ran, outcome.Error):
            for job in group:
                # One instance each: a traceback grows wherever an exception passes.
                job.result = outcome.Error(copy.copy(ran.error))
            return
        for job, result in zip(group, ran.value, strict=True):
            job.result = result
