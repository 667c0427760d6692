"""The outbox: what a hub has not got stays, what it answers is done once, and whatever is played, nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from cache_helpers import AGENT, Place, draft, simulated, write
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from message_hubs import ScriptedHub

from inos.core.errors import BadInput, Conflict, NotFound, Unavailable
from inos.core.messages.message import Message
from inos.core.messages.query import MessageQuery
from inos.core.messages.sync import Ack, Result
from inos.messages.cache import AgentCache
from inos.messages.cache_outbox import OutboxState
from inos.messages.sending import batch_body
from inos.testing.run import trio_test


async def send(cache: AgentCache, hub: ScriptedHub, most: int = 500) -> int:
    """One batch to the hub and back."""
    batch = cache.outbox.take(most)
    if not batch:
        return 0
    ack = await hub.send(batch_body("b", "n", cache.outbox.hub, batch), len(batch))
    cache.outbox.settle(batch, ack, 0)
    return len(batch)


async def drain(cache: AgentCache, hub: ScriptedHub) -> None:
    while await send(cache, hub, 7):
        pass


@trio_test
async def test_a_message_goes_from_pending_to_settled() -> None:
    cache, hub = simulated().open(), ScriptedHub()
    first, second = write(cache, 2)
    assert cache.outbox.status(first.id) == "pending"
    batch = cache.outbox.take(1)
    assert (cache.outbox.status(first.id), cache.outbox.status(second.id)) == ("sending", "pending")
    ack = await hub.send(batch_body("b", "n", "", batch), 1)
    assert cache.outbox.settle(batch, ack, 0) == 1
    assert cache.outbox.status(first.id) == "acked"
    assert cache.outbox.hub == "hub-1"
    hub.covers = True
    await drain(cache, hub)
    assert cache.outbox.status(first.id) == cache.outbox.status(second.id) == "settled"
    assert (cache.stats().pending, cache.stats().uncovered) == (0, 0)
    cache.close()


@trio_test
async def test_what_was_being_sent_when_the_process_died_is_sent_again_and_stored_once() -> None:
    place, hub = simulated(), ScriptedHub()
    cache = place.open()
    written = write(cache, 3)
    batch = cache.outbox.take()
    await hub.send(batch_body("b", "n", "", batch), 3)  # the answer arrives after the end
    assert place.disk is not None
    place.disk.kill()
    cache.close()
    cache = place.open()
    assert cache.outbox.status(written[0].id) == "pending"
    await drain(cache, hub)
    assert hub.order == written
    assert cache.outbox.counts().pending == 0
    cache.close()


@trio_test
async def test_a_hub_that_took_over_gets_what_the_old_one_did_not_cover_before_anything_new() -> None:
    cache, old = simulated().open(), ScriptedHub(covers=True)
    written = write(cache, 4)
    await drain(cache, old)
    old.covers = False
    written += write(cache, 4)
    await drain(cache, old)
    assert cache.outbox.counts().uncovered == 4
    new = old.replaced("hub-2")
    assert new.order == written[:4]
    written += write(cache, 4)
    await drain(cache, new)
    assert new.order == written, "all of them, once each, in the order of writing"
    assert cache.outbox.hub == "hub-2"
    assert cache.outbox.counts().uncovered == 8
    cache.close()


@trio_test
async def test_what_is_covered_is_forgotten_to_the_message() -> None:
    cache, hub = simulated().open(), ScriptedHub()
    written = write(cache, 5)
    await drain(cache, hub)
    hub.covered_seq = 3
    probe = cache.outbox.take_uncovered()
    assert [each.id for each in probe] == [written[0].id]
    cache.outbox.settle(probe, await hub.send(batch_body("b", "n", cache.outbox.hub, probe), 1), 0)
    assert [cache.outbox.status(each.id) for each in written] == ["settled"] * 3 + ["acked"] * 2
    assert cache.outbox.state() == OutboxState(pending=False, uncovered=True, covered_seq=3)
    cache.close()


@trio_test
async def test_a_refused_message_is_parked_shown_retried_and_dropped() -> None:
    cache = simulated().open()
    written = write(cache, 5)
    hub = ScriptedHub(refuses=lambda message: message.id in (written[1].id, written[3].id))
    await drain(cache, hub)
    assert hub.order == [written[0], written[2], written[4]], "it holds up nobody"
    first, second = cache.outbox.parked()
    assert (first.id, second.id) == (written[1].id, written[3].id)
    assert isinstance(first.error, Conflict)
    assert first.error.hint == "give it a new one"
    assert cache.outbox.status(written[1].id) == "failed"
    assert (cache.stats().pending, cache.stats().parked) == (0, 2)
    with pytest.raises(NotFound):
        cache.outbox.drop([written[1].id, written[0].id])
    assert cache.outbox.drop([]) == 0
    assert cache.stats().parked == 2, "all or none"
    assert cache.outbox.drop([written[1].id]) == 1
    assert cache.outbox.retry([written[3].id, written[3].id]) == 1, "named twice, sent once"
    hub.refuses = lambda message: False
    await drain(cache, hub)
    assert hub.order[-1] == written[3]
    assert cache.stats().parked == 0
    assert cache.get(written[1].id).message == written[1], "a dropped one stays here"
    cache.close()


def test_an_answer_to_something_else_changes_nothing() -> None:
    cache = simulated().open()
    write(cache, 2)
    batch = cache.outbox.take()
    with pytest.raises(Unavailable):
        cache.outbox.settle(batch, Ack("hub", (Result(batch[0].id, "stored", 1),)), 0)
    assert cache.outbox.counts().pending == 2
    assert cache.outbox.hub == ""
    cache.close()


@dataclass
class Kept:
    """What must be so, beside the cache."""

    written: list[Message] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)


class OutboxMachine(RuleBasedStateMachine):
    """Writing, sending, lost answers, hubs that cover or are lost with all they did not, kills, and full recovery."""

    @initialize()
    def begin(self) -> None:
        self.place: Place = simulated()
        self.cache = self.place.open()
        self.kept = Kept()
        self.hub = ScriptedHub()
        self.hubs = 1

    @rule(count=st.integers(1, 9), bad=st.booleans())
    def write(self, count: int, bad: bool) -> None:
        written = self.cache.append_many([draft(number) for number in range(count)])
        self.kept.written += written
        if bad:
            self.kept.poison.add(written[0].id)

    @rule(most=st.integers(1, 9), lost=st.booleans())
    def send(self, most: int, lost: bool) -> None:
        batch = self.cache.outbox.take(most)
        if not batch:
            return
        self.hub.refuses = lambda message: message.id in self.kept.poison
        self.hub.down, self.hub.answer_lost = (Unavailable("lost"), True) if lost else (None, False)
        self._call(batch)

    def _call(self, batch: tuple) -> None:  # type: ignore[type-arg]
        coroutine = self.hub.send(batch_body("b", "n", self.cache.outbox.hub, batch), len(batch))
        try:
            coroutine.send(None)
        except StopIteration as done:
            self.cache.outbox.settle(batch, done.value, 0)
        except (Unavailable, BadInput):
            pass

    @rule()
    def look_for_news(self) -> None:
        self.hub.down = None
        if batch := self.cache.outbox.take_uncovered():
            self._call(batch)

    @rule(behind=st.integers(0, 5))
    def cover(self, behind: int) -> None:
        self.hub.covered_seq = max(self.hub.covered_seq, len(self.hub.order) - behind)

    @rule()
    def lose_the_hub(self) -> None:
        self.hubs += 1
        self.hub = self.hub.replaced(f"hub-{self.hubs}")

    @rule()
    def kill(self) -> None:
        assert self.place.disk is not None
        self.place.disk.kill()
        self.cache.close()
        self.cache = self.place.open()

    @rule()
    def retry(self) -> None:
        self.cache.outbox.retry()

    @invariant()
    def nothing_is_lost(self) -> None:
        """A message that the hub has not got is pending or parked; what it has got may also be forgotten here."""
        for message in self.kept.written:
            status = self.cache.outbox.status(message.id)
            if status == "settled":
                assert message.id in self.hub.stored, "said to be safe, and gone with a hub"

    def teardown(self) -> None:
        self.hub.down, self.hub.covers = None, True
        self.hub.refuses = lambda message: False
        self.cache.outbox.retry()
        for _ in range(3):
            while batch := self.cache.outbox.take(50):
                self._call(batch)
            self.look_for_news()
        assert {each.id for each in self.kept.written} == set(self.hub.stored), "all arrived, none twice"
        assert len(self.hub.order) == len(self.hub.stored)
        found = self.cache.query(MessageQuery(order="oldest", limit=500, agent=AGENT)).messages
        assert [each.message for each in found] == self.kept.written[:500]
        self.cache.close()


OutboxMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25)
TestOutboxMachine = OutboxMachine.TestCase
