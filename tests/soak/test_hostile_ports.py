"""Strangers at a node's two ports: garbage, endless heads, silence by the hundred. The node lives and works on."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from soak_mesh import SoakMesh, no_traceback, opened, resident_mb

from inos.cli.local_mesh import LocalNode
from inos.core.endpoint import read_endpoint

# Several times what it takes alone: other suites may run beside it on two cores.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SILENT_SOCKETS = 300
GROWTH_MB = 60.0
CALL_S = 20.0


def api_port(node: LocalNode) -> int:
    port = urlsplit(read_endpoint(node.home).url).port
    assert port is not None
    return port


def mesh_port(node: LocalNode) -> int:
    return int(node.ready["listen"][0].split("/tcp/")[1].split("/")[0])


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def send_and_forget(port: int, data: bytes) -> None:
    with suppress(OSError), connect(port) as stream:
        stream.sendall(data)
        stream.settimeout(0.5)
        stream.recv(4096)


ATTACKS: dict[str, Iterator[bytes] | list[bytes]] = {
    "random": [os.urandom(size) for size in (1, 7, 100, 5000, 200_000)],
    "huge lengths": [b"\xff" * 64, b"\xff\xff\xff\xff\x0f" * 10, b"\x13/multistream/1.0.0\n" + b"\xff" * 500_000],
    "negotiation and garbage": [b"\x13/multistream/1.0.0\n\x07/noise\n" + os.urandom(70_000)],
    "endless head": [b"GET /v1/status HTTP/1.1\r\n" + b"x: " + b"a" * 2_000_000],
    "many heads": [b"GET / HTTP/1.1\r\n" + b"h: v\r\n" * 50_000],
    "huge body promised": [b"PUT /v1/objects HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 99999999999999\r\n\r\n"],
    "bad chunks": [b"PUT /v1/objects HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n"],
    "another protocol": [b"\x16\x03\x01\x02\x00\x01\x00" + os.urandom(500), b"SSH-2.0-x\r\n", b"\x00" * 10_000],
}


@contextmanager
def honest_traffic(mesh: SoakMesh) -> Iterator[Callable[[], int]]:
    """Puts and gets between the nodes all the while; the function counts those that were right and in time."""
    done, stop, failures = [0], threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            data, began_s = os.urandom(400_000), time.monotonic()
            try:
                with opened(mesh.nodes[0]) as one, opened(mesh.nodes[1]) as other:
                    assert b"".join(other.stream(one.put(data))) == data
                took_s = time.monotonic() - began_s
                assert took_s < CALL_S, f"put and get took {took_s:.1f} s"
            except Exception as error:  # handed to the test, which is another thread
                failures.append(error)
                return
            done[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: done[0]
    finally:
        stop.set()
        thread.join()
    assert not failures, failures


def test_nothing_a_stranger_sends_stops_a_node(tmp_path: Path) -> None:
    with SoakMesh(tmp_path) as mesh:
        mesh.start(2)
        target = mesh.nodes[0]
        with opened(target) as client:
            client.put(os.urandom(3_000_000))
        before_mb = resident_mb(target.pid)
        with honest_traffic(mesh) as done:
            for port in (mesh_port(target), api_port(target)):
                for payloads in ATTACKS.values():
                    for data in payloads:
                        send_and_forget(port, data)
            while done() < 2:
                time.sleep(0.1)
        assert target.running
        grown_mb = resident_mb(target.pid) - before_mb
        assert grown_mb < GROWTH_MB, f"{grown_mb:.0f} MB more than before"
        no_traceback(mesh)


@pytest.mark.parametrize("which", [mesh_port, api_port], ids=["mesh", "api"])
def test_silent_and_slow_strangers_are_not_waited_for(tmp_path: Path, which: Callable[[LocalNode], int]) -> None:
    """Hundreds of connections that say nothing, or one byte a second. On the API port they may fill every place for as
    long as a request head may take: then the honest client waits for a place, and gets one."""
    with SoakMesh(tmp_path) as mesh, ExitStack() as strangers:
        mesh.start(2)
        target = mesh.nodes[0]
        with opened(target) as client:
            client.put(os.urandom(3_000_000))
        before_mb = resident_mb(target.pid)
        port = which(target)
        limit = SILENT_SOCKETS if which is mesh_port else 100
        sockets = [strangers.enter_context(connect(port)) for _ in range(limit)]
        with honest_traffic(mesh) as done:
            deadline_s = time.monotonic() + 8
            while time.monotonic() < deadline_s or done() < 2:
                for stream in sockets[:20]:
                    with suppress(OSError):
                        stream.sendall(b"G")
                time.sleep(1)
        assert target.running
        grown_mb = resident_mb(target.pid) - before_mb
        assert grown_mb < GROWTH_MB, f"{grown_mb:.0f} MB more than before"
        no_traceback(mesh)


@pytest.mark.soak
def test_a_full_house_of_strangers_leaves_the_api_after_their_time(tmp_path: Path) -> None:
    """300 silent connections take every place there is; each is shown the door after the time for a request head."""
    with SoakMesh(tmp_path) as mesh, ExitStack() as strangers:
        mesh.start(1)
        (node,) = mesh.nodes
        for _ in range(SILENT_SOCKETS // 2):
            strangers.enter_context(connect(api_port(node)))
        began_s = time.monotonic()
        with opened(node) as client:
            assert client.status().members == 1
        assert time.monotonic() - began_s < 75
        assert resident_mb(node.pid) < 250
        no_traceback(mesh)
