"""Our Yamux against the defects of upstream's, over a wire in memory."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from inos.mesh import yamux
from inos.mesh.yamux import DEFAULT_WINDOW_SIZE, MAX_FRAME_BYTES, MAX_INBOUND_STREAMS, MeshYamux
from inos.testing.run import trio_test

HEADER = struct.Struct("!BBHII")
DATA, WINDOW, SYN, RST = 0, 1, 1, 8


class Wire:
    """One end of a secured connection, in memory; written frames are kept for inspection."""

    def __init__(self, out: trio.MemorySendChannel[bytes], into: trio.MemoryReceiveChannel[bytes]) -> None:
        self._out, self._into, self._rest = out, into, b""
        self.is_initiator = True
        self.written: list[bytes] = []
        self.pause = trio.Event()
        self.pause.set()

    async def write(self, data: bytes) -> None:
        half = len(data) // 2
        await self._send(data[:half])
        await self.pause.wait()
        await self._send(data[half:])
        self.written.append(data)

    async def _send(self, data: bytes) -> None:
        try:
            await self._out.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise yamux.RawConnError("closed") from None

    async def read(self, n: int) -> bytes:
        while not self._rest:
            try:
                self._rest = await self._into.receive()
            except (trio.EndOfChannel, trio.ClosedResourceError):
                raise yamux.RawConnError("closed") from None
        data, self._rest = self._rest[:n], self._rest[n:]
        return data

    async def close(self) -> None:
        self._out.close()
        self._into.close()

    def get_remote_address(self) -> None:
        return None


def _wires() -> tuple[Wire, Wire]:
    a_out, b_in = trio.open_memory_channel[bytes](1000)
    b_out, a_in = trio.open_memory_channel[bytes](1000)
    return Wire(a_out, a_in), Wire(b_out, b_in)


@asynccontextmanager
async def _pair() -> AsyncIterator[tuple[Any, Any, Wire]]:
    """Two ends of a connection, and the wire of the first."""
    ours, theirs = _wires()
    theirs.is_initiator = False
    a, b = MeshYamux(ours, None), MeshYamux(theirs, None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.start)
        nursery.start_soon(b.start)
        await a.event_started.wait()
        await b.event_started.wait()
        yield a, b, ours
        await a.close()
        await b.close()


@asynccontextmanager
async def _raw() -> AsyncIterator[tuple[Any, Wire]]:
    """One end, and the wire of a peer that may write anything."""
    ours, theirs = _wires()
    ours.is_initiator = False
    conn = MeshYamux(ours, None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conn.start)
        await conn.event_started.wait()
        yield conn, theirs
        await conn.close()


@trio_test
async def test_a_cancelled_write_leaves_a_whole_frame_behind() -> None:
    async with _pair() as (a, b, wire):
        stream = await a.open_stream()
        there = await b.accept_stream()
        wire.pause = trio.Event()  # half of the first frame is on the wire
        with trio.move_on_after(0.05) as scope:
            await stream.write(b"x" * 2 * DEFAULT_WINDOW_SIZE)
        assert scope.cancelled_caught
        wire.pause.set()
        got = b""
        whole = DEFAULT_WINDOW_SIZE // MAX_FRAME_BYTES * MAX_FRAME_BYTES
        while len(got) < whole:
            got += await there.read(100_000)
        assert got == b"x" * whole
        other = await a.open_stream()
        await other.write(b"still in step")
        assert await (await b.accept_stream()).read(100) == b"still in step"


@trio_test
async def test_a_caller_out_of_time_is_not_held_by_a_peer_that_does_not_read() -> None:
    async with _pair() as (a, _b, wire):
        stream = await a.open_stream()
        wire.pause = trio.Event()
        before = trio.current_time()
        with trio.move_on_after(0.1) as scope:
            await stream.write(bytes(DEFAULT_WINDOW_SIZE))
            await stream.write(bytes(DEFAULT_WINDOW_SIZE))
        assert scope.cancelled_caught
        await a.close()
        assert trio.current_time() - before < 1


@trio_test
async def test_a_peer_that_asks_and_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "OUTBOX_LIMIT_BYTES", 1200)
    async with _raw() as (conn, wire):
        conn.secured_conn.pause = trio.Event()
        with suppress(yamux.RawConnError), trio.fail_after(5):
            for _ in range(300):
                await wire.write(HEADER.pack(0, 2, SYN, 0, 7))
        with trio.fail_after(5):
            await conn.event_closed.wait()


@trio_test
async def test_a_frame_that_cannot_be_written_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "FRAME_WRITE_DEADLINE_S", 0.05)
    async with _pair() as (a, _b, wire):
        stream = await a.open_stream()
        wire.pause = trio.Event()
        with trio.fail_after(2):
            await stream.write(b"x")
            await a.event_closed.wait()
        with pytest.raises(yamux.MuxedStreamError):
            await stream.write(b"x")


@trio_test
async def test_a_writer_waits_for_a_reader_that_pauses() -> None:
    async with _pair() as (a, b, _):
        stream = await a.open_stream()
        there = await b.accept_stream()
        data = bytes(range(256)) * (4 * DEFAULT_WINDOW_SIZE // 256)
        got = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write, data)
            await trio.sleep(0.1)
            assert len(b.stream_buffers[there.stream_id]) <= DEFAULT_WINDOW_SIZE
            while len(got) < len(data):
                got += await there.read(10_000)
        assert bytes(got) == data


@trio_test
async def test_a_reader_that_never_reads_ends_the_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "WINDOW_DEADLINE_S", 0.05)
    async with _pair() as (a, b, _):
        stream = await a.open_stream()
        await b.accept_stream()
        with pytest.raises(yamux.MuxedStreamError, match="stopped reading"):
            await stream.write(bytes(2 * DEFAULT_WINDOW_SIZE))


@trio_test
async def test_small_reads_do_not_cost_a_frame_each() -> None:
    async with _pair() as (a, b, _):
        stream = await a.open_stream()
        there = await b.accept_stream()
        await trio.testing.wait_all_tasks_blocked()
        before = len(b.secured_conn.written)
        for _ in range(200):
            await stream.write(b"x" * 100)
            await there.read(100)
        assert len(b.secured_conn.written) - before == 0


@trio_test
async def test_waiting_writers_are_told_when_the_connection_closes() -> None:
    async with _pair() as (a, b, _):
        stream = await a.open_stream()
        await b.accept_stream()
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                with pytest.raises(yamux.MuxedStreamError):
                    await stream.write(bytes(2 * DEFAULT_WINDOW_SIZE))

            nursery.start_soon(write)
            await trio.sleep(0.05)
            with trio.fail_after(2):
                await a.close()


@trio_test
async def test_ignoring_the_window_ends_the_connection_with_memory_bounded() -> None:
    async with _raw() as (conn, wire):
        await wire.write(HEADER.pack(0, WINDOW, SYN, 1, 0))
        with trio.fail_after(5):
            stream = await conn.accept_stream()
            try:
                for _ in range(40):
                    await wire.write(HEADER.pack(0, DATA, 0, 1, 60_000) + bytes(60_000))
                    assert len(conn.stream_buffers.get(stream.stream_id, b"")) <= DEFAULT_WINDOW_SIZE + 65_536
            except yamux.RawConnError:
                pass
            await conn.event_closed.wait()


@trio_test
async def test_an_announced_frame_of_gigabytes_ends_the_connection_unread() -> None:
    async with _raw() as (conn, wire):
        await wire.write(HEADER.pack(0, WINDOW, SYN, 1, 0) + HEADER.pack(0, DATA, 0, 1, 2**32 - 1))
        with trio.fail_after(5):
            await conn.event_closed.wait()


@trio_test
async def test_streams_beyond_the_share_of_a_peer_are_reset() -> None:
    async with _raw() as (conn, wire):

        async def accept() -> None:
            while True:
                await conn.accept_stream()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            for number in range(MAX_INBOUND_STREAMS + 20):
                await wire.write(HEADER.pack(0, WINDOW, SYN, 2 * number + 1, 0))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert len(conn.streams) == MAX_INBOUND_STREAMS
        written = b"".join(conn.secured_conn.written)
        resets = [at for at in range(0, len(written), 12) if HEADER.unpack(written[at : at + 12])[2] & RST]
        assert len(resets) == 20


@trio_test
async def test_a_stream_that_is_reset_drops_what_it_had_buffered() -> None:
    async with _pair() as (a, b, _):
        stream = await a.open_stream()
        there = await b.accept_stream()
        await stream.write(bytes(100_000))
        await trio.testing.wait_all_tasks_blocked()
        await there.reset()
        assert not b.stream_buffers
        assert not b.streams
        with pytest.raises(yamux.MuxedStreamReset):
            await stream.read(1)


@trio_test
async def test_half_closing_delivers_what_was_sent_before() -> None:
    async with _pair() as (a, b, _):
        stream = await a.open_stream()
        there = await b.accept_stream()
        await stream.write(b"last words")
        await stream.close()
        assert await there.read(100) == b"last words"
        with pytest.raises(yamux.MuxedStreamEOF):
            await there.read(100)
        await there.write(b"answer")
        assert await stream.read(100) == b"answer"


@trio_test
async def test_garbage_ends_the_connection() -> None:
    async with _raw() as (conn, wire):
        with suppress(yamux.RawConnError):
            await wire.write(b"\xff" * 100)
        with trio.fail_after(5):
            await conn.event_closed.wait()
