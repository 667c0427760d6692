"""The part of the network suite about calls; `network.py` has the whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

import pytest
import trio

from inos.core.errors import BadInput, Busy, InosError, NotAMember, NotFound, PeerUnavailable, TooLarge
from inos.core.ids import PeerId
from inos.mesh.network import MAX_BODY_BYTES, MAX_PAYLOAD_BYTES, Message, Outcome
from inos.testing.roster import BRIEF_S, PATIENCE_S, Machines, Mesh, echo, until
from inos.testing.run import trio_test


class CallSuite(ABC):
    """Asking and answering; `machines` is all that an implementation adds."""

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
