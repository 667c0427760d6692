"""What libp2p 0.8.1 needs before a node may stay up with it among strangers: one function per defect, each with why.

`harden()` applies all of them, once a process, before the first host is made. Reasons and measurements in full:
docs/decisions/0001-libp2p-hardening.md; each has a regression test in tests/mesh/test_hardening.py that fails without
it. Defects of the Swarm are corrected in the subclass `inos.mesh.swarm.MeshSwarm` rather than here, because that one we
make ourselves. Every change is written so that it could go upstream.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from inos.mesh.lean_imports import prepare

prepare()

# isort: split
import trio  # noqa: E402
from libp2p.kad_dht import common, kad_dht, peer_routing, provider_store, value_store  # noqa: E402
from libp2p.network.connection.raw_connection import RawConnError  # noqa: E402
from libp2p.network.connection.swarm_connection import SwarmConn  # noqa: E402
from libp2p.pubsub import pubsub, rpc_queue  # noqa: E402
from libp2p.stream_muxer.exceptions import MuxedStreamError  # noqa: E402
from libp2p.stream_muxer.yamux import yamux  # noqa: E402
from libp2p.transport.tcp import tcp  # noqa: E402

# A single frame (at most 64 KiB) that the kernel does not take for this long: the peer is gone, drop the connection.
FRAME_WRITE_DEADLINE_S: Final = 30.0
# How long a writer waits for a reader that has stopped reading; upstream gives up after 5 s.
WINDOW_DEADLINE_S: Final = 60.0
# Streams a peer may have open at once: 8 of ours, the pubsub, kad and identify ones, and room.
MAX_INBOUND_STREAMS: Final = 64
# What a sender may overshoot its window by before the connection ends; one frame may be under way.
WINDOW_SLACK_BYTES: Final = 256 * 1024
# One DHT query of one peer; upstream waits 10 s for each silent one.
KAD_QUERY_DEADLINE_S: Final = 3.0
# Gossip that may wait for one slow subscriber or peer; upstream keeps 32 and drops the rest.
GOSSIP_QUEUE: Final = 1024
KAD_PROTOCOL: Final = "/inos/kad/1"

_applied: list[bool] = []


def harden() -> None:
    """Apply everything below. Repeatable."""
    if _applied:
        return
    _applied.append(True)
    shield_frame_writes()
    wait_for_window_by_event()
    enforce_receive_window()
    drop_buffers_on_reset()
    cap_inbound_streams()
    contain_stream_handlers()
    serialise_pubsub_writes()
    widen_gossip_queues()
    name_and_bound_kad()
    refuse_shared_ports()


def shield_frame_writes() -> None:
    """B3: a write cancelled in the middle of a frame leaves a torn frame and a skipped Noise nonce behind, and with
    them every stream of the connection dead. So a frame is written whole, or the connection ends.

    Upstream also formats each frame for its debug log whether or not that is on: 4 % of a transfer's CPU."""

    async def write_frame(self: Any, data: bytes) -> None:
        async with self._write_lock:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + FRAME_WRITE_DEADLINE_S) as scope:
                await self.secured_conn.write(data)
        if scope.cancelled_caught:
            self.event_shutting_down.set()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                await self._cleanup_on_error()
            raise RawConnError("a frame could not be written in time")
        await trio.lowlevel.checkpoint()

    yamux.Yamux._write_frame = write_frame


def wait_for_window_by_event() -> None:
    """A writer without window polls every 10 ms and resets the stream after 5 s. Wait to be told, and longer."""

    async def write(self: Any, data: bytes | memoryview) -> None:
        view, sent, size = memoryview(data), 0, len(data)
        while sent < size:
            if self.closed or self.send_closed:
                raise MuxedStreamError("Stream is closed")
            if self.send_window <= 0:
                await _window(self)
                continue
            take = min(self.send_window, yamux.MAX_MESSAGE_SIZE - yamux.HEADER_SIZE, size - sent)
            self.send_window -= take
            header = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, self.stream_id, take)
            await self.conn._write_frame(b"".join((header, view[sent : sent + take])))
            sent += take

    async def _window(self: Any) -> None:
        with trio.move_on_after(WINDOW_DEADLINE_S) as scope:
            while self.send_window <= 0 and not self.closed and not self.conn.event_shutting_down.is_set():
                self.window_changed = trio.Event()
                await self.window_changed.wait()
        if scope.cancelled_caught:
            raise MuxedStreamError("the peer has stopped reading")

    yamux.YamuxStream.write = write
    yamux.YamuxStream.send_window = _announcing("send_window")
    yamux.YamuxStream.closed = _announcing("closed")


