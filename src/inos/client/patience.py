"""Waiting for a node that does not answer: when the user is told, and when it is given up.

A node at work for long (a large put, a mesh with members missing) still answers another request: `/health`, on a
connection of its own. So a request may take as long as it takes while the node shows life: bytes that come or go, on
any connection, or an answer to that question. A node without life is told of after QUIET_S + PROBE_S, and given up
after GIVE_UP_S: it was stopped, or hangs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import anyio

from inos.client.tasks import first_error
from inos.core.endpoint import lock_holder
from inos.core.errors import Unavailable

T = TypeVar("T")
Tell = Callable[[str], None]

QUIET_S: Final = 1.0  # nearly every request is answered within; the question costs a busy node next to nothing
PROBE_S: Final = 1.0  # on this machine an answer takes a millisecond; a node that hashes or syncs, a few hundred
GIVE_UP_S: Final = 30.0  # longer than a node was ever seen not to get around to anything, on a machine that swaps
AT_WORK_S: Final = 10.0  # from then on a person wonders whether anything still happens


class Patience:
    """For one node at `url`; `home` is its data root, if it was found by that. `tell` is called with a line or two when
    a wait becomes one that a person wonders about; `alive` asks the node for a sign of life, and raises OSError or
    returns when there was one."""

    def __init__(self, url: str, home: Path | None, tell: Tell | None, alive: Callable[[], Awaitable[None]]) -> None:
        self._url = url
        self._home = home
        self._tell = tell or (lambda _text: None)
        self._alive = alive
        self._life_s = float("-inf")
        self._told = False

    def saw_life(self) -> None:
        """The node took or gave bytes just now."""
        self._life_s = anyio.current_time()
        self._told = False

    async def of(self, work: Callable[[], Awaitable[T]], owed: Callable[[], bool] = lambda: True) -> T:
        """`work()`, as long as the node shows life. `owed` says whether the next word is the node's: while it is not,
        nobody is told that the node is still at work. Raises Unavailable."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, owed)
                result = await work()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        return result

    async def of_piece(self, work: Callable[[], Awaitable[T]], owed: Callable[[], bool] = lambda: True) -> T:
        """`of`, for work that is done again and again and mostly at once, and loses nothing when it is broken off."""
        with anyio.move_on_after(QUIET_S):  # a task to watch costs fifteen times as much as this scope
            return await work()
        return await self.of(work, owed)

    async def _watch(self, owed: Callable[[], bool]) -> None:
        started_s = anyio.current_time()
        owed_since_s: float | None = None
        while True:
            since_s = max(started_s, self._life_s)
            await anyio.sleep_until(since_s + QUIET_S)
            if self._life_s > since_s:
                continue
            await self._ask(since_s)
            if not owed():
                owed_since_s = None
            elif owed_since_s is None:
                owed_since_s = since_s
            elif anyio.current_time() - owed_since_s >= AT_WORK_S:
                self._tell(f"{self._node()} is still at work on this")
                owed_since_s = float("inf")

    async def _ask(self, since_s: float) -> None:
        """Ask until there is an answer, or other life. Raises Unavailable."""
        wait_s = PROBE_S
        while self._life_s <= since_s:
            with anyio.move_on_after(wait_s):
                try:
                    await self._alive()
                    self.saw_life()
                    return
                except OSError:
                    await anyio.sleep(PROBE_S)
            silent_s = anyio.current_time() - since_s
            left_s = GIVE_UP_S - silent_s
            if left_s <= 0:
                raise Unavailable(f"{self._node()} has not answered for {silent_s:.0f} s", hint=self._hint())
            if not self._told and self._life_s <= since_s:
                self._told = True
                self._tell(f"{self._node()} does not answer yet; waiting up to {left_s:.0f} s\nhint: {self._hint()}")
            wait_s = min(
                wait_s * 2, left_s
            )  # one question waits in the backlog of a stopped node; thirty would fill it

    def _node(self) -> str:
        pid = self._pid()
        return f"the node at {self._url}" + (f" (process {pid})" if pid else "")

    def _hint(self) -> str:
        pid = self._pid()
        if not pid:
            return "see whether it hangs, end it, and start it again: inos up"
        if _is_stopped(pid):
            return f"process {pid} was stopped; to let it go on: kill -CONT {pid}"
        return f"if it hangs, end it (kill {pid}, or kill -9 {pid}) and start it again: inos up"

    def _pid(self) -> int | None:
        return lock_holder(self._home) if self._home else None


def _is_stopped(pid: int) -> bool:
    """Whether a signal (Ctrl-Z, SIGSTOP) stopped the process; False where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False
