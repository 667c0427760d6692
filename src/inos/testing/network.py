"""The conformance suite of the network seam (`inos.mesh.network.Network`).

    class TestMemory(NetworkSuite):
        def machines(self) -> AbstractAsyncContextManager[Machines]: ...

Every implementation passes it whole. What it stands on is in `inos.testing.roster`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio

from inos.core.errors import BadInput, Busy, InosError, NotAMember, NotFound, PeerUnavailable, TooLarge
from inos.core.ids import PeerId
from inos.mesh.network import MAX_BODY_BYTES, MAX_GOSSIP_BYTES, MAX_PAYLOAD_BYTES, Message, Network, Outcome
from inos.testing.roster import BRIEF_S, PATIENCE_S, Machines, Mesh, echo, join, until
from inos.testing.run import trio_test


class NetworkSuite(ABC):
    """The tests; `machines` is all that an implementation adds."""

    @abstractmethod
    def machines(self) -> AbstractAsyncContextManager[Machines]: ...

    # -- calls

    @trio_test
    async def test_a_call_is_answered_with_payload_and_body_both_ways(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()
            a.serve("echo", echo)
            request = Message(b"payload", b"body")
            assert await a.call(b.me, "echo", request, timeout_s=PATIENCE_S) == request
            assert await b.call(a.me, "echo", request, timeout_s=PATIENCE_S) == request

    @trio_test
    async def test_the_handler_is_told_who_asks(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()
            asked: list[PeerId] = []

            async def who(peer: PeerId, _request: Message) -> Message:
                asked.append(peer)
                return Message()

            b.serve("who", who)
            await a.call(b.me, "who", Message(), timeout_s=PATIENCE_S)
            assert asked == [a.me]

    @trio_test
    async def test_errors_arrive_as_the_class_of_their_code(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()
            for error in (NotFound("no such thing", hint="look elsewhere"), Busy("later"), TooLarge("too much")):

                async def fail(_peer: PeerId, _request: Message, error: InosError = error) -> Message:
                    raise error

                b.serve(f"fail.{error.code}", fail)
                with pytest.raises(type(error)) as caught:
                    await a.call(b.me, f"fail.{error.code}", Message(), timeout_s=PATIENCE_S)
                assert (caught.value.message, caught.value.hint) == (error.message, error.hint)

    @trio_test
    async def test_an_unknown_method_is_bad_input(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()
            with pytest.raises(BadInput):
                await a.call(b.me, "no.such.method", Message(), timeout_s=PATIENCE_S)

    @trio_test
    async def test_a_handler_that_crashes_hurts_nobody_else(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()

            async def crash(_peer: PeerId, _request: Message) -> Message:
                raise RuntimeError("a secret of the handler")

            b.serve("crash", crash)
            with pytest.raises(InosError) as caught:
                await a.call(b.me, "crash", Message(), timeout_s=PATIENCE_S)
            assert caught.value.code == "internal"
            assert "secret" not in str(caught.value)
            assert (await a.call(b.me, "echo", Message(b"still here"), timeout_s=PATIENCE_S)).payload == b"still here"

    @trio_test
    async def test_the_largest_frame_passes_whole(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()
            largest = Message(bytes(MAX_PAYLOAD_BYTES), bytes(range(256)) * (MAX_BODY_BYTES // 256))
            assert await a.call(b.me, "echo", largest, timeout_s=PATIENCE_S) == largest

    @trio_test
    async def test_what_does_not_fit_is_refused_before_it_is_sent(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()
            for over in (Message(bytes(MAX_PAYLOAD_BYTES + 1)), Message(b"", bytes(MAX_BODY_BYTES + 1))):
                with pytest.raises(TooLarge):
                    await a.call(b.me, "echo", over, timeout_s=PATIENCE_S)

    @trio_test
    async def test_an_answer_that_does_not_fit_is_an_error(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()

            async def flood(_peer: PeerId, _request: Message) -> Message:
                return Message(b"", bytes(MAX_BODY_BYTES + 1))

            b.serve("flood", flood)
            with pytest.raises(TooLarge):
                await a.call(b.me, "flood", Message(), timeout_s=PATIENCE_S)

    @trio_test
    async def test_a_call_that_takes_too_long_leaves_the_connection_usable(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()

            async def never(_peer: PeerId, _request: Message) -> Message:
                await trio.sleep_forever()
                raise AssertionError

            b.serve("never", never)
            for _ in range(3):
                before = trio.current_time()
                with pytest.raises(PeerUnavailable):
                    await a.call(b.me, "never", Message(), timeout_s=BRIEF_S)
                assert trio.current_time() - before < BRIEF_S + 2
            assert await a.call(b.me, "echo", Message(b"x"), timeout_s=PATIENCE_S) == Message(b"x")
            assert b.me in a.connected()

    @trio_test
    async def test_cancelled_calls_leave_the_connection_usable(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()
            body = bytes(1 << 20)
            for step in range(20):
                with trio.move_on_after(0.0004 * step):
                    await a.call(b.me, "echo", Message(b"", body), timeout_s=PATIENCE_S)
            for number in range(20):
                request = Message(str(number).encode())
                assert await a.call(b.me, "echo", request, timeout_s=PATIENCE_S) == request
            assert b.me in a.connected()

    @trio_test
    async def test_two_hundred_calls_at_once_each_get_their_own_answer(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()

            async def one(number: int) -> None:
                request = Message(str(number).encode(), bytes([number % 256]) * 5000)
                assert await a.call(b.me, "echo", request, timeout_s=4 * PATIENCE_S) == request

            async with trio.open_nursery() as nursery:
                for number in range(200):
                    nursery.start_soon(one, number)

    @trio_test
    async def test_calling_somebody_not_connected_fails_at_once(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b = await mesh.node(), await mesh.node()
            before = trio.current_time()
            with pytest.raises(PeerUnavailable):
                await a.call(b.me, "echo", Message(), timeout_s=PATIENCE_S)
            assert trio.current_time() - before < 1

    @trio_test
    async def test_a_method_has_one_handler(self) -> None:
        async with self.machines() as machines:
            a = await Mesh(machines).node()
            a.serve("echo", echo)
            with pytest.raises(ValueError, match="echo"):
                a.serve("echo", echo)

    # -- calls without a task

    @trio_test
    async def test_a_call_without_waiting_is_told_the_answer_or_the_error(self) -> None:
        async with self.machines() as machines:
            a, b = await Mesh(machines).pair()

            async def fail(_peer: PeerId, _request: Message) -> Message:
                raise Busy("later", hint="wait")

            async def never(_peer: PeerId, _request: Message) -> Message:
                await trio.sleep_forever()
                raise AssertionError

            b.serve("fail", fail)
            b.serve("never", never)
            told: list[Outcome] = []
            for method, timeout_s in (("echo", PATIENCE_S), ("fail", PATIENCE_S), ("never", BRIEF_S)):
                a.call_soon(b.me, method, Message(b"x", b"y"), told.append, timeout_s=timeout_s)
                assert len(told) < 3
            await until(lambda: len(told) == 3, "all three are told")
            assert [outcome for outcome in told if isinstance(outcome, Message)] == [Message(b"x", b"y")]
            assert sorted(o.code for o in told if isinstance(o, InosError)) == ["busy", "peer_unavailable"]
            with pytest.raises(TooLarge):
                a.call_soon(b.me, "echo", Message(bytes(MAX_PAYLOAD_BYTES + 1)), told.append, timeout_s=PATIENCE_S)

    @trio_test
    async def test_a_call_without_waiting_to_somebody_not_connected_is_told_so(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b = await mesh.node(), await mesh.node()
            told: list[Outcome] = []
            a.call_soon(b.me, "echo", Message(), told.append, timeout_s=PATIENCE_S)
            assert not told
            await until(lambda: len(told) == 1, "it is told")
            assert isinstance(told[0], PeerUnavailable)

    @trio_test
    async def test_a_plain_handler_answers_members_and_its_errors_arrive(self) -> None:
        async with self.machines() as machines:
            mesh = Mesh(machines)
            a, b = await mesh.pair()
            stranger = await mesh.node(member=False)
            asked: list[PeerId] = []

            def who(peer: PeerId, request: Message) -> Message:
                asked.append(peer)
                if request.payload == b"crash":
                    raise RuntimeError("a secret of the handler")
                if request.payload == b"fail":
                    raise NotFound("no such thing", hint="look elsewhere")
                return Message(b"", bytes(MAX_BODY_BYTES + 1)) if request.payload == b"flood" else request

            b.serve_plain("who", who)
            with pytest.raises(ValueError, match="who"):
                b.serve("who", echo)
            assert await a.call(b.me, "who", Message(b"p", b"b"), timeout_s=PATIENCE_S) == Message(b"p", b"b")
            for payload, code in ((b"crash", "internal"), (b"fail", "not_found"), (b"flood", "too_large")):
                with pytest.raises(InosError) as caught:
                    await a.call(b.me, "who", Message(payload), timeout_s=PATIENCE_S)
                assert caught.value.code == code
                assert "secret" not in str(caught.value)
            assert asked == [a.me] * 4
            with pytest.raises(NotAMember):
                await stranger.ask(b.addresses(), "who", Message(), timeout_s=PATIENCE_S)
            assert asked == [a.me] * 4

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
