"""The sender: at once when there is a hub, patient when there is none, in order, and never the end of its task."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
import trio.lowlevel
from cache_helpers import AGENT, draft, noise, simulated
from message_hubs import ScriptedHub

from inos.core.errors import Busy, StorageFull, TooLarge, Unavailable
from inos.core.messages.message import Message
from inos.core.messages.sync import MAX_BATCH_BYTES
from inos.messages.cache import AgentCache, CacheLimits
from inos.messages.sender import ANSWER_S, Sender
from inos.messages.sending import MAX_PAUSE_S, Pace
from inos.sim.disk import SimDisk
from inos.testing.env import SimEnv
from inos.testing.run import sim_test


def opened(seed: int = 1) -> tuple[AgentCache, SimEnv, SimDisk]:
    place, env = simulated(seed), SimEnv(seed)
    assert place.disk is not None
    limits = CacheLimits(100_000_000)
    cache = AgentCache(place.folder / "c.db", bytes(32), AGENT, env, limits=limits, files=place.files)
    return cache, env, place.disk


@asynccontextmanager
async def sending(cache: AgentCache, hub: ScriptedHub, env: SimEnv, pace: Pace | None = None) -> AsyncGenerator[Sender]:
    sender = Sender(cache, hub, env, pace=pace, node="n")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        yield sender
        nursery.cancel_scope.cancel()


def write(cache: AgentCache, sender: Sender | None, count: int = 1) -> list[Message]:
    written = cache.append_many([draft(number) for number in range(count)])
    if sender is not None:
        sender.poke()
    return written


@sim_test
async def test_a_message_goes_out_at_once() -> None:
    cache, env, _ = opened()
    hub = ScriptedHub(covers=True)
    async with sending(cache, hub, env) as sender:
        for _ in range(3):
            began = trio.current_time()
            written = write(cache, sender)
            await sender.drained()
            assert trio.current_time() == began
            assert hub.order[-1:] == written
            await trio.sleep(7)
    assert sender.report.messages == 3
    cache.close()


@sim_test
async def test_a_hub_that_is_away_is_tried_ever_more_rarely_and_found_again() -> None:
    for error in (Unavailable("away"), Busy("pressed"), StorageFull("its disk is full")):
        cache, env, _ = opened()
        hub, tries = ScriptedHub(down=error, covers=True), []
        send = hub.send

        async def watched(batch: bytes, count: int) -> object:
            tries.append(trio.current_time())  # noqa: B023
            return await send(batch, count)  # noqa: B023

        hub.send = watched  # type: ignore[method-assign,assignment]
        async with sending(cache, hub, env) as sender:
            written = write(cache, sender, 3)
            await trio.sleep(300)
            assert sender.report.last_error.startswith(error.code)
            for _ in range(5):
                sender.poke()  # does not hammer a hub that is down
                await trio.lowlevel.checkpoint()
            gaps = [later - before for before, later in itertools.pairwise(tries)]
            assert 12 <= len(tries) <= 40
            assert gaps[0] <= (1 if isinstance(error, Busy) else 0.25)
            assert max(gaps) <= MAX_PAUSE_S
            assert gaps[-1] >= MAX_PAUSE_S / 2
            hub.down = None
            await trio.sleep(MAX_PAUSE_S)
            assert hub.order == written
            assert sender.report.last_error == ""
            assert sender.report.failures_in_row == 0
        cache.close()


@sim_test
async def test_with_much_waiting_the_pause_is_no_longer_than_the_interval() -> None:
    cache, env, _ = opened()
    hub = ScriptedHub(down=Unavailable("away"), covers=True)
    async with sending(cache, hub, env, Pace(interval_s=2.0)) as sender:
        write(cache, sender, 150)
        await trio.sleep(200)
        hub.down = None
        await trio.sleep(2.01)
        assert len(hub.order) == 150
    cache.close()


@sim_test
async def test_flushing_does_not_wait_for_the_pause() -> None:
    cache, env, _ = opened()
    hub = ScriptedHub(down=Unavailable("away"))
    async with sending(cache, hub, env) as sender:
        write(cache, sender)
        await trio.sleep(300)
        hub.down = None
        before = trio.current_time()
        await sender.drained()
        assert trio.current_time() == before
    cache.close()


@sim_test
async def test_an_answer_that_was_lost_makes_no_second_message() -> None:
    cache, env, _ = opened()
    hub = ScriptedHub(down=Unavailable("cut off"), answer_lost=True, covers=True)
    async with sending(cache, hub, env) as sender:
        written = write(cache, sender, 5)
        await trio.sleep(3)
        assert hub.order == written
        assert cache.outbox.counts().pending == 5
        hub.down = None
        await trio.sleep(60)
        assert hub.order == written
        assert cache.outbox.counts().pending == 0
    cache.close()


@sim_test
async def test_the_culprit_in_a_refused_batch_is_found_and_parked_and_the_rest_arrives() -> None:
    cache, env, _ = opened()
    hub = ScriptedHub(covers=True)
    written = write(cache, None, 300)
    culprits = [written[70], written[71], written[299]]
    hub.poison = lambda message: message in culprits
    async with sending(cache, hub, env, Pace(retry_max=2)):
        await trio.sleep(30)
        assert [each.id for each in cache.outbox.parked()] == [each.id for each in culprits]
        assert hub.order == [each for each in written if each not in culprits]
    cache.close()


@sim_test
async def test_a_hub_lost_while_nothing_is_written_is_noticed() -> None:
    """What only the lost hub had goes to the next one, without anybody writing."""
    cache, env, _ = opened()
    old = ScriptedHub()
    written = write(cache, None, 20)
    async with sending(cache, old, env):
        await trio.sleep(1000)
        assert len(old.order) == 20
        assert len(old.batches) < 60, "looking for news is cheap"
    new = old.replaced("hub-2")
    assert not new.order
    new.covers = True
    async with sending(cache, new, env):
        await trio.sleep(2 * MAX_PAUSE_S)
        assert new.order == written
        assert cache.outbox.counts().uncovered == 0
    cache.close()


@sim_test
async def test_two_nodes_that_both_say_they_are_the_hub_lose_nothing_and_make_no_storm() -> None:
    cache, env, _ = opened()
    hubs = [ScriptedHub("hub-1"), ScriptedHub("hub-2")]
    calls = 0

    class InTurn:
        async def send(self, batch: bytes, count: int) -> object:
            nonlocal calls
            calls += 1
            return await hubs[calls % 2].send(batch, count)

    async with sending(cache, InTurn(), env) as sender:  # type: ignore[arg-type]
        written = write(cache, sender, 10)
        await trio.sleep(600)
        assert calls < 200
        hubs[1] = hubs[0]
        await trio.sleep(100)
        assert hubs[0].order == written
    cache.close()


@sim_test
async def test_a_backlog_of_long_messages_goes_in_batches_that_fit() -> None:
    cache, env, _ = opened()
    hub = ScriptedHub(covers=True)
    written = [cache.append(draft(noise(250_000, number))) for number in range(60)]
    sizes: list[int] = []
    send = hub.send

    async def watched(batch: bytes, count: int) -> object:
        sizes.append(len(batch))
        return await send(batch, count)

    hub.send = watched  # type: ignore[method-assign,assignment]
    async with sending(cache, hub, env) as sender:
        await sender.drained()
    assert hub.order == written
    assert max(sizes) <= MAX_BATCH_BYTES
    assert len(sizes) == 2
    cache.close()


@sim_test
async def test_a_disk_of_its_own_that_fails_does_not_end_it() -> None:
    cache, env, disk = opened()
    hub = ScriptedHub(covers=True)
    async with sending(cache, hub, env) as sender:
        written = write(cache, None, 3)
        disk.fail("write", times=40)
        sender.poke()
        await trio.sleep(1)
        assert sender.report.failures > 0
        disk.fail("write", times=0)
        written += write(cache, sender, 2)
        await trio.sleep(2 * MAX_PAUSE_S)
        assert hub.order == written
        assert cache.outbox.counts().pending == 0
    cache.close()


@sim_test
async def test_too_large_for_the_hub_is_parked_too() -> None:
    cache, env, _ = opened()
    hub = ScriptedHub(down=TooLarge("over its limit"))
    async with sending(cache, hub, env, Pace(retry_max=1)) as sender:
        write(cache, sender, 2)
        await trio.sleep(5)
        assert [each.error.code for each in cache.outbox.parked()] == ["too_large", "too_large"]
    cache.close()


@sim_test
async def test_a_hub_that_takes_a_batch_and_never_answers_is_tried_again() -> None:
    cache, env, _ = opened()
    hub, hung = ScriptedHub(covers=True), 2
    send = hub.send

    async def stuck(batch: bytes, count: int) -> object:
        nonlocal hung
        answer = await send(batch, count)
        if hung:
            hung -= 1
            await trio.sleep_forever()
        return answer

    hub.send = stuck  # type: ignore[method-assign,assignment]
    async with sending(cache, hub, env) as sender:
        written = write(cache, sender, 3)
        await trio.sleep(ANSWER_S + 1)
        assert (sender.report.failures, sender.report.last_error[:11]) == (1, "unavailable")
        await trio.sleep(ANSWER_S + MAX_PAUSE_S)
        assert hub.order == written and cache.outbox.counts().pending == 0
    cache.close()