def _announcing(name: str) -> property:
    """An attribute that wakes the writer of its stream when it is set."""
    key = "_announcing_" + name

    def get(self: Any) -> Any:
        return self.__dict__[key]

    def set_(self: Any, value: Any) -> None:
        self.__dict__[key] = value
        waiting = self.__dict__.get("window_changed")
        if waiting is not None:
            waiting.set()

    return property(get, set_)


def enforce_receive_window() -> None:
    """A peer that sends beyond its window is only logged, and buffered without bound (320 MiB on one stream). End its
    connection."""
    key = "_receive_window"

    def get(self: Any) -> int:
        window: int = self.__dict__[key]
        return window

    def set_(self: Any, value: int) -> None:
        self.__dict__[key] = value
        if value < -WINDOW_SLACK_BYTES and not self.conn.event_shutting_down.is_set():
            self.conn.event_shutting_down.set()
            trio.lowlevel.spawn_system_task(_end_connection, self.conn)

    yamux.YamuxStream.recv_window = property(get, set_)


async def _end_connection(conn: Any) -> None:
    with trio.move_on_after(FRAME_WRITE_DEADLINE_S):
        try:
            await conn._cleanup_on_error()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            return


def drop_buffers_on_reset() -> None:
    """A stream reset with unread data keeps it (up to 16 MiB) for 60-90 s."""
    upstream = yamux.YamuxStream.reset

    async def reset(self: Any) -> None:
        buffer = self.conn.stream_buffers.get(self.stream_id)
        if buffer is not None:
            buffer.clear()
        await upstream(self)

    yamux.YamuxStream.reset = reset


def cap_inbound_streams() -> None:
    """Streams are limited over all connections together: one peer takes them all and honest ones get none."""
    upstream = SwarmConn._handle_muxed_stream

    async def handle(self: Any, muxed_stream: Any) -> None:
        if len(self.streams) >= MAX_INBOUND_STREAMS:
            await muxed_stream.reset()
            return
        await upstream(self, muxed_stream)

    SwarmConn._handle_muxed_stream = handle


def contain_stream_handlers() -> None:
    """B4, B5: an exception that leaves a stream handler ends `trio.run`: one malformed pubsub frame from any peer is
    enough. It ends the stream instead."""
    upstream = SwarmConn._handle_muxed_stream

    async def handle(self: Any, muxed_stream: Any) -> None:
        try:
            await upstream(self, muxed_stream)
        except Exception as error:
            handler_failures.append(f"{type(error).__name__}: {error}"[:200])
            del handler_failures[:-MAX_FAILURES]
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                try:
                    await muxed_stream.reset()
                except Exception as again:
                    handler_failures.append(f"{type(again).__name__}: {again}"[:200])

    SwarmConn._handle_muxed_stream = handle


MAX_FAILURES: Final = 50
# The last exceptions that left libp2p's stream handlers, for whoever looks into a misbehaving peer.
handler_failures: list[str] = []


def serialise_pubsub_writes() -> None:
    """B6: the replay to a new peer writes its pubsub stream beside the queue's writer; messages above 64 KiB
    interleave, and the other side sees garbage."""
    upstream = pubsub.Pubsub.write_msg

    async def write_msg(self: Any, stream: Any, rpc_msg: Any) -> bool:
        lock = stream.__dict__.setdefault("write_lock", trio.Lock())
        async with lock:
            done: bool = await upstream(self, stream, rpc_msg)
            return done

    pubsub.Pubsub.write_msg = write_msg


def widen_gossip_queues() -> None:
    """Queues of 32 lose messages in any burst."""
    pubsub.SUBSCRIPTION_CHANNEL_SIZE = GOSSIP_QUEUE
    upstream = rpc_queue.RpcQueue.__init__

    def init(self: Any, max_size: int = GOSSIP_QUEUE) -> None:
        upstream(self, max_size)

    rpc_queue.RpcQueue.__init__ = init


def name_and_bound_kad() -> None:
    """The protocol id is a constant: ours must differ, or the mesh would mix with the public DHT. A query of a silent
    peer must not cost 10 s."""
    for module in (common, kad_dht, peer_routing, provider_store, value_store):
        module.PROTOCOL_ID = KAD_PROTOCOL
        if hasattr(module, "QUERY_TIMEOUT"):
            module.QUERY_TIMEOUT = KAD_QUERY_DEADLINE_S


def refuse_shared_ports() -> None:
    """Listeners are opened with SO_REUSEPORT (for hole punching, which we do not do): a second node on the same port
    starts without an error and takes half of the connections."""

    def set_reuse_flags(sock: Any) -> None:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)

    tcp._set_reuse_flags = set_reuse_flags
