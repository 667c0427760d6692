"""One regression test per defect of libp2p 0.8.1 that docs/decisions/0001-libp2p-hardening.md lists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio
from libp2p_machines import libp2p_machines

from inos.core.env import RealEnv
from inos.core.errors import Conflict, PeerUnavailable
from inos.mesh import hardening, lean_imports
from inos.mesh.libp2p_host import Libp2pNetwork, MeshConfig, open_libp2p
from inos.mesh.network import Message
from inos.mesh.streams import negotiated
from inos.mesh.swarm import MeshSwarm, Swarm
from inos.testing.roster import Mesh, Roster, RosterAdmission, join, until
from inos.testing.run import trio_test

SOURCE = Path(lean_imports.__file__).parents[2]


async def _pair(machines: Any) -> tuple[Libp2pNetwork, Libp2pNetwork]:
    a, b = await Mesh(machines).pair()
    assert isinstance(a, Libp2pNetwork)
    assert isinstance(b, Libp2pNetwork)
    return a, b


async def _still_works(a: Libp2pNetwork, b: Libp2pNetwork) -> None:
    assert await a.call(b.me, "echo", Message(b"x"), timeout_s=5) == Message(b"x")


async def _borrowed_after_five_connections(machines: Any) -> int:
    mesh = Mesh(machines)
    a, b = await mesh.node(), await mesh.node()
    assert isinstance(b, Libp2pNetwork)
    for _ in range(5):
        await join(a, b)
        await a.disconnect(b.me)
        await until(lambda: not b.connected(), "the connection is gone")
    await trio.sleep(0.2)
    borrowed: int = b._swarm._inbound_limiter.borrowed_tokens
    return borrowed


@trio_test
async def test_b2_inbound_slots_are_given_back() -> None:
    async with libp2p_machines() as machines:
        assert await _borrowed_after_five_connections(machines) == 0


@trio_test
async def test_b2_upstream_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeshSwarm, "_do_handle_inbound_connection", Swarm._do_handle_inbound_connection)
    async with libp2p_machines() as machines:
        assert await _borrowed_after_five_connections(machines) == 5


@trio_test
async def test_b3_our_muxer_is_the_one_in_use() -> None:
    async with libp2p_machines() as machines:
        a, _ = await _pair(machines)
        assert [type(link.muxed).__name__ for link in a._swarm.links.values()] == ["MeshYamux"]


@trio_test
async def test_b4_a_malformed_gossip_frame_ends_its_stream_only() -> None:
    async with libp2p_machines() as machines:
        a, b = await _pair(machines)
        failures = len(hardening.handler_failures)
        for garbage in (b"\x05\xff\xff\xff\xff\xff", b"\xff" * 20, b"\x02\x0a\x05"):
            (link,) = a._swarm.links.values()
            stream = await negotiated(await link.conn.new_stream(), ["/meshsub/1.1.0"])
            await stream.write(garbage)
        await until(lambda: len(hardening.handler_failures) > failures, "the bad frame was met")
        await _still_works(a, b)


@trio_test
async def test_b5_an_exception_in_a_stream_handler_ends_its_stream_only() -> None:
    async with libp2p_machines() as machines:
        a, b = await _pair(machines)

        async def crash(_stream: Any) -> None:
            raise RuntimeError("B5")

        b._host.set_stream_handler("/test/crash/1", crash)
        (link,) = a._swarm.links.values()
        await negotiated(await link.conn.new_stream(), ["/test/crash/1"])
        await until(lambda: "RuntimeError: B5" in hardening.handler_failures, "the handler crashed")
        await _still_works(a, b)


@trio_test
async def test_b6_gossip_to_one_peer_is_written_one_message_at_a_time() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.writing = self.most = 0

        async def write(self, _data: bytes) -> None:
            self.writing += 1
            self.most = max(self.most, self.writing)
            await trio.sleep(0.01)
            self.writing -= 1

    async with libp2p_machines() as machines:
        a, _ = await _pair(machines)
        stream = Recorder()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(a._pubsub.write_msg, stream, a._pubsub.get_hello_packet())
        assert stream.most == 1


@trio_test
async def test_the_public_dht_is_not_ours() -> None:
    async with libp2p_machines() as machines:
        a, _ = await _pair(machines)
        protocols = set(a._host.get_mux().get_protocols())
        assert hardening.KAD_PROTOCOL in protocols
        assert not [protocol for protocol in protocols if protocol and protocol.startswith("/ipfs/kad")]


@trio_test
async def test_a_port_in_use_is_a_conflict() -> None:
    async with libp2p_machines() as machines:
        a, _ = await _pair(machines)
        address = a.addresses()[0].partition("/p2p/")[0]
        with pytest.raises(Conflict, match="cannot listen"):
            async with open_libp2p(
                MeshConfig(listen=(address,)), bytes(32), RosterAdmission(a.me, Roster()), RealEnv()
            ):
                raise AssertionError


@trio_test
async def test_dialling_somebody_who_accepts_and_never_answers_ends_in_time() -> None:
    async with libp2p_machines(MeshConfig(dial_timeout_s=2.0)) as machines:
        a, b = await _pair(machines)
        (silent,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with silent:
            port = silent.socket.getsockname()[1]
            await b.disconnect(a.me)
            await until(lambda: not a.connected(), "disconnected")
            before = trio.current_time()
            with pytest.raises(PeerUnavailable):
                await a.connect([f"/ip4/127.0.0.1/tcp/{port}/p2p/{b.me}"], timeout_s=20)
            assert trio.current_time() - before < 5
            # and the one that answers is found behind it, without waiting for the silent one
            before = trio.current_time()
            await a.connect([f"/ip4/127.0.0.1/tcp/{port}/p2p/{b.me}", *b.addresses()], timeout_s=5)
            assert trio.current_time() - before < 1.5


@trio_test
async def test_a_node_with_ten_connections_stops_within_a_second_and_leaves_nothing_open() -> None:
    def sockets() -> int:
        return len(psutil.Process().net_connections("inet"))

    before = sockets()
    async with libp2p_machines() as machines:
        mesh = Mesh(machines)
        hub = await mesh.node()
        for _ in range(10):
            await join(await mesh.node(), hub)
        started = trio.current_time()
        await machines.stop(hub)
        assert trio.current_time() - started < 1
    assert sockets() == before


def test_another_release_of_libp2p_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_imports, "version", lambda _name: "0.9.0")
    with pytest.raises(Conflict, match=r"0\.9\.0"):
        lean_imports.prepare()


def test_what_is_not_loaded_fails_loudly_when_used() -> None:
    from libp2p.transport.quic.transport import QUICTransport

    assert not isinstance(object(), QUICTransport)
    with pytest.raises(lean_imports.AbsentDependency, match="QUICTransport"):
        QUICTransport()
    with pytest.raises(lean_imports.AbsentDependency, match="from_bytes"):
        QUICTransport.from_bytes(b"")


def test_the_heavy_parts_stay_out() -> None:
    heavy = (
        *("aioquic", "OpenSSL", "Crypto", "coincurve", "fastecdsa", "requests", "grpc", "aiortc", "zeroconf", "dns"),
        *("httpx2", "psutil._common", "cryptography.x509.base", "libp2p.kad_dht.diagnostics", "libp2p.bitswap.client"),
        *("libp2p.relay.circuit_v2.transport",),
    )
    code = f"import inos.mesh.libp2p_host, sys; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": str(SOURCE)},
    )
    assert found.stdout.strip() == "[]", found.stdout


def test_libp2p_imported_by_somebody_else_first_is_said() -> None:
    code = (
        "import sys, types; sys.modules['libp2p'] = types.ModuleType('libp2p')\n"
        "from inos.mesh.lean_imports import prepare\nprepare()"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(SOURCE)}
    )
    assert "was imported before" in found.stderr
