"""Hubs that cannot know, or not yet: cut off while they take over, restarted alone, moved while one hands on, with
segments of which nobody knows whether they were safe. What was covered, and every mark, is there in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hub_cluster import arrived, covered, desk, hubs, never, post

from inos.core.env import Env
from inos.core.errors import Unavailable
from inos.node import handing_on
from inos.node.handing_on import HandingOn
from inos.sim.cluster import open_cluster
from inos.testing.run import sim_test


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
