"""The real TCP port under hostile hands: memory stays bounded and honest peers are served all along."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
import trio
from libp2p_machines import libp2p_machines

from inos.core.errors import Busy, NotAMember, PeerUnavailable
from inos.mesh.calls import StreamBroken
from inos.mesh.frames import Envelope, Kind, encode_frame
from inos.mesh.gate import GateLimits
from inos.mesh.libp2p_host import Libp2pNetwork, MeshConfig
from inos.mesh.network import Message
from inos.mesh.streams import Libp2pStream, negotiated
from inos.testing.roster import Mesh, echo, join, until
from inos.testing.run import trio_test

MULTISTREAM = b"\x13/multistream/1.0.0\n"
GATE = GateLimits(connections_per_ip=20, lifetime_s=2.0)
# What a whole test may add to the process, its own buffers and the other nodes in it included.
MEMORY_BYTES = 40 * 1024 * 1024


@asynccontextmanager
async def _under_attack(gate: GateLimits = GATE) -> AsyncIterator[tuple[Libp2pNetwork, Mesh, int]]:
    """A member to attack, the mesh it is in, its port. Afterwards an honest peer must be served, memory be flat."""
    async with libp2p_machines(MeshConfig(gate=gate)) as machines:
        mesh = Mesh(machines)
        victim, honest = await mesh.node(), await mesh.node()
        assert isinstance(victim, Libp2pNetwork)
        victim.serve("echo", echo)
        before = psutil.Process().memory_info().rss
        yield victim, mesh, int(victim.addresses()[0].split("/")[4])
        with trio.fail_after(5):
            await join(honest, victim)
            assert await honest.call(victim.me, "echo", Message(b"x"), timeout_s=3) == Message(b"x")
        assert psutil.Process().memory_info().rss - before < MEMORY_BYTES


async def _link(stranger: Libp2pNetwork, victim: Libp2pNetwork) -> Any:
    from inos.mesh.libp2p_network import split_address
    from inos.mesh.swarm import Multiaddr

    place, peer = split_address(victim.addresses()[0])
    return await stranger._swarm.dial(peer, [Multiaddr(place)], timeout_s=3)


@trio_test
async def test_garbage_on_the_port() -> None:
    async with _under_attack() as (_, _mesh, port):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(100_000), b"\xff" * 1000, MULTISTREAM + os.urandom(500)):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                try:
                    await stream.send_all(garbage)
                    with trio.move_on_after(0.3):
                        await stream.receive_some()
                except trio.BrokenResourceError:
                    continue


@trio_test
async def test_plaintext_is_not_spoken() -> None:
    async with _under_attack() as (_, _mesh, port), await trio.open_tcp_stream("127.0.0.1", port) as stream:
        heard = b""
        for protocol in (b"/plaintext/2.0.0\n", b"/secio/1.0.0\n", b"/tls/1.0.0\n"):
            await stream.send_all((MULTISTREAM if not heard else b"") + bytes([len(protocol)]) + protocol)
            with trio.move_on_after(0.3):
                while True:
                    heard += await stream.receive_some()
        assert b"plaintext" not in heard
        assert b"secio" not in heard
        assert heard.count(b"na\n") == 3


@trio_test
async def test_three_hundred_silent_sockets_shut_nobody_out() -> None:
    async with _under_attack() as (victim, _mesh, port):
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(300)]
        await until(lambda: victim.refused.get("connections_per_ip", 0) >= 250, "the oldest were let go")
        assert len(victim._swarm.gate._visits) <= GATE.connections_per_ip
    for stream in silent:
        await stream.aclose()


@trio_test
async def test_silent_sockets_are_let_go_in_time() -> None:
    async with (
        _under_attack(GateLimits(lifetime_s=0.3)) as (victim, _mesh, port),
        await trio.open_tcp_stream("127.0.0.1", port) as stream,
    ):
        with trio.fail_after(3):
            while await stream.receive_some():
                pass
        await until(lambda: victim.refused.get("lifetime") == 1, "it is counted")


@trio_test
async def test_a_stranger_gets_no_other_protocol_and_a_short_life() -> None:
    async with _under_attack(GateLimits(lifetime_s=1.0)) as (victim, mesh, _port):
        stranger = await mesh.node(member=False)
        assert isinstance(stranger, Libp2pNetwork)
        link = await _link(stranger, victim)
        for protocol in ("/meshsub/1.1.0", "/inos/kad/1", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"):
            with pytest.raises(StreamBroken):
                await negotiated(await link.conn.new_stream(), [protocol])
        # nor does anything of ours start toward it
        streams = [stream for other in victim._swarm.links.values() for stream in other.conn.streams]
        assert not [stream for stream in streams if stream.muxed_stream.is_initiator]
        await until(lambda: victim.refused.get("protocol") == 5, "each refusal is counted")
        with trio.fail_after(4):
            await link.muxed.event_closed.wait()


@trio_test
async def test_a_stranger_may_send_small_frames_only_and_not_many() -> None:
    gate = GateLimits(lifetime_s=10, burst_per_peer=5, calls_per_s_per_peer=0.1)
    async with _under_attack(gate) as (victim, mesh, _port):
        victim.serve("open", echo, strangers=True)
        stranger = await mesh.node(member=False)
        assert isinstance(stranger, Libp2pNetwork)
        pool = stranger._pool_on(await _link(stranger, victim))
        assert await pool.call("open", Message(b"hi"), timeout_s=3) == Message(b"hi")
        for large in (Message(bytes(70_000)), Message(b"", bytes(70_000))):
            with pytest.raises(PeerUnavailable):
                await pool.call("open", large, timeout_s=3)
        with pytest.raises(NotAMember):
            await pool.call("echo", Message(), timeout_s=3)
        with pytest.raises(Busy):
            for _ in range(10):
                await pool.call("open", Message(), timeout_s=3)
        assert victim.refused["frame"] == 2
        assert victim.refused["method"] == 1


@trio_test
async def test_a_member_that_breaks_the_framing_loses_its_stream_and_no_more() -> None:
    async with _under_attack() as (victim, mesh, _port):
        member = await mesh.node()
        assert isinstance(member, Libp2pNetwork)
        await join(member, victim)
        for broken in (
            b"\x01" + b"\xff" * 8,
            b"\x02" + bytes(8),
            os.urandom(5000),
            encode_frame(Envelope(Kind.RESPONSE, 1)),
            b"\x01" + (1 << 20).to_bytes(4, "big") + bytes(4) + bytes(1 << 20),
        ):
            (link,) = member._swarm.proven_links(victim.me)
            stream = await negotiated(await link.conn.new_stream(), ["/inos/call/1"])
            await stream.write(broken)
            with trio.fail_after(5), pytest.raises(StreamBroken):
                await stream.read(1)
        assert await member.call(victim.me, "echo", Message(b"fine"), timeout_s=3) == Message(b"fine")
        assert victim.refused["frame"] == 5


@trio_test
async def test_half_sent_frames_on_many_streams_cost_little_and_block_nobody() -> None:
    async with _under_attack() as (victim, mesh, _port):
        member = await mesh.node()
        assert isinstance(member, Libp2pNetwork)
        await join(member, victim)
        (link,) = member._swarm.proven_links(victim.me)
        half = b"\x01" + (1000).to_bytes(4, "big") + bytes(4) + b"x"
        streams: list[Libp2pStream] = []
        for _ in range(40):
            streams.append(await negotiated(await link.conn.new_stream(), ["/inos/call/1"]))
            await streams[-1].write(half)
        assert await member.call(victim.me, "echo", Message(b"fine"), timeout_s=3) == Message(b"fine")


@trio_test
async def test_forged_hellos_are_refused() -> None:
    async with _under_attack() as (victim, mesh, _port):
        stranger = await mesh.node(member=False)
        assert isinstance(stranger, Libp2pNetwork)
        pool = stranger._pool_on(await _link(stranger, victim))
        for hello in (b"", os.urandom(1000), b"hello, I am " + victim.me.encode(), bytes(61 * 1024)):
            with pytest.raises(NotAMember):
                await pool.call("mesh.hello", Message(hello), timeout_s=3)
        with pytest.raises(NotAMember, match="first"):
            await pool.call("mesh.ready", Message(), timeout_s=3)
        assert not victim.connected()
        assert victim.refused["member"] == 4
