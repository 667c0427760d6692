"""Caches that a node holds: few open at a time, drained through one door, whatever the node went through."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from cache_helpers import KEY, Place, noise, place_of, simulated
from message_hubs import ScriptedHub

from inos.core.env import Env, RealEnv
from inos.core.errors import BadInput, Corrupt, NotFound, StorageFull, Unavailable
from inos.core.messages.message import Draft
from inos.core.messages.query import MessageQuery
from inos.messages.cache import CacheLimits
from inos.messages.desk_outboxes import DeskOutboxes, OutboxSettings
from inos.messages.sending import MAX_PAUSE_S
from inos.messages.sizing import MIN_CACHE_BYTES
from inos.testing.env import SimEnv
from inos.testing.run import sim_test, trio_test


def desk_of(place: Place, env: Env, **options: Any) -> DeskOutboxes:
    return DeskOutboxes(place.folder, KEY, env, files=place.files, **options)


@asynccontextmanager
async def running(desk: DeskOutboxes, hub: ScriptedHub) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run, hub)
        yield
        nursery.cancel_scope.cancel()
    await desk.aclose()


def drafts(agent: str, count: int, begin: int = 0) -> list[Draft]:
    return [Draft(agent, number) for number in range(begin, begin + count)]


def contents(hub: ScriptedHub, agent: str) -> list[object]:
    return [each.content for each in hub.order if each.agent == agent]


@sim_test
async def test_agents_write_and_the_hub_gets_it_though_few_caches_are_open() -> None:
    place, env, hub = simulated(), SimEnv(), ScriptedHub(covers=True)
    desk = desk_of(place, env, most_open=3)
    async with running(desk, hub):
        for turn in range(3):
            for number in range(8):
                posted = await desk.post(drafts(f"agent-{number}", 2, 2 * turn))
                assert [each.agent for each in posted] == [f"agent-{number}"] * 2
                await trio.sleep(0.01)
        assert [contents(hub, f"agent-{n}") for n in range(8)] == [list(range(6))] * 8
        assert len(desk._held) <= 3
        reports = await desk.reports()
        assert [(each.agent, each.messages, each.pending) for each in reports] == [
            (f"agent-{n}", 6, 0) for n in range(8)
        ]


@sim_test
async def test_while_the_hub_is_away_all_waits_on_this_disk_through_restarts_of_the_node() -> None:
    place, env = simulated(), SimEnv()
    hub = ScriptedHub(down=Unavailable("away"), covers=True)
    desk = desk_of(place, env, most_open=2)
    async with running(desk, hub):
        for number in range(6):
            await desk.post(drafts(f"agent-{number}", 3))
        await trio.sleep(10)
        reports = await desk.reports()
        assert [each.pending for each in reports] == [3] * 6
        assert all("away" in each.last_error and each.lag_s >= 10 for each in reports)
        assert len(desk._held) == 6, "one with something to send is not closed"
    assert place.disk is not None
    place.disk.crash()
    hub.down = None
    desk = desk_of(place, env, most_open=2)
    async with running(desk, hub):
        await trio.sleep(5)
        assert [contents(hub, f"agent-{n}") for n in range(6)] == [list(range(3))] * 6
        assert [each.pending for each in await desk.reports()] == [0] * 6
        written = await desk.post(drafts("agent-3", 1, 3))
        await trio.sleep(1)
        assert hub.order[-1] == written[0]


@sim_test
async def test_a_hub_that_took_over_gets_what_the_closed_ones_had_given_to_the_old_one() -> None:
    place, env, old = simulated(), SimEnv(), ScriptedHub()
    desk = desk_of(place, env, most_open=2)
    async with running(desk, old):
        for number in range(9):
            await desk.post(drafts(f"agent-{number}", 3))
            await trio.sleep(0.01)
        assert len(old.order) == 27
        assert len(desk._held) == 2
        new = old.replaced("hub-2")
        old.send = new.send  # type: ignore[method-assign]
        await trio.sleep(120)
        assert [contents(new, f"agent-{n}") for n in range(9)] == [list(range(3))] * 9
        assert len(desk._held) <= 3


@sim_test
async def test_a_hub_that_was_found_is_told_at_once() -> None:
    place, env, hub = simulated(), SimEnv(), ScriptedHub(down=Unavailable("away"))
    desk = desk_of(place, env)
    async with running(desk, hub):
        await desk.post(drafts("a", 1))
        await trio.sleep(10 * MAX_PAUSE_S)
        hub.down = None
        desk.poke()
        await trio.sleep(0.001)
        assert contents(hub, "a") == [0]


@sim_test
async def test_what_is_here_can_be_read_while_the_hub_is_away() -> None:
    place, env = simulated(), SimEnv()
    desk = desk_of(place, env, most_open=1)
    await desk.post([Draft("b", {"text": "about apples"}, task="t")])
    await trio.sleep(1)
    [late] = await desk.post([Draft("a", {"text": "about pears"}, task="t")])
    assert [each.message.agent for each in (await desk.query(MessageQuery(task="t"))).messages] == ["a", "b"]
    assert [each.message.agent for each in (await desk.query(MessageQuery(order="oldest"))).messages] == ["b", "a"]
    assert [each.message.agent for each in (await desk.query(MessageQuery(agent="b", text="apples"))).messages] == ["b"]
    assert not (await desk.query(MessageQuery(agent="nobody"))).messages
    assert (await desk.get(late.id)).message == late
    with pytest.raises(NotFound):
        await desk.get("01a21e41-4a9d-7d52-84bc-361e79528b9a")
    assert await desk.agents() == ["a", "b"]
    await desk.aclose()


@sim_test
async def test_parked_messages_are_reached_through_the_desk() -> None:
    place, env, hub = simulated(), SimEnv(), ScriptedHub(refuses=lambda message: message.content == 1)
    desk = desk_of(place, env)
    async with running(desk, hub):
        posted = await desk.post(drafts("a", 3))
        await trio.sleep(1)
        assert contents(hub, "a") == [0, 2]
        assert [each.id for each in await desk.parked("a", lambda cache: cache.outbox.parked())] == [posted[1].id]
        assert (await desk.reports())[0].parked == 1
        hub.refuses = lambda message: False
        assert await desk.parked("a", lambda cache: cache.outbox.retry()) == 1
        await trio.sleep(1)
        assert contents(hub, "a") == [0, 2, 1]
        with pytest.raises(NotFound):
            await desk.parked("nobody", lambda cache: cache.outbox.parked())


@sim_test
async def test_a_full_or_damaged_cache_of_one_agent_is_nobody_elses_trouble() -> None:
    place, env, hub = simulated(), SimEnv(), ScriptedHub(down=Unavailable("away"))
    small = OutboxSettings(CacheLimits(MIN_CACHE_BYTES))
    desk = desk_of(place, env, settings=lambda agent: small if agent == "full" else OutboxSettings())
    async with running(desk, hub):
        await desk.post(drafts("sound", 1))
        await desk.post(drafts("rotten", 1))
        with pytest.raises(StorageFull):
            for number in range(500):
                await desk.post([Draft("full", noise(20_000, number))])
        await desk.post(drafts("sound", 1, 1))
    disk = place.disk
    assert disk is not None
    disk.rot(str(place.folder / "rotten.db"), bits=200)
    hub.down = None
    desk = desk_of(place, env)
    async with running(desk, hub):
        await trio.sleep(60)
        assert contents(hub, "sound") == [0, 1]
        assert len(contents(hub, "full")) > 100
        by_agent = {each.agent: each for each in await desk.reports()}
        assert by_agent["rotten"].last_error.startswith("corrupt")
        with pytest.raises(Corrupt):
            await desk.post(drafts("rotten", 1))


@trio_test
async def test_on_a_real_disk_with_real_threads(tmp_path: Path) -> None:
    place, hub = place_of("machine", tmp_path), ScriptedHub(covers=True)
    desk = desk_of(place, RealEnv(), most_open=3)

    async def agent(name: str) -> None:
        for number in range(15):
            await desk.post(drafts(name, 1, number))

    async with running(desk, hub):
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(agent, f"agent-{number}")
        with trio.fail_after(30):
            while len(hub.order) < 90:  # noqa: ASYNC110 - the hub knows of nobody who waits
                await trio.sleep(0.01)
        assert [contents(hub, f"agent-{n}") for n in range(6)] == [list(range(15))] * 6


@sim_test
async def test_too_many_at_once_and_names_that_are_none_are_refused() -> None:
    desk = desk_of(simulated(), SimEnv())
    with pytest.raises(BadInput, match="at most 500"):
        await desk.post(drafts("a", 501))
    for name in ("../a", "", "a/b", ".a"):
        with pytest.raises(BadInput, match="not the name of an agent"):
            await desk.post([Draft(name, 1)])
    assert await desk.agents() == []
