"""Hubs that cannot know, or not yet: cut off while they take over, restarted alone, moved while one hands on, with
segments of which nobody knows whether they were safe. What was covered, and every mark, is there in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hub_cluster import arrived, covered, desk, hubs, never, nothing, post, two_segments, unreadable_first

from inos.core.env import Env
from inos.core.errors import NotEnoughNodes, Unavailable
from inos.messages.restoring import PATIENCE_S
from inos.messages.segments import SegmentName
from inos.node import handing_on
from inos.node.handing_on import HandingOn
from inos.sim.cluster import Cluster, ClusterNode, open_cluster
from inos.testing.run import sim_test


def trouble(node: ClusterNode, worker: str) -> str:
    """What a worker says of its last failure."""
    return next(each for each in node.core.workers.statuses() if each.name == worker).last_error


def brings_nobody_what_he_misses(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.core.tables._equaliser.step = nothing  # type: ignore[method-assign]


@sim_test
async def test_a_hub_that_is_cut_off_while_it_takes_over_waits_for_what_the_mesh_keeps() -> None:
    """It has heard of the marks, and not of the messages they are on: taken in alone, they would find nothing to stay
    on, and never come again."""
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        await desk(a).take_hub()
        await cluster.passes(30)
        brings_nobody_what_he_misses(cluster)
        cluster.fabric.cut(a.peer, b.peer)
        posted = await post(d, 3)
        await arrived(c, 3)
        await covered(c)
        cluster.fabric.heal()
        await cluster.connected()
        assert (await desk(c).mark([posted[1].id], "read", True, "me")).covered
        await cluster.passes(30)  # d hears that its messages are covered, and forgets them
        await a.crash()
        take = b.core.messaging.role._take

        async def take_and_be_cut_off(after: int = 0) -> None:
            await take(after)
            cluster.cut_off(b)

        b.core.messaging.role._take = take_and_be_cut_off  # type: ignore[method-assign]
        await desk(b).take_hub()
        await cluster.passes(3 * PATIENCE_S)
        hub = b.core.messaging.role.serving
        assert hub is not None and not hub.ready
        assert "too few nodes answer to know which messages the mesh keeps" in trouble(b, "hub")
        cluster.fabric.heal()
        await cluster.connected()
        await post(d, 3, start=3)
        assert await arrived(c, 6) == list(range(6))
        assert (await desk(c).get(posted[1].id)).marks.has("read")
        assert hubs(cluster) == [b]


@sim_test
async def test_a_hub_that_restarts_cut_off_serves_what_it_has_and_goes_on_when_the_others_are_back() -> None:
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        await desk(a).take_hub()
        await post(d, 3)
        await arrived(c, 3)
        await covered(c)
        await desk(b).take_hub()
        await arrived(c, 3)
        await b.crash()
        cluster.cut_off(b)
        await b.start()
        await post(b, 3, agent="here")
        with pytest.raises(trio.TooSlowError):
            await arrived(b, 3, within_s=PATIENCE_S - 10)
        assert await arrived(b, 3) == [0, 1, 2]
        assert await arrived(b, 3, "here") == [0, 1, 2]
        cluster.fabric.heal()
        await cluster.connected()
        await post(d, 3, start=3)
        assert await arrived(c, 6) == list(range(6))
        await covered(c)
        assert hubs(cluster) == [b]


@pytest.mark.parametrize("then", ["it is lost at once", "it can read it no more"])
@sim_test
async def test_what_the_hub_before_could_not_make_safe_is_not_covered_because_the_next_one_found_it(then: str) -> None:
    """Of the last segment of a hub only one other node has heard, and has a copy. That node takes over and is lost: at
    once, and the agent has not let go; or later, when it has put it anew."""
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        await desk(a).take_hub()
        old = a.core.messaging.role.serving
        assert old is not None
        put, old.covering.step = old.covering.step, never  # type: ignore[method-assign]
        await post(d, 3)
        await arrived(c, 3)
        cluster.fabric.partition([[a.peer, b.peer], [each.peer for each in cluster.nodes[2:]]])
        await cluster.passes(10)
        with pytest.raises(NotEnoughNodes, match="on this node's disk alone"):
            await put()
        await a.crash()
        cluster.fabric.heal()
        await cluster.connected()
        await desk(b).take_hub()
        assert await arrived(b, 3) == [0, 1, 2]
        new = b.core.messaging.role.serving
        assert new is not None
        if then == "it is lost at once":
            new.covering.step = never  # type: ignore[method-assign]
            await cluster.passes(15)
        else:
            new.covering._segments.safe = _gone  # type: ignore[method-assign]
            with pytest.raises(trio.TooSlowError):
                await covered(c, within_s=PATIENCE_S - 15)
            await covered(c)
        await b.crash()
        b.lose_disk()
        await desk(c).take_hub()
        assert await arrived(c, 3) == [0, 1, 2]


async def _gone(name: SegmentName) -> bool:
    raise Unavailable(f"nobody has {name}")


@sim_test
async def test_marks_are_handed_on_anew_when_the_hub_moves_in_the_middle_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that got the first of them has not covered them, and is lost."""
    monkeypatch.setattr(handing_on, "_BATCH", 2)
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        await desk(a).take_hub()
        posted = await post(d, 4)
        await arrived(c, 4)
        await covered(c)
        a.core.messaging.role.hub.covering.step = never  # type: ignore[union-attr,method-assign]
        ids = [each.id for each in posted]
        assert not (await desk(c).mark(ids, "acknowledged", True, "me")).covered
        await a.crash()
        await cluster.passes(20)
        await desk(b).take_hub()
        await arrived(c, 4)
        b.core.messaging.role.hub.covering.step = never  # type: ignore[union-attr,method-assign]
        await a.start()
        hand_on, moving = a.core.messaging.role.hand_on, trio.Event()
        assert isinstance(hand_on, HandingOn)
        ask = hand_on._door.ask

        async def ask_and_move(method: str, plain: bytes, *, timeout_s: float = 15.0) -> bytes:
            answer = await ask(method, plain, timeout_s=timeout_s)
            if method == "messages.merge" and not moving.is_set():
                moving.set()
                await b.crash()
                b.lose_disk()
                await cluster.passes(20)
                await desk(c).take_hub()
            return answer

        hand_on._door.ask = ask_and_move  # type: ignore[method-assign]
        await moving.wait()
        await cluster.passes(90)
        assert hubs(cluster) == [c] and a.core.messaging.role.hub is None
        for each in ids:
            assert (await desk(d).get(each)).marks.has("acknowledged")


