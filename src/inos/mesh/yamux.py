"""libp2p's Yamux made fit for a long-lived node: the muxer of every connection.

Same protocol, same bookkeeping; what is overridden here, and why, is measured in
docs/decisions/0001-libp2p-hardening.md:

* frames are written by a task of the connection, whole, or the connection ends: who is cancelled or out of time goes at
  once (upstream: a cancelled write kills every stream of the connection; shielding it would hold the caller instead);
* a writer waits for window by event, for a minute, and not for crumbs of it (upstream: polls every 10 ms, gives up
  after 5 s, and answers each small read of the peer with a small frame);
* the reader gives window back in halves, not at each read;
* a peer that ignores its window or opens more streams than its share is cut off (upstream: logged, buffered);
* a stream that is reset drops what it had buffered;
* nothing is formatted for a debug log that is off: a third of a transfer's CPU;
* a frame fits one Noise message (upstream's are 17 bytes over, so that each costs two).
"""

from __future__ import annotations

import struct
from collections import deque
from contextlib import suppress
from typing import Any, Final

from inos.mesh.lean_imports import prepare

prepare()

# isort: split
import trio  # noqa: E402
from libp2p.io.exceptions import IOException  # noqa: E402
from libp2p.io.utils import read_exactly  # noqa: E402
from libp2p.network.connection.exceptions import RawConnError  # noqa: E402
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH  # noqa: E402
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError, MuxedStreamReset  # noqa: E402
from libp2p.stream_muxer.yamux.yamux import (  # noqa: E402
    DEFAULT_WINDOW_SIZE,
    FLAG_ACK,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    HEADER_SIZE,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    Yamux,
    YamuxStream,
)

# What the kernel does not take for this long (6 KB/s) will not arrive: the peer is gone, the connection ends.
FRAME_WRITE_DEADLINE_S: Final = 10.0
# Frames that wait to be written: enough to keep the socket busy; writers wait beyond.
OUTBOX_BYTES: Final = 256 * 1024
# Answers to a peer's pings and streams do not wait; one that asks and does not read is cut off here.
OUTBOX_LIMIT_BYTES: Final = 1024 * 1024
# How long a writer waits for a reader that has stopped reading.
WINDOW_DEADLINE_S: Final = 60.0
# How long the body of an announced frame may take.
FRAME_READ_DEADLINE_S: Final = 60.0
# Streams a peer may have open at once: 8 calls' worth each way, pubsub, kad and identify, and room.
MAX_INBOUND_STREAMS: Final = 64
# A frame of a call is at most 2 MiB and there is one at a time, so more window would buy nothing.
MAX_WINDOW_BYTES: Final = 2 * 1024 * 1024
# One frame may be under way when we shrink nothing and the peer counts differently; beyond, it ignores its window.
WINDOW_SLACK_BYTES: Final = 64 * 1024
MAX_FRAME_BYTES: Final = MAX_PLAINTEXT_LENGTH - HEADER_SIZE
# Less window than this is not worth a frame while more data waits. A quarter of the smallest window there is, so a
# reader that gives back halves always gets us going again.
WORTHWHILE_BYTES: Final = DEFAULT_WINDOW_SIZE // 4
CLOSE_S: Final = 2.0
GO_AWAY_S: Final = 0.1

