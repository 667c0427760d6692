"""Hubs on simulated machines: writing through a node, and asking what the hub has."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import trio

from inos.core.errors import InosError, Unavailable
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessageQuery
from inos.messages.segments import SegmentName
from inos.node.message_desk import MessageDesk
from inos.sim.cluster import Cluster, ClusterNode


def desk(node: ClusterNode) -> MessageDesk:
    return node.core.messaging.desk


async def post(node: ClusterNode, count: int, agent: str = "scout", start: int = 0) -> list[Message]:
    drafts = [Draft(agent, {"n": number}) for number in range(start, start + count)]
    return await desk(node).post(drafts)


async def numbers(node: ClusterNode, agent: str = "scout") -> list[int]:
    """What the hub has of an agent, in the order of arrival."""
    found: list[int] = []
    query = MessageQuery(agent=agent, order="oldest", limit=500)
    while True:
        page = await desk(node).query(query)
        found += [each.message.content["n"] for each in page.messages]
        if not page.next:
            return found
        query = replace(query, after=page.next)


async def arrived(node: ClusterNode, count: int, agent: str = "scout", within_s: float = 120) -> list[int]:
    """Waits until the hub has `count` messages of an agent."""
    with trio.fail_after(within_s):
        while True:
            try:
                report = await desk(node).report()
                found = await numbers(node, agent) if report.reachable else []
            except InosError:
                found = []
            if len(found) >= count:
                return found
            await trio.sleep(0.5)


async def covered(node: ClusterNode, within_s: float = 120) -> None:
    """Waits until everything on the hub outlives it."""
    with trio.fail_after(within_s):
        while True:
            report = await desk(node).report()
            if report.reachable and report.covered_seq == report.last_seq:
                return
            await trio.sleep(0.5)


def hubs(cluster: Cluster) -> list[ClusterNode]:
    return [node for node in cluster.running() if node.core.messaging.role.serving is not None]


async def never() -> None:
    """Instead of a step that is to do nothing, and not end either."""
    await trio.sleep_forever()


async def nothing() -> None:
    """Instead of a step that is to do nothing."""
    await trio.lowlevel.checkpoint()


def unreadable_first(node: ClusterNode) -> trio.Event:
    """The first messages that the mesh keeps cannot be read by `node` until the event is set."""
    segments, readable = node.core.messaging.role._segments, trio.Event()
    lines = segments.lines

    async def lines_or_not(name: SegmentName) -> AsyncGenerator[list[bytes], None]:
        if (name.marks, name.first) == (False, 1) and not readable.is_set():
            raise Unavailable("nobody has it")
        async with aclosing(lines(name)) as read:
            async for part in read:
                yield part

    segments.lines = lines_or_not  # type: ignore[method-assign]
    return readable


async def two_segments(cluster: Cluster) -> Message:
    """The first node is the hub; three messages of the fourth, a mark on the second of these, and three more are
    covered, and their agent has forgotten them. The one marked."""
    hub, _, other, agent = cluster.nodes[:4]
    await desk(hub).take_hub()
    posted = await post(agent, 3)
    await arrived(other, 3)
    await covered(other)
    assert (await desk(other).mark([posted[1].id], "read", True, "me")).covered
    await post(agent, 3, start=3)
    await arrived(other, 6)
    await covered(other)
    await cluster.passes(40)
    return posted[1]
