"""Faults in what keeps messages: what a hub acknowledges, what it calls covered, what an agent sends again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from inos.core.messages.message import Message
from inos.core.messages.sync import Result
from inos.messages import cache_outbox
from inos.messages.cache_rows import set_fact
from inos.messages.cache_schema import HUB
from inos.messages.covering import Covering, _Pending
from inos.messages.hub import Hub
from inos.sim.mutations.mutation import Mutation, replaced
from inos.sim.script import Script, cluster
from inos.store.cursor import Cursor


@contextmanager
def _acknowledge_unstored() -> Iterator[None]:
    """The hub answers for a whole batch when it has stored the first half of it."""
    insert = Hub._insert

    def insert_half(self: Hub, messages: Sequence[Message]) -> list[Result]:
        stored = insert(self, messages[: (len(messages) + 1) // 2])
        last = max((each.seq for each in stored), default=0)
        return stored + [Result(each.id, "stored", last) for each in messages[len(stored) :]]

    with replaced(Hub, "_insert", insert_half):
        yield


@contextmanager
def _forget_uncovered() -> Iterator[None]:
    """An agent that finds another hub does not send again what the one before had not covered."""

    def requeue_nothing(cursor: Cursor, hub: int) -> None:
        set_fact(cursor, HUB, hub)

    with replaced(cache_outbox, "_requeue_others", requeue_nothing):
        yield


@contextmanager
def _cover_unput() -> Iterator[None]:
    """A hub calls covered what it has only tried to put into the mesh."""
    put = Covering._put

    async def put_or_not(self: Covering, pending: _Pending) -> bool:
        segments, self._segments = self._segments, _Nowhere()  # type: ignore[assignment]
        try:
            return await put(self, pending)
        finally:
            self._segments = segments

    with replaced(Covering, "_put", put_or_not):
        yield


class _Nowhere:
    async def put(self, name: object, packed: object) -> bool:
        return True


def _hub_lost(seed: int) -> tuple[Script, float]:
    """Messages in several batches, a hub that loses its disk right behind them."""
    script = cluster(5, seed=seed, hubs=2, snapshot_s=30.0, settle_s=240).wait(seconds=20).append("d", 12)
    return script.append("e", 12).wait(seconds=2).destroy("a").wait(seconds=60).append("d", 2), 120


def _hub_lost_later(seed: int) -> tuple[Script, float]:
    """What the hub says is covered was sent long ago."""
    script = cluster(5, seed=seed, hubs=2, settle_s=240).wait(seconds=20).append("d", 12)
    return script.wait(seconds=60).destroy("a").wait(seconds=60).append("d", 2), 150


MESSAGE_MUTATIONS = (
    Mutation(
        "acknowledge-unstored", "a hub acknowledges what it has not stored", ("messages_kept",),
        _acknowledge_unstored, _hub_lost,
    ),
    Mutation(
        "forget-uncovered", "an agent takes what another hub had for safe", ("messages_kept", "nothing_is_left_over"),
        _forget_uncovered, _hub_lost,
    ),
    Mutation(
        "cover-unput", "a hub calls covered what is on its disk alone", ("messages_kept",),
        _cover_unput, _hub_lost_later,
    ),
)  # fmt: skip