_HEADER: Final = struct.Struct("!BBHII")
_LOST: Final = (IOException, RawConnError, OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class MeshYamuxStream(YamuxStream):  # type: ignore[misc]  # libp2p is untyped
    """One stream. Its reader and writer may be different tasks; each is alone on its side."""

    def __init__(self, stream_id: int, conn: MeshYamux, is_initiator: bool) -> None:
        self.window_opened = trio.Event()
        super().__init__(stream_id, conn, is_initiator)
        self.target_recv_window: int = DEFAULT_WINDOW_SIZE
        self.unreturned = 0  # bytes read since window was last given back

    async def write(self, data: bytes | memoryview) -> None:
        view, sent, size = memoryview(data), 0, len(data)
        while sent < size:
            if self.closed or self.send_closed or self.conn.event_shutting_down.is_set():
                raise MuxedStreamError("Stream is closed")
            if self.send_window < min(size - sent, WORTHWHILE_BYTES):
                await self._wait_for_window()
                continue
            take = min(self.send_window, MAX_FRAME_BYTES, size - sent)
            self.send_window -= take
            header = _HEADER.pack(0, TYPE_DATA, 0, self.stream_id, take)
            await self.conn._write_frame(b"".join((header, view[sent : sent + take])))
            sent += take

    async def _wait_for_window(self) -> None:
        self.window_opened = trio.Event()
        with trio.move_on_after(WINDOW_DEADLINE_S) as scope:
            await self.window_opened.wait()
        if scope.cancelled_caught:
            raise MuxedStreamError("the peer has stopped reading")

    async def read(self, n: int | None = -1) -> bytes:
        conn = self.conn
        while True:
            buffer = conn.stream_buffers.get(self.stream_id)
            if buffer:
                break
            if self.reset_received:
                raise MuxedStreamReset("Stream was reset")
            if buffer is None or self.recv_closed or self.closed or conn.event_shutting_down.is_set():
                raise MuxedStreamEOF("Stream is closed for receiving")
            event = conn.stream_events[self.stream_id] = trio.Event()
            await event.wait()
        if n is None or n < 0 or n >= len(buffer):
            data = bytes(buffer)
            buffer.clear()
        else:
            data = bytes(memoryview(buffer)[:n])
            del buffer[:n]
        if self.closed and not buffer:
            await conn._finalize_stream(self, fully_closed=True)
        elif not self.recv_closed:
            await self._return_window(len(data))
        return data

    async def _return_window(self, read_bytes: int) -> None:
        self.unreturned += read_bytes
        if 2 * self.unreturned < self.target_recv_window:
            return
        grown = min(2 * self.target_recv_window, MAX_WINDOW_BYTES)
        increment = self.unreturned + grown - self.target_recv_window
        self.target_recv_window = grown
        self.unreturned = 0
        self.recv_window += increment
        await self.conn._write_frame(_HEADER.pack(0, TYPE_WINDOW_UPDATE, 0, self.stream_id, increment))

    async def reset(self) -> None:
        buffer = self.conn.stream_buffers.get(self.stream_id)
        if buffer is not None:
            buffer.clear()
        await super().reset()
        self.window_opened.set()


class MeshYamux(Yamux):  # type: ignore[misc]
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._work = trio.Event()
        self._space = trio.lowlevel.ParkingLot()
        self._written = trio.Event()  # of the moment: nothing waits to be written

    async def _write_frame(self, data: bytes) -> None:
        while self._outbox_bytes >= OUTBOX_BYTES and not self.event_shutting_down.is_set():
            await self._space.park()
        self._post(data)
        await trio.lowlevel.checkpoint()

    def _post(self, data: bytes) -> None:
        """Have a frame written without waiting for room: the reader must never wait for the writer, or two nodes that
        are both busy sending would wait for each other."""
        if self.event_shutting_down.is_set() or self._outbox_bytes > OUTBOX_LIMIT_BYTES:
            raise RawConnError("the connection has ended, or its peer does not read")
        self._outbox.append(data)
        self._outbox_bytes += len(data)
        self._work.set()

    async def _write_out(self) -> None:
        """Write what is in the outbox until the connection ends, small frames together."""
        with suppress(*_LOST):
            while not self.event_shutting_down.is_set():
                if not self._outbox:
                    self._written.set()
                    self._work = trio.Event()
                    await self._work.wait()
                    self._written = trio.Event()
                with trio.move_on_after(FRAME_WRITE_DEADLINE_S) as scope:
                    await self.secured_conn.write(self._next_batch())
                if scope.cancelled_caught:
                    break
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
            await self._cleanup_on_error()

    def _next_batch(self) -> bytes:
        batch = [self._outbox.popleft()]
        size = len(batch[0])
        while self._outbox and size + len(self._outbox[0]) <= MAX_PLAINTEXT_LENGTH:
            batch.append(self._outbox.popleft())
            size += len(batch[-1])
        self._outbox_bytes -= size
        self._space.unpark_all()
        return b"".join(batch)

    async def _handle_incoming_with_ready_signal(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        self._nursery.start_soon(self._write_out)
        await super()._handle_incoming_with_ready_signal(task_status)

    async def open_stream(self) -> MeshYamuxStream:
        await self.stream_backlog_semaphore.acquire()
        if self.event_shutting_down.is_set():
            self.stream_backlog_semaphore.release()
            raise MuxedStreamError("Connection is shutting down")
        stream_id = self.next_stream_id
        self.next_stream_id += 2
        stream = self._add(stream_id, is_initiator=True)
        stream._owns_backlog_slot = True
        try:
            await self._write_frame(_HEADER.pack(0, TYPE_WINDOW_UPDATE, FLAG_SYN, stream_id, 0))
        except BaseException:  # cancelled after it was sent: the peer must not wait for more
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                await stream.reset()
            raise
        return stream

    def _add(self, stream_id: int, *, is_initiator: bool) -> MeshYamuxStream:
        stream = MeshYamuxStream(stream_id, self, is_initiator)
        self.streams[stream_id] = stream
        self.stream_buffers[stream_id] = bytearray()
        self.stream_events[stream_id] = trio.Event()
        return stream

    async def handle_incoming(self) -> None:
        """Take frames until the connection ends."""
        try:
            # That the peer hung up and that it is cut off for breaking the protocol are the same to those above.
            with suppress(*_LOST, trio.TooSlowError):
                while not self.event_shutting_down.is_set():
                    header = await read_exactly(self.secured_conn, HEADER_SIZE)
                    version, kind, flags, stream_id, length = _HEADER.unpack(header)
                    if version != 0 or not await self._take(kind, flags, stream_id, length):
                        break
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                await self._cleanup_on_error()

    async def _take(self, kind: int, flags: int, stream_id: int, length: int) -> bool:
        """Act on one frame, reading its body; False ends the connection."""
        if kind in (TYPE_DATA, TYPE_WINDOW_UPDATE):
            stream = self.streams.get(stream_id)
            if flags & FLAG_SYN:
                stream = await self._accept(stream_id)
            if kind == TYPE_WINDOW_UPDATE:
                if stream is not None:
                    stream.send_window += length
                    stream.window_opened.set()
            elif length and not await self._take_data(stream, length):
                return False
            if stream is not None and flags & (FLAG_FIN | FLAG_RST):
                self._end(stream, reset=bool(flags & FLAG_RST))
            return True
        if kind == TYPE_PING:
            if flags & FLAG_SYN:
                self._post(_HEADER.pack(0, TYPE_PING, FLAG_ACK, 0, length))
            else:
                self._rtt = trio.current_time() - self._ping_sent_time
                self._ping_event.set()
            return True
        return False  # the peer is going away, or speaks something else

    async def _accept(self, stream_id: int) -> MeshYamuxStream | None:
        inbound = sum(not stream.is_initiator for stream in self.streams.values())
        ours = stream_id % 2 == self.next_stream_id % 2
        if stream_id in self.streams or ours or inbound >= MAX_INBOUND_STREAMS:
            self._post(_HEADER.pack(0, TYPE_WINDOW_UPDATE, FLAG_RST, stream_id, 0))
            return None
        stream = self._add(stream_id, is_initiator=False)
        self._post(_HEADER.pack(0, TYPE_WINDOW_UPDATE, FLAG_ACK, stream_id, 0))
        await self.new_stream_send_channel.send(stream)
        return stream

    async def _take_data(self, stream: MeshYamuxStream | None, length: int) -> bool:
        allowed = DEFAULT_WINDOW_SIZE if stream is None else stream.recv_window
        if length > allowed + WINDOW_SLACK_BYTES:
            return False
        with trio.fail_after(FRAME_READ_DEADLINE_S):
            data = await read_exactly(self.secured_conn, length)
        if stream is None or stream.closed:
            return True  # ended here while it was under way
        stream.recv_window -= length
        self.stream_buffers[stream.stream_id] += data
        self.stream_events[stream.stream_id].set()
        return True

    def _end(self, stream: MeshYamuxStream, *, reset: bool) -> None:
        """The peer has ended its side of `stream`, or all of it."""
        stream.recv_closed = True
        if reset:
            stream.reset_received = stream.send_closed = stream.closed = True
        elif stream.send_closed:
            stream.closed = True
        self.stream_events[stream.stream_id].set()
        stream.window_opened.set()
        if stream.closed:
            self._finalize_stream_locked(stream, fully_closed=True)

    async def _cleanup_on_error(self) -> None:
        if not self.event_closed.is_set():
            self.event_shutting_down.set()
            self._space.unpark_all()
            for stream in self.streams.values():
                stream.window_opened.set()
            await super()._cleanup_on_error()

    async def close(self, error_code: int = 0) -> None:
        if not self.event_shutting_down.is_set():
            with suppress(RawConnError), trio.move_on_after(GO_AWAY_S):  # a peer that does not read must not keep us
                self._post(_HEADER.pack(0, TYPE_GO_AWAY, 0, 0, error_code))
                self._written = trio.Event()
                await self._written.wait()
        await self._cleanup_on_error()
