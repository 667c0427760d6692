"""The hub as a role on simulated machines: found by all, replaced without loss, two at once come to one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import pytest
import trio
from hub_cluster import arrived, covered, desk, hubs, never, nothing, numbers, post, two_segments, unreadable_first

from inos.core.errors import NotEnoughNodes, NotFound, Refused, Unavailable
from inos.core.messages.calls import MessageEvent
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessageQuery
from inos.core.messages.sync import Ack
from inos.messages.hub import MARKS_PATIENCE_S
from inos.messages.restoring import PATIENCE_S
from inos.node.handing_on import HandingOn
from inos.sim.cluster import ClusterNode, ClusterSettings, open_cluster
from inos.testing.run import sim_test


@sim_test
async def test_what_is_posted_anywhere_is_found_everywhere() -> None:
    async with open_cluster(3) as cluster:
        a, b, c = cluster.nodes
        with pytest.raises(Unavailable, match="no node of yours is the hub"):
            await desk(a).unread()
        posted = await post(b, 5)
        await desk(a).take_hub()
        assert await arrived(c, 5) == [0, 1, 2, 3, 4]
        assert (await desk(c).get(posted[0].id)).message == posted[0]
        with pytest.raises(NotFound):
            await desk(c).get(posted[0].id[:-1] + ("0" if posted[0].id[-1] != "0" else "1"))
        done = await desk(c).mark([posted[1].id], "read", True, "me")
        assert done.covered and [each.marks.state for each in done.messages] == ["read"]
        for node in cluster.nodes:
            report = await desk(node).report()
            assert (report.messages, report.unread, report.reachable) == (5, 4, True)
            assert report.role == ("hub" if node is a else "none") and report.hub_peer == a.peer


@sim_test
async def test_a_page_says_when_it_is_only_what_the_node_keeps_itself() -> None:
    async with open_cluster(3) as cluster:
        a, b, c = cluster.nodes
        await desk(a).take_hub()
        await post(b, 3, agent="here")
        await post(c, 3, agent="elsewhere")
        await arrived(b, 3, "here")
        await arrived(b, 3, "elsewhere")
        first = await desk(b).query(MessageQuery(limit=2))
        assert first.whole and first.next
        await a.crash()
        part = await desk(b).query(MessageQuery())
        assert not part.whole and not part.next
        assert [each.message.agent for each in part.messages] == ["here"] * 3
        with pytest.raises(Unavailable):  # and not a page of another order
            await desk(b).query(MessageQuery(limit=2, after=first.next))


@sim_test
async def test_an_only_node_is_its_own_hub_when_asked() -> None:
    async with open_cluster(1) as cluster:
        (node,) = cluster.nodes
        await post(node, 3)
        assert await arrived(node, 3) == [0, 1, 2]
        assert (await desk(node).report()).role == "hub"
        await covered(node)


@sim_test
async def test_a_mark_says_whether_it_would_outlive_its_hub() -> None:
    """Where no quorum can be reached it is acknowledged from the hub's disk alone, and the answer says so."""
    async with open_cluster(3) as cluster:
        a, b, c = cluster.nodes
        await desk(a).take_hub()
        posted = await post(a, 2)
        await arrived(a, 2)
        await covered(a)
        await b.crash()
        await c.crash()
        began_s = trio.current_time()
        alone = await desk(a).mark([posted[0].id], "acknowledged", True, "me")
        assert not alone.covered and alone.messages[0].marks.has("acknowledged")
        assert trio.current_time() - began_s <= MARKS_PATIENCE_S + 1
        await b.start()
        await c.start()
        await cluster.connected()
        await cluster.passes(10)
        assert (await desk(b).mark([posted[1].id], "read", True, "me")).covered
        await a.crash()
        a.lose_disk()
        await desk(b).take_hub()
        await cluster.passes(10)
        assert (await desk(c).get(posted[0].id)).marks.has("acknowledged")
        assert (await desk(c).get(posted[1].id)).marks.has("read")


