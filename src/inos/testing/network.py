"""The conformance suite of the network seam (`inos.mesh.network.Network`).

    class TestMemory(NetworkSuite):
        def machines(self) -> AbstractAsyncContextManager[Machines]: ...

Every implementation passes it whole. What it stands on is in `inos.testing.roster`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from inos.core.errors import NotAMember, PeerUnavailable, TooLarge
from inos.core.ids import PeerId
from inos.mesh.network import MAX_GOSSIP_BYTES, Message, Network
from inos.testing.network_calls import CallSuite
from inos.testing.roster import BRIEF_S, PATIENCE_S, Mesh, echo, join, until
from inos.testing.run import trio_test


class NetworkSuite(CallSuite):
    """Calls, and all the rest."""

    # -- connecting

    @trio_test
    async def test_both_sides_welcome_the_other_and_hear_of_it_once(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b = await mesh.node(), await mesh.node()
            events: list[tuple[str, PeerId]] = []
            a.on_connected(lambda peer: events.append(("a", peer)))
            b.on_connected(lambda peer: events.append(("b", peer)))
            await join(a, b)
            assert a.connected() == {b.me}
            assert b.connected() == {a.me}
            assert sorted(events) == [("a", b.me), ("b", a.me)]
            assert mesh.admissions[a.me].known == {b.me}
            assert mesh.admissions[b.me].known == {a.me}
            assert await a.connect(b.addresses(), timeout_s=PATIENCE_S) == b.me
            assert len(events) == 2

    @trio_test
    async def test_one_side_knowing_the_other_already_is_enough(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b = await mesh.node(), await mesh.node()
            mesh.admissions[a.me].known.add(b.me)
            await join(a, b)
            assert a.me in mesh.admissions[b.me].known

    @trio_test
    async def test_dialling_each_other_at_once_is_one_connection(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b = await mesh.node(), await mesh.node()
            events: list[PeerId] = []
            a.on_connected(events.append)
            b.on_connected(events.append)
            b.serve("echo", echo)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(join, a, b)
                nursery.start_soon(join, b, a)
            assert sorted(events) == sorted([a.me, b.me])
            assert await a.call(b.me, "echo", Message(b"x"), timeout_s=PATIENCE_S) == Message(b"x")

    @trio_test
    async def test_a_dialler_who_is_not_a_member_is_refused(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            member, stranger = await mesh.node(), await mesh.node(member=False)
            connected: list[PeerId] = []
            member.on_connected(connected.append)
            with pytest.raises(NotAMember):
                await stranger.connect(member.addresses(), timeout_s=PATIENCE_S)
            assert not member.connected()
            assert not stranger.connected()
            assert not connected

    @trio_test
    async def test_dialling_somebody_who_is_not_a_member_is_refused(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            member, stranger = await mesh.node(), await mesh.node(member=False)
            with pytest.raises(NotAMember):
                await member.connect(stranger.addresses(), timeout_s=PATIENCE_S)
            await until(lambda: not stranger.connected() and not member.connected(), "nobody is connected")

    @trio_test
    async def test_a_stranger_may_ask_what_is_open_to_strangers_and_nothing_else(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            member, stranger = await mesh.node(), await mesh.node(member=False)
            member.serve("open", echo, strangers=True)
            member.serve("closed", echo)
            answer = await stranger.ask(member.addresses(), "open", Message(b"let me in"), timeout_s=PATIENCE_S)
            assert answer.payload == b"let me in"
            for method in ("closed", "no.such.method"):
                with pytest.raises(NotAMember):
                    await stranger.ask(member.addresses(), method, Message(), timeout_s=PATIENCE_S)
            assert not member.connected()

    @trio_test
    async def test_a_member_struck_off_is_no_longer_served(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b = await mesh.pair()
            mesh.roster.members.discard(a.me)
            with pytest.raises(NotAMember):
                await a.call(b.me, "echo", Message(), timeout_s=PATIENCE_S)

    @trio_test
    async def test_another_peer_than_named_is_not_connected_to(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b, c = await mesh.node(), await mesh.node(), await mesh.node()
            swapped = [address.replace(f"/p2p/{b.me}", f"/p2p/{c.me}") for address in b.addresses()]
            with pytest.raises(PeerUnavailable):
                await a.connect(swapped, timeout_s=PATIENCE_S)
            assert not a.connected()

    @trio_test
    async def test_dead_addresses_fail_soon_and_do_not_hide_live_ones(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b, gone = await mesh.node(), await mesh.node(), await mesh.node()
            dead = list(gone.addresses())
            await machines.stop(gone)
            before = trio.current_time()
            with pytest.raises(PeerUnavailable):
                await a.connect(dead, timeout_s=PATIENCE_S)
            assert trio.current_time() - before < PATIENCE_S / 2
            for nonsense in ([], ["nonsense"], ["/ip4/127.0.0.1/tcp/1"]):
                with pytest.raises(PeerUnavailable):
                    await a.connect(nonsense, timeout_s=PATIENCE_S)
            stale = [address.replace(f"/p2p/{gone.me}", f"/p2p/{b.me}") for address in dead]
            assert await a.connect([*stale, *b.addresses()], timeout_s=PATIENCE_S) == b.me

    @trio_test
    async def test_one_cannot_connect_to_oneself(self) -> None:
        async with self.machines() as machines:
            a = await Mesh(machines).node()
            with pytest.raises(PeerUnavailable):
                await a.connect(a.addresses(), timeout_s=PATIENCE_S)

    @trio_test
    async def test_hanging_up_is_seen_on_both_sides_and_can_be_undone(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()
            lost: list[PeerId] = []
            a.on_disconnected(lost.append)
            b.on_disconnected(lost.append)
            await a.disconnect(b.me)
            await until(lambda: sorted(lost) == sorted([a.me, b.me]), "both sides are told")
            assert not a.connected()
            assert not b.connected()
            await join(b, a)
            assert (await a.call(b.me, "echo", Message(b"again"), timeout_s=PATIENCE_S)).payload == b"again"

    @trio_test
    async def test_a_peer_that_stops_is_seen_to_go_and_calls_to_it_fail(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()
            lost: list[PeerId] = []
            a.on_disconnected(lost.append)

            async def never(_peer: PeerId, _request: Message) -> Message:
                await trio.sleep_forever()
                raise AssertionError

            b.serve("never", never)
            async with trio.open_nursery() as nursery:

                async def hang() -> None:
                    with pytest.raises(PeerUnavailable):
                        await a.call(b.me, "never", Message(), timeout_s=2 * PATIENCE_S)

                nursery.start_soon(hang)
                await trio.sleep(BRIEF_S)
                await machines.stop(b)
                await until(lambda: lost == [b.me], "the loss is told")
            assert not a.connected()

    @trio_test
    async def test_last_heard_moves_with_every_frame(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b = await mesh.pair()
            c = await mesh.node()
            assert a.last_heard_s(c.me) is None
            first_a, first_b = a.last_heard_s(b.me), b.last_heard_s(a.me)
            assert first_a is not None
            assert first_b is not None
            await trio.sleep(0.05)
            await a.call(b.me, "echo", Message(), timeout_s=PATIENCE_S)
            assert (a.last_heard_s(b.me) or 0) >= first_a + 0.04
            assert (b.last_heard_s(a.me) or 0) >= first_b + 0.04

    # -- gossip and directory

    @trio_test
    async def test_gossip_reaches_everybody_else_and_never_oneself(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b, c = await mesh.node(), await mesh.node(), await mesh.node()
            heard: list[tuple[PeerId, PeerId, bytes]] = []
            for node in (a, b, c):

                async def listen(origin: PeerId, data: bytes, me: PeerId = node.me) -> None:
                    heard.append((me, origin, data))
                    if data == b"crash":
                        raise RuntimeError("a listener's bug")

                await node.subscribe("news", listen)
            # a knows of c only through b.
            await join(a, b)
            await join(b, c)
            for node in (a, b, c):  # each to have shown its hello to all: gossip of non-members is dropped
                for admission in mesh.admissions.values():
                    admission.known.add(node.me)
            await _publish_until(a, "news", b"warm-up", lambda: {me for me, _, _ in heard} >= {b.me, c.me})
            heard.clear()
            for data in (b"crash", bytes(MAX_GOSSIP_BYTES)):
                await a.publish("news", data)
                wanted = {(b.me, a.me, data), (c.me, a.me, data)}
                await until(lambda wanted=wanted: wanted <= set(heard), "the others hear it")  # type: ignore[misc]
            assert not [entry for entry in heard if entry[0] == a.me]

    @trio_test
    async def test_gossip_that_does_not_fit_is_refused(self) -> None:
        async with self.machines() as machines:
            a = await Mesh(machines).node()
            with pytest.raises(TooLarge):
                await a.publish("news", bytes(MAX_GOSSIP_BYTES + 1))

    @trio_test
    async def test_what_is_announced_can_be_found_by_others(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b, c = await mesh.node(), await mesh.node(), await mesh.node()
            await join(a, b)
            await join(b, c)
            key = b"k" * 32
            await a.announce(key)
            assert a.me in await c.find(key, timeout_s=PATIENCE_S)
            assert not await c.find(b"unknown" * 4, timeout_s=PATIENCE_S)


async def _publish_until(network: Network, topic: str, data: bytes, heard: Callable[[], bool]) -> None:
    """A gossip mesh takes a heartbeat or two to form; what is said before that may be lost."""
    with trio.move_on_after(PATIENCE_S):
        while not heard():
            await network.publish(topic, data)
            await trio.sleep(0.2)
        return
    raise AssertionError("gossip never arrived")
