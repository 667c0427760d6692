"""The task that brings what a cache holds to a hub: effects around the decisions of `sending.py`.

Runs on any event loop (anyio). One batch is in flight at a time. A message that was just written goes out at once
(`poke`); after a failure pokes are not listened to until the pause is over, except by `hurry`. A failure never ends the
task: it is kept in `report`, and tried again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from inos.core.env import Env
from inos.core.errors import InosError, Unavailable
from inos.core.messages.sync import Ack
from inos.messages.cache import AgentCache
from inos.messages.cache_outbox import OutboxState
from inos.messages.sending import (
    Course,
    Pace,
    Waiting,
    after_answer,
    after_failure,
    after_news,
    batch_body,
    begin,
    has_moved,
    news_pause_s,
    pause_s,
)

log = logging.getLogger(__name__)

_NAME_BYTES: Final = 8
# A hub that shows life and answers nothing for so long has hung: the batch goes out again, which does no harm. The
# longest batch over a slow line takes less.
ANSWER_S: Final = 120.0


class HubDoor(Protocol):
    """The way to the hub, wherever it is."""

    async def send(self, batch: bytes, count: int) -> Ack:
        """Have the hub store the `count` messages of an encoded batch. Raises BadInput or TooLarge only when the hub
        said so of this batch; Unavailable, Busy, StorageFull, Refused… for whatever else keeps it from being taken."""


@dataclass(slots=True)
class SenderReport:
    """How sending has gone since it began. Times are monotonic seconds of the Env, None is never."""

    batches: int = 0
    messages: int = 0
    failures: int = 0
    failures_in_row: int = 0
    last_success_s: float | None = None
    last_error: str = ""


class Sender:
    """Brings the outbox of one cache to a hub for as long as `run` runs."""

    def __init__(
        self,
        cache: AgentCache,
        door: HubDoor,
        env: Env,
        *,
        pace: Pace | None = None,
        node: str = "",
        emptied: Callable[[], None] = lambda: None,
    ) -> None:
        """`node` names this machine in the hub's log; `emptied` is called whenever nothing is left to send."""
        self.report = SenderReport()
        self._cache = cache
        self._door = door
        self._env = env
        self._pace = pace or Pace()
        self._node = node
        self._emptied = emptied
        self._course: Course = begin(self._pace)
        self._wake = anyio.Event()
        self._hurry = anyio.Event()
        self._drained = anyio.Event()

    def poke(self) -> None:
        """There is something to send. Cheap. Only from the event loop that runs it."""
        self._wake.set()

    def hurry(self) -> None:
        """Try again now, whatever failed before."""
        self._hurry.set()
        self._wake.set()

    async def drained(self) -> None:
        """Wait until nothing is pending; what is parked does not count."""
        while (await self._state()).pending:
            self.hurry()
            await self._drained.wait()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._wake = anyio.Event()
            try:
                await self._wait(await self._round())
            except InosError as error:  # our own disk: full or damaged; nothing is lost by trying again
                self._course, _ = after_failure(self._course, self._pace, error, 0)
                self._note(error)
                await self._wait(self._pause(0))

    async def _round(self) -> float:
        """One batch, or a look for news; how long to wait then."""
        batch = await self._env.in_thread(self._cache.outbox.take, self._course.most)
        if not batch:
            self._tell_drained()
            return await self._look_for_news()
        ack = await self._sent(batch)
        if ack is None:
            return self._pause(len(batch))
        moved = has_moved(self._cache.outbox.hub, ack)
        count = await self._env.in_thread(self._cache.outbox.settle, batch, ack, self._now_ms())
        self._course = after_answer(self._course, self._pace, moved=moved)
        self._succeeded(count)
        return self._pause(len(batch))

    async def _look_for_news(self) -> float:
        """The hub's identity and what it has covered come with answers; an idle outbox sends a message again for it."""
        before, told = await self._state(), self._cache.outbox.hub
        pause = news_pause_s(self._course, self._pace, any_uncovered=before.uncovered)
        if pause is None:
            return math.inf
        if await self._woken_within(pause):
            return 0.0
        batch = await self._env.in_thread(self._cache.outbox.take_uncovered)
        ack = await self._sent(batch) if batch else None
        if ack is None:
            return self._pause(len(batch))
        await self._env.in_thread(self._cache.outbox.settle, batch, ack, self._now_ms())
        any_new = (await self._state()).covered_seq != before.covered_seq or self._cache.outbox.hub != told
        self._course = after_news(self._course, any_new=any_new)
        self._succeeded(0)
        return 0.0

    async def _state(self) -> OutboxState:
        return await self._env.in_thread(self._cache.outbox.state)

    async def _sent(self, batch: Sequence[Waiting]) -> Ack | None:
        name = self._env.token_bytes(_NAME_BYTES).hex()
        body = await self._env.in_thread(batch_body, name, self._node, self._cache.outbox.hub, batch)
        try:
            return await self._answered(body, len(batch))
        except InosError as error:
            self._course, park = after_failure(self._course, self._pace, error, len(batch))
            self._note(error)
            if park:
                await self._env.in_thread(self._cache.outbox.park, batch[0].seq, error, self._now_ms())
            return None

    async def _answered(self, body: bytes, count: int) -> Ack:
        with anyio.move_on_after(ANSWER_S):
            return await self._door.send(body, count)
        raise Unavailable(f"the hub has not answered for {ANSWER_S:.0f} s", hint="look at its node: inos status")

    def _pause(self, waiting: int) -> float:
        return -pause_s(self._course, self._pace, waiting, self._env.random.random())

    async def _wait(self, pause: float) -> None:
        """Wait so long, or until poked; a pause below zero is one after a failure, which only `hurry` ends."""
        if pause >= 0:
            await self._woken_within(pause)
            return
        with anyio.move_on_after(-pause):
            await self._hurry.wait()
        self._hurry = anyio.Event()

    async def _woken_within(self, pause: float) -> bool:
        with anyio.move_on_after(pause):
            await self._wake.wait()
            return True
        return False

    def _tell_drained(self) -> None:
        drained, self._drained = self._drained, anyio.Event()
        drained.set()
        self._emptied()

    def _succeeded(self, count: int) -> None:
        self.report.batches += 1
        self.report.messages += count
        self.report.failures_in_row = 0
        self.report.last_error = ""
        self.report.last_success_s = self._env.monotonic_s()

    def _note(self, error: InosError) -> None:
        self.report.failures += 1
        self.report.failures_in_row += 1
        self.report.last_error = f"{error.code}: {error.message}"[:300]
        if self.report.failures_in_row == 1:
            log.warning("messages of %s do not reach the hub: %s", self._cache.agent, self.report.last_error)

    def _now_ms(self) -> int:
        return int(self._env.now_s() * 1000)