@sim_test
async def test_a_hub_whose_disk_is_lost_is_replaced_by_another_without_loss() -> None:
    async with open_cluster(4) as cluster:
        a, b, c, _ = cluster.nodes
        await desk(a).take_hub()
        posted = await post(c, 40)
        await arrived(c, 40)
        await covered(c)
        await desk(c).mark([posted[3].id], "acknowledged", True, "me")
        late = await post(c, 10, start=40)  # acknowledged by the hub, perhaps, and not covered
        await arrived(c, 50)
        await a.crash()
        a.lose_disk()
        await cluster.passes(10)
        await desk(b).take_hub()
        assert await arrived(c, 50) == list(range(50))
        assert (await desk(c).get(posted[3].id)).marks.state == "acknowledged"
        assert (await desk(c).get(late[9].id)).message == late[9]
        await post(c, 5, start=50)
        assert await arrived(b, 55) == list(range(55))
        await a.start()
        await cluster.connected()
        assert await arrived(a, 55) == list(range(55))
        assert hubs(cluster) == [b]


@sim_test
async def test_a_hub_that_is_replaced_hands_on_what_nobody_else_has() -> None:
    """Its agent is gone for good; the messages are on the disk of the old hub alone."""
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        await desk(a).take_hub()
        a.core.messaging.role.hub.covering.step = never  # type: ignore[union-attr,method-assign]
        posted = await post(d, 20)
        await arrived(c, 20)
        await d.crash()
        await a.crash()
        await cluster.passes(20)
        await desk(b).take_hub()
        await post(c, 5, agent="other")
        assert await arrived(c, 5, "other") == list(range(5))
        assert await numbers(c) == []
        await a.start()
        await cluster.connected()
        assert await arrived(c, 20) == list(range(20))
        assert (await desk(c).get(posted[0].id)).message == posted[0]
        assert hubs(cluster) == [b]
        await cluster.passes(60)
        assert a.core.messaging.role.hub is None


@sim_test
async def test_handing_on_begins_anew_when_the_hub_moves_in_the_middle_of_it() -> None:
    """The one that got the first part, and has not covered it, is gone with it for the moment."""
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        await desk(a).take_hub()
        a.core.messaging.role.hub.covering.step = never  # type: ignore[union-attr,method-assign]
        await post(d, 250)
        await arrived(c, 250)
        await d.crash()
        await a.crash()
        await cluster.passes(20)
        await desk(b).take_hub()
        b.core.messaging.role.hub.covering.step = never  # type: ignore[union-attr,method-assign]
        await a.start()
        hand_on, moving = a.core.messaging.role.hand_on, trio.Event()
        assert isinstance(hand_on, HandingOn)
        sync = hand_on._door.sync

        async def sync_and_move(messages: Sequence[Message], node: str, expected: str) -> Ack:
            ack = await sync(messages, node, expected)
            if ack.results and not moving.is_set():
                moving.set()
                await b.crash()
                await cluster.passes(20)
                await desk(c).take_hub()
            return ack

        hand_on._door.sync = sync_and_move  # type: ignore[method-assign]
        await moving.wait()
        assert await arrived(c, 250) == list(range(250))
        await b.start()
        await cluster.connected()
        await cluster.passes(60)
        assert await numbers(c) == list(range(250)) and hubs(cluster) == [c]


@sim_test
async def test_two_hubs_on_two_sides_losenothing_and_become_one() -> None:
    async with open_cluster(5) as cluster:
        a, b, c, d, e = cluster.nodes
        await desk(a).take_hub()
        await post(b, 10, agent="left")
        await post(d, 10, agent="right")
        await arrived(c, 10, "left")
        await arrived(c, 10, "right")
        await covered(c)
        cluster.fabric.partition([[a.peer, b.peer], [c.peer, d.peer, e.peer]])
        await cluster.passes(20)
        await desk(d).take_hub()
        await post(b, 10, agent="left", start=10)
        await post(d, 10, agent="right", start=10)
        assert await arrived(a, 20, "left") == list(range(20))
        assert await arrived(c, 20, "right") == list(range(20))
        assert len(hubs(cluster)) == 2
        cluster.fabric.heal()
        await cluster.connected()
        for node in cluster.nodes:
            assert await arrived(node, 20, "left") == list(range(20))
            assert await arrived(node, 20, "right") == list(range(20))
        assert hubs(cluster) == [d]