@sim_test
async def test_marks_come_with_their_late_messages_though_the_hub_was_restarted_in_between() -> None:
    async with open_cluster(5) as cluster:
        a, b, c, *_ = cluster.nodes
        marked = await two_segments(cluster)
        await a.crash()
        unreadable_first(b)
        await desk(b).take_hub()
        assert await arrived(c, 3) == [3, 4, 5]
        await cluster.passes(20)
        await b.crash()
        await b.start()
        assert await arrived(c, 6) == [3, 4, 5, 0, 1, 2]
        await cluster.passes(30)
        assert (await desk(c).get(marked.id)).marks.has("read")


class SlowDisk:
    """An Env in which messages are stored once `goes_on` is set."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self.goes_on = trio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    async def in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        if work.__name__ == "_insert":
            await self.goes_on.wait()
        return await self._env.in_thread(work, *args)


@sim_test
async def test_what_a_hub_was_storing_when_it_was_replaced_is_handed_on_too() -> None:
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        await desk(a).take_hub()
        cluster.cut_off(d)
        messages = await post(d, 3)
        await d.crash()
        hub = a.core.messaging.role.serving
        assert hub is not None
        slow = hub._env = SlowDisk(hub._env)  # type: ignore[assignment]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.sync, messages, "")
            async with hub._marking:
                nursery.start_soon(_refused, hub.mark, [messages[0].id], "read", True, "me")
                await cluster.passes(1)
                await desk(b).take_hub()
                await cluster.passes(30)
            slow.goes_on.set()
        assert await arrived(c, 3) == [0, 1, 2]
        await cluster.passes(30)
        assert a.core.messaging.role.hub is None


async def _refused(ask: Callable[..., Awaitable[object]], *args: object) -> None:
    with pytest.raises(Unavailable, match="the hub no more"):
        await ask(*args)


async def _last_covered_after_the_cut(cluster: Cluster) -> None:
    """A fourth message waits for the first machine's way to the others to be there again; then its disk is lost."""
    hub = cluster.nodes[0]
    await post(hub, 1, start=3)
    await arrived(hub, 4)
    with pytest.raises(trio.TooSlowError):
        await covered(hub, within_s=40)
    cluster.fabric.heal()
    await cluster.connected()
    await covered(hub)
    await hub.crash()
    hub.lose_disk()


@sim_test
async def test_of_a_mesh_of_three_two_have_what_is_covered_while_one_is_away() -> None:
    """A laptop that sleeps for a week keeps nobody's messages from being safe."""
    async with open_cluster(3) as cluster:
        a, b, c = cluster.nodes
        await desk(a).take_hub()
        await c.crash()
        await trio.sleep(10)
        posted = await post(a, 3)
        await arrived(b, 3)
        await covered(a)
        assert (await desk(b).mark([posted[0].id], "read", True, "me")).covered
        cluster.cut_off(b)
        await _last_covered_after_the_cut(cluster)
        await c.start()
        await cluster.connected()
        await desk(b).take_hub()
        assert await arrived(b, 4) == [0, 1, 2, 3]
        assert (await desk(c).get(posted[0].id)).marks.has("read")


@sim_test
async def test_of_a_mesh_of_two_both_have_what_is_covered() -> None:
    async with open_cluster(2) as cluster:
        a, b = cluster.nodes
        await desk(a).take_hub()
        posted = await post(a, 3)
        await arrived(b, 3)
        await covered(a)
        assert (await desk(b).mark([posted[0].id], "read", True, "me")).covered
        cluster.cut_off(b)
        assert not (await desk(a).mark([posted[1].id], "read", True, "me")).covered
        await _last_covered_after_the_cut(cluster)
        await cluster.passes(10)
        await desk(b).take_hub()
        assert await arrived(b, 4) == [0, 1, 2, 3]
        assert (await desk(b).get(posted[1].id)).marks.has("read")
