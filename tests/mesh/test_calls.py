"""Calls over plain byte streams: reuse, resets, and peers that break the rules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio
from trio.testing import memory_stream_pair

from inos.core.errors import BadFrame, BadInput, NotFound, PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh import calls
from inos.mesh.calls import CallPool, FrameLimits, StreamBroken, serve_stream
from inos.mesh.frames import Envelope, Kind, encode_frame
from inos.mesh.network import Message
from inos.testing.run import trio_test

PEER = PeerId.from_public_key(bytes(32))


class MemoryStream:
    """A ByteStream over trio's in-memory stapled streams."""

    def __init__(self, inner: trio.StapledStream) -> None:  # type: ignore[type-arg]
        self._inner = inner
        self.was_reset = False

    @property
    def alive(self) -> bool:
        return not self.was_reset

    async def read(self, at_most: int) -> bytes:
        try:
            data = bytes(await self._inner.receive_some(at_most))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise StreamBroken("closed") from None
        if not data:
            raise StreamBroken("ended")
        return data

    async def write(self, data: bytes | memoryview) -> None:
        try:
            await self._inner.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise StreamBroken("closed") from None

    async def reset(self) -> None:
        self.was_reset = True
        await self._inner.aclose()


Answer = Callable[[Envelope, bytes], Awaitable[Message]]


class Bench:
    """A pool on one side, a serving loop for each of its streams on the other."""

    def __init__(self, nursery: trio.Nursery, answer: Answer) -> None:
        self.nursery = nursery
        self.answer = answer
        self.opened: list[MemoryStream] = []
        self.handlers = trio.Semaphore(16)
        self.pool = CallPool(PEER, self.open, self.discard)

    async def open(self) -> MemoryStream:
        ours, theirs = memory_stream_pair()
        self.opened.append(MemoryStream(ours))
        self.nursery.start_soon(self.serve, MemoryStream(theirs))
        return self.opened[-1]

    async def serve(self, stream: MemoryStream) -> None:
        await serve_stream(stream, self.answer, FrameLimits, self.handlers)
        await stream.reset()

    def discard(self, stream: calls.ByteStream) -> None:
        self.nursery.start_soon(calls.reset, stream)


async def _echo(request: Envelope, body: bytes) -> Message:
    if request.method == "missing":
        raise NotFound("no such thing")
    if request.method == "never":
        await trio.sleep_forever()
    return Message(request.payload, body)


def _nursery() -> AbstractAsyncContextManager[trio.Nursery]:
    return trio.open_nursery()


@trio_test
async def test_streams_are_kept_for_the_next_call_also_after_an_error() -> None:
    async with _nursery() as nursery:
        bench = Bench(nursery, _echo)
        for _ in range(5):
            assert await bench.pool.call("echo", Message(b"p", b"b"), timeout_s=5) == Message(b"p", b"b")
            with pytest.raises(NotFound):
                await bench.pool.call("missing", Message(), timeout_s=5)
        assert len(bench.opened) == 1
        bench.pool.close()


@trio_test
async def test_at_most_eight_streams_are_open_and_further_callers_wait() -> None:
    async with _nursery() as nursery:
        bench = Bench(nursery, _echo)
        async with trio.open_nursery() as callers:
            for number in range(50):
                callers.start_soon(lambda n=number: bench.pool.call("echo", Message(bytes([n])), timeout_s=5))
        assert len(bench.opened) <= calls.MAX_STREAMS_PER_PEER
        bench.pool.close()


@trio_test
async def test_a_stream_is_never_used_again_after_a_call_that_did_not_end() -> None:
    async with _nursery() as nursery:
        bench = Bench(nursery, _echo)
        with pytest.raises(PeerUnavailable):
            await bench.pool.call("never", Message(), timeout_s=0.05)
        with trio.move_on_after(0.05):
            await bench.pool.call("never", Message(), timeout_s=5)
        assert await bench.pool.call("echo", Message(b"x"), timeout_s=5) == Message(b"x")
        assert [stream.was_reset for stream in bench.opened] == [True, True, False]
        nursery.cancel_scope.cancel()


@trio_test
async def test_an_answer_to_something_else_ends_the_stream() -> None:
    async with _nursery() as nursery:
        ours, theirs = memory_stream_pair()
        stream = MemoryStream(ours)

        async def lie() -> None:
            await theirs.receive_some()
            await theirs.send_all(encode_frame(Envelope(Kind.RESPONSE, 999, payload=b"not yours")))

        async def opened() -> MemoryStream:
            return stream

        pool = CallPool(PEER, opened, lambda bad: nursery.start_soon(calls.reset, bad))
        nursery.start_soon(lie)
        with pytest.raises(BadFrame):
            await pool.call("echo", Message(), timeout_s=5)
        await trio.testing.wait_all_tasks_blocked()
        assert stream.was_reset


@trio_test
async def test_half_a_frame_ends_the_stream_at_its_deadline_but_idling_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "FRAME_DEADLINE_S", 0.05)
    ours, theirs = memory_stream_pair()
    async with _nursery() as nursery:
        ended = trio.Event()

        async def serve() -> None:
            with pytest.raises(BadFrame, match="longer"):
                await serve_stream(MemoryStream(theirs), _echo, FrameLimits, trio.Semaphore(1))
            ended.set()

        nursery.start_soon(serve)
        await trio.sleep(0.15)
        assert not ended.is_set()
        await ours.send_all(b"\x01\x00")
        with trio.fail_after(2):
            await ended.wait()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01" + b"\xff" * 8,
        encode_frame(Envelope(Kind.RESPONSE, 1)),
        encode_frame(Envelope(Kind.REQUEST, 1, "echo", bytes(70_000))),
        b"\x01" + (16).to_bytes(4, "big") + bytes(4) + b"\xff" * 16,
    ],
)
def test_what_is_not_a_request_within_limits_ends_the_stream(sent: bytes) -> None:
    async def main() -> None:
        ours, theirs = memory_stream_pair()
        await ours.send_all(sent)
        with trio.fail_after(5), pytest.raises(BadFrame):
            await serve_stream(MemoryStream(theirs), _echo, lambda: FrameLimits(65536, 65536), trio.Semaphore(1))

    trio.run(main)


@trio_test
async def test_events_are_handled_and_not_answered() -> None:
    handled: list[str] = []

    async def answer(request: Envelope, _body: bytes) -> Message:
        handled.append(request.method)
        raise BadInput("nobody will hear this")

    ours, theirs = memory_stream_pair()
    await ours.send_all(encode_frame(Envelope(Kind.EVENT, 0, "poke")) * 2)
    await ours.send_stream.aclose()
    await serve_stream(MemoryStream(theirs), answer, FrameLimits, trio.Semaphore(1))
    await theirs.aclose()
    assert handled == ["poke", "poke"]
    assert await ours.receive_some() == b""