@sim_test
async def test_nobody_becomes_the_hub_who_cannot_know_what_the_one_before_had() -> None:
    async with open_cluster(4) as cluster:
        a, b, c, d = cluster.nodes
        await desk(a).take_hub()
        await a.crash()
        await d.crash()
        await cluster.passes(20)
        with pytest.raises(NotEnoughNodes, match="too few others"):
            await desk(b).take_hub()
        await b.revoke(a)
        await b.revoke(d)
        await cluster.passes(5)
        assert (await desk(b).take_hub()).role == "hub"
        await post(c, 1)
        assert await arrived(c, 1) == [0]


@sim_test
async def test_a_standby_takes_over_by_itself_and_agents_find_it() -> None:
    async with open_cluster(4, ClusterSettings(hubs=2)) as cluster:
        a, b, c, d = cluster.nodes
        await cluster.passes(30)
        assert hubs(cluster) == [a]
        await post(c, 5)
        await arrived(c, 5)
        await a.crash()
        await post(c, 5, start=5)
        assert await arrived(d, 10) == list(range(10))
        assert hubs(cluster) == [b]


@sim_test
async def test_many_long_messages_go_in_and_out_in_calls_of_bounded_size() -> None:
    async with open_cluster(3) as cluster:
        a, b, _ = cluster.nodes
        await desk(a).take_hub()
        text = cluster.nodes[0].env.random.randbytes(100_000).hex()
        await desk(b).post([Draft("long", {"n": number, "text": text[number:]}) for number in range(24)])
        assert await arrived(b, 24, "long") == list(range(24))
        heard: list[MessageEvent] = []
        with trio.move_on_after(20):
            async with aclosing(await desk(b).events(0)) as events:
                async for event in events:
                    heard.append(event)
        assert [event.stored.message.content["n"] for event in heard if event.stored] == list(range(24))


@sim_test
async def test_events_reach_listeners_on_other_nodes() -> None:
    async with open_cluster(3) as cluster:
        a, b, c = cluster.nodes
        await desk(a).take_hub()
        await post(b, 3)
        await arrived(b, 3)
        heard: list[MessageEvent] = []

        async def listen(node: ClusterNode, after: int | None) -> None:
            async with aclosing(await desk(node).events(after)) as events:
                async for event in events:
                    heard.append(event)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, a, None)
            nursery.start_soon(listen, c, 1)
            await cluster.passes(5)
            assert _told(heard) == [("message", 1), ("message", 2)]
            heard.clear()
            posted = await post(b, 1, start=3)
            await arrived(b, 4)
            await desk(b).mark([posted[0].id], "read", True, "me")
            await cluster.passes(5)
            assert _told(heard) == [("marks", 3), ("marks", 3), ("message", 3), ("message", 3)]
            await a.crash()
            await cluster.passes(40)  # both have ended by themselves
        with pytest.raises(Unavailable):
            await desk(c).events(None)


def _told(events: Sequence[MessageEvent]) -> list[tuple[str, int]]:
    return sorted((each.kind, each.stored.message.content["n"] if each.stored else each.seq - 1) for each in events)


@sim_test
async def test_nodes_of_another_owner_are_refused() -> None:
    async with open_cluster(2) as cluster:
        a, _ = cluster.nodes
        await desk(a).take_hub()
        stranger = await cluster.add(owner=1)
        await cluster.connected()
        await cluster.passes(10)
        from inos.messages import hub_calls as wire
        from inos.messages.hub_record import TABLE, key_of

        said = a.core.messaging.role.encoded
        assert stranger.core.disk.records.get(TABLE, key_of(a.core.identity.owner)) is not None
        for method in wire.METHODS:
            with pytest.raises(Refused):
                await stranger.core.network.call(a.peer, method, wire.encode_ask(said, b"{}"), timeout_s=5)
        await post(stranger, 1, agent="mine")  # an owner's only node is that owner's hub
        assert await arrived(stranger, 1, "mine") == [0]
        assert (await desk(a).report()).messages == 0


