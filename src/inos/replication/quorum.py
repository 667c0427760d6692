"""Getting records to their replicas: one lane to each peer, and a tally of who has them.

A lane has one call under way and gathers what is meant for its peer meanwhile, so that a thousand writes a second
become a few calls. A lane has a bound: what does not fit fails at once and is left to anti-entropy. Pushes belong to
the nursery of `Lanes.run`, not to the write that made them: the write returns at its majority, the stragglers go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from inos.core.errors import InosError
from inos.replication import table_wire as wire

if TYPE_CHECKING:
    from trio_typing import TaskStatus

# Writers that find a lane full are told `local`, so it must hold what a busy node writes while one call is under way;
# lanes share the bytes of a record, so all of them together hold no more than this.
MAX_LANE_BYTES: Final = 32 << 20

Send = Callable[[bytes, Sequence[bytes]], Awaitable[dict[int, str]]]
Settle = Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Push:
    """One record for one peer; `settle` is called once, with whether the peer has it (or a newer one) synced."""

    encoded: bytes
    settle: Settle


class Tally:
    """How far the records of one write have come. First say who was asked to take what (`expect`), then `begin`;
    `settled` is set when every record has its majority or cannot get it any more."""

    def __init__(self, wanted: Sequence[int], acked: Sequence[int]) -> None:
        self._wanted = list(wanted)
        self._acks = list(acked)
        self._open = [0] * len(self._wanted)
        self._undecided: int | None = None
        self.settled = trio.Event()

    def expect(self, index: int) -> Settle:
        """One more replica is asked to take record `index`; the returned function tells how that went."""
        self._open[index] += 1

        def settle(acked: bool) -> None:
            undecided = self._is_undecided(index)
            self._open[index] -= 1
            self._acks[index] += acked
            if self._undecided is not None and undecided and not self._is_undecided(index):
                self._undecided -= 1
                self._close_if_decided()

        return settle

    def begin(self) -> None:
        """Nobody else will be asked."""
        self._undecided = sum(map(self._is_undecided, range(len(self._open))))
        self._close_if_decided()

    def reached(self, index: int) -> bool:
        return self._acks[index] >= self._wanted[index]

    def weakest(self) -> tuple[int, int]:
        """(acks, wanted) of the record that is furthest from its majority."""
        return min(zip(self._acks, self._wanted, strict=True), key=lambda pair: pair[0] - pair[1], default=(0, 0))

    def _close_if_decided(self) -> None:
        if self._undecided == 0:
            self.settled.set()

    def _is_undecided(self, index: int) -> bool:
        return not self.reached(index) and self._open[index] > 0


class Lanes:
    """The lanes of one node. `failed` hears of peers that did not take what was meant for them."""

    def __init__(self, send: Send, failed: Callable[[bytes], None]) -> None:
        self._send = send
        self._failed = failed
        self._waiting: dict[bytes, deque[Push]] = {}
        self._bytes: dict[bytes, int] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run short work in the background of the lanes; dropped when they do not run."""
        if self._nursery is not None:
            self._nursery.start_soon(work)

    def offer(self, node: bytes, pushes: Sequence[Push]) -> None:
        """Put these in the lane to `node`. Settled at once, as failed, when the lane is full or nothing runs."""
        size = sum(len(push.encoded) for push in pushes)
        if self._nursery is None or self._bytes.get(node, 0) + size > MAX_LANE_BYTES:
            self._give_up(node, pushes)
            return
        self._bytes[node] = self._bytes.get(node, 0) + size
        queue = self._waiting.get(node)
        if queue is not None:
            queue.extend(pushes)
            return
        self._waiting[node] = deque(pushes)
        self._nursery.start_soon(self._drain, node)

    async def _drain(self, node: bytes) -> None:
        queue = self._waiting[node]
        try:
            while queue:
                await self._push_once(node, queue)
        finally:
            del self._waiting[node], self._bytes[node]

    async def _push_once(self, node: bytes, queue: deque[Push]) -> None:
        head = [queue[at] for at in range(min(len(queue), wire.MAX_BATCH_RECORDS))]
        count = wire.fitting([len(push.encoded) for push in head], max_items=wire.MAX_BATCH_RECORDS)
        batch = [queue.popleft() for _ in range(count)]
        self._bytes[node] -= sum(len(push.encoded) for push in batch)
        try:
            refused = await self._send(node, [push.encoded for push in batch])
        except InosError:
            rest = list(queue)
            queue.clear()
            self._bytes[node] = 0
            self._give_up(node, batch + rest)
            return
        for at, push in enumerate(batch):
            push.settle(at not in refused)

    def _give_up(self, node: bytes, pushes: Sequence[Push]) -> None:
        self._failed(node)
        for push in pushes:
            push.settle(False)