@sim_test
async def test_what_the_hub_before_covered_last_comes_before_what_its_agents_write_next() -> None:
    """The name of its last segment has not reached the node that takes over, which has compared itself lately."""
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        await desk(a).take_hub()
        await post(d, 3)
        await arrived(c, 3)
        await covered(c)
        await cluster.passes(30)
        for node in cluster.nodes:  # nobody brings b what it misses
            node.core.tables._equaliser.step = nothing  # type: ignore[method-assign]
        cluster.fabric.cut(a.peer, b.peer)
        await post(d, 3, start=3)
        await arrived(c, 6)
        await covered(c)
        await cluster.passes(25)  # d hears that they are covered, and forgets them
        await desk(b).take_hub()
        await post(d, 3, start=6)
        assert await arrived(c, 9) == list(range(9))


@sim_test
async def test_segments_whose_names_come_in_another_order_are_taken_in_as_they_were_put() -> None:
    """An old hub that has not heard of the new one hears of its second segment, and not of its first."""
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        await desk(a).take_hub()
        await cluster.passes(30)
        old = a.core.messaging.role.serving
        assert old is not None
        old.step = nothing  # type: ignore[method-assign] # not before all is as it was
        for node in cluster.nodes:  # nobody brings a what it misses
            node.core.tables._equaliser.step = nothing  # type: ignore[method-assign]
        cluster.cut_off(a)
        await desk(b).take_hub()
        await post(d, 3)
        assert await arrived(c, 3) == [0, 1, 2]
        await covered(c)
        cluster.fabric.heal()
        await cluster.connected()
        await post(d, 3, start=3)
        await arrived(c, 6)
        await covered(c)
        assert hubs(cluster) == [a, b]
        assert [each.name.span for each in await old.restoring._segments.known()] == [(4, 6)]
        await old.restoring.step()
        await desk(a).take_hub()
        assert await arrived(a, 6) == list(range(6))


@pytest.mark.parametrize("asks", [True, False], ids=["it asks a majority", "it finds their segments"])
@sim_test
async def test_a_node_that_missed_the_last_hubs_takes_over_in_a_later_term_than_theirs(asks: bool) -> None:
    """Whoever reads the segments in the order of their terms finds what it keeps behind what they kept."""
    async with open_cluster(5) as cluster:
        a, b, c, d, e = cluster.nodes
        await desk(a).take_hub()
        await cluster.passes(10)
        cluster.cut_off(c)
        await desk(b).take_hub()
        await desk(d).take_hub()
        await post(e, 3)
        assert await arrived(d, 3) == [0, 1, 2]
        await covered(d)
        for node in cluster.nodes:  # nobody brings c what it misses
            node.core.tables._equaliser.step = nothing  # type: ignore[method-assign]
        cluster.fabric.heal()
        await cluster.connected()
        c.core.tables.clock.observe(1_000)  # it has written much meanwhile: its record holds
        if not asks:  # as when two take over at one moment
            c.core.messaging.role._make_sure = nothing  # type: ignore[method-assign]
        await desk(c).take_hub()
        await post(e, 3, start=3)
        assert await arrived(c, 6) == list(range(6))
        await covered(c)
        assert hubs(cluster) == [c]
        await desk(a).take_hub()
        assert await arrived(a, 6) == list(range(6))


@sim_test
async def test_what_a_hub_cannot_read_is_waited_for_a_minute_and_comes_late() -> None:
    """Then with its marks, behind what its agent has written since; nothing overtakes it before."""
    async with open_cluster(5) as cluster:
        a, b, c, d, _ = cluster.nodes
        marked = await two_segments(cluster)
        await a.crash()
        readable = unreadable_first(b)
        await desk(b).take_hub()
        await post(d, 3, start=6)
        with pytest.raises(trio.TooSlowError):
            await arrived(c, 1, within_s=PATIENCE_S - 32)
        assert await arrived(c, 6) == [3, 4, 5, 6, 7, 8]
        worker = next(each for each in b.core.workers.statuses() if each.name == "segments")
        with trio.fail_after(120):
            while "1 segments of messages cannot be read" not in worker.last_error:  # noqa: ASYNC110 - a worker's round
                await trio.sleep(0.5)
        readable.set()
        assert await arrived(c, 9) == [3, 4, 5, 6, 7, 8, 0, 1, 2]
        await cluster.passes(30)
        assert (await desk(c).get(marked.id)).marks.has("read")
