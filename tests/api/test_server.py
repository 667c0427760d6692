"""Listening, bounding and stopping."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.worker_context import WorkerContext

from inos.api import message_events
from inos.api import server as server_module
from inos.api.connection import HttpConnection
from inos.api.server import serve_api
from inos.core.env import RealEnv
from inos.core.errors import BadInput, Conflict
from inos.core.reports import StatusReport
from inos.testing.memory_service import MemoryService
from inos.testing.run import trio_test
from served import TOKEN, served


async def serve(host: str, port: int) -> None:
    env = RealEnv()
    with trio.fail_after(5):
        await serve_api(MemoryService(env), env=env, host=host, port=port, token=TOKEN, version="0")


@trio_test
async def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Conflict) as refused:
        await serve("127.0.0.1", taken.getsockname()[1])
    assert "in use" in refused.value.message and refused.value.hint


@pytest.mark.parametrize("host", ["203.0.113.1", "no-such-host.invalid"])
def test_an_address_of_another_machine(host: str) -> None:
    with pytest.raises(BadInput):
        trio.run(serve, host, 0)


def test_whoever_connects_and_resets_leaves_no_trace_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(MemoryService(RealEnv()), tmp_path) as node:
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", node.port)) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        connection.request("GET", "/v1/status", headers={"authorization": f"Bearer {TOKEN}"})
        assert connection.getresponse().status == 200  # accepted after all of those
        connection.close()
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_ipv6(tmp_path: Path) -> None:
    async def main() -> None:
        env = RealEnv()
        async with trio.open_nursery() as nursery:

            async def run(task_status: Any) -> None:
                await serve_api(
                    MemoryService(env),
                    env=env,
                    host="::1",
                    port=0,
                    token=TOKEN,
                    version="0",
                    task_status=task_status,
                )

            bound = await nursery.start(run)
            assert bound.url == f"http://[::1]:{bound.port}"
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    with served(MemoryService(RealEnv()), tmp_path) as node:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        connection.connect()
        used = connection.sock
        for _ in range(20):
            connection.request("GET", "/v1/status", headers={"authorization": f"Bearer {node.token}"})
            assert connection.getresponse().read()
        assert connection.sock is used
        connection.close()


def test_clients_that_leave_without_an_answer_take_up_no_room(tmp_path: Path) -> None:
    with served(MemoryService(RealEnv()), tmp_path) as node:
        for _ in range(2 * server_module.MAX_CONNECTIONS):
            with socket.create_connection(("127.0.0.1", node.port), timeout=10) as leaver:
                leaver.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()


CHUNKS = b"1\r\nx\r\n" * 20
EVENTS = f"GET /events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("said", "half"),
    [
        (b"POST /sync/message HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, False),
        (b"POST /health HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, False),
        (EVENTS, False),
        (EVENTS, True),
        (EVENTS + EVENTS, False),
    ],
    ids=["body that nobody takes", "body of another call", "stream", "stream half closed", "stream and more"],
)
def test_what_a_client_leaves_behind_is_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes, half: bool
) -> None:
    """By whom there is room for few connections, and of whom none would be left."""
    monkeypatch.setattr(message_events, "KEEP_ALIVE_S", 0.05)
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)
    with served(MemoryService(RealEnv()), tmp_path) as node:
        for _ in range(9):
            with socket.create_connection(("127.0.0.1", node.port), timeout=20) as leaver:
                leaver.sendall(said)
                if half:
                    leaver.shutdown(socket.SHUT_WR)
                else:
                    assert leaver.recv(12).startswith(b"HTTP/1.1 ")
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()


@trio_test
async def test_an_answer_that_meets_the_closing_is_dropped() -> None:
    """Which of the two is first is up to chance: some of each."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await ready.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})
        answered.set()

    for _ in range(30):
        ready, answered = trio.Event(), trio.Event()
        near, far = trio.socket.socketpair()
        connection = HttpConnection(
            ASGIWrapper(app), server_module._config(), WorkerContext(None), trio.SocketStream(far)
        )
        with near, trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.run)
                await near.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(connection._close)
                ready.set()
                await answered.wait()
                near.close()


def test_stops_at_once_whatever_clients_do(tmp_path: Path) -> None:
    service = MemoryService(RealEnv())
    with served(service, tmp_path) as node:
        put = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        put.request("PUT", "/v1/objects?name=big", bytes(64 * 1024 * 1024), {"authorization": f"Bearer {TOKEN}"})
        assert put.getresponse().read()
        idle = put
        head = f"host: localhost\r\nauthorization: Bearer {TOKEN}\r\n"
        stalled_reader = socket.create_connection(("127.0.0.1", node.port))
        stalled_reader.sendall(f"GET /v1/objects/content?target=big HTTP/1.1\r\n{head}\r\n".encode())
        stalled_writer = socket.create_connection(("127.0.0.1", node.port))
        stalled_writer.sendall(f"PUT /v1/objects HTTP/1.1\r\n{head}content-length: 99\r\n\r\nx".encode())
        silent = socket.create_connection(("127.0.0.1", node.port))
        time.sleep(0.3)
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    for connection in (idle, stalled_reader, stalled_writer, silent):
        connection.close()


class Slow(MemoryService):
    async def status(self) -> StatusReport:
        await trio.sleep(0.3)
        return await super().status()


def test_a_request_in_flight_is_answered_before_stopping(tmp_path: Path) -> None:
    answers: list[int] = []

    def ask(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/v1/status", headers={"authorization": f"Bearer {TOKEN}"})
        answers.append(connection.getresponse().status)
        connection.close()

    with served(Slow(RealEnv()), tmp_path) as node:
        thread = threading.Thread(target=ask, args=(node.port,))
        thread.start()
        time.sleep(0.15)
    thread.join(10)
    assert answers == [200]


def test_connections_that_nobody_uses_are_closed_for_those_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(server_module, "IDLE_SPARED_S", 0.2)
    with served(MemoryService(RealEnv()), tmp_path) as node:
        idle = [socket.create_connection(("127.0.0.1", node.port), timeout=20) for _ in range(3)]
        late = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        late.request("GET", "/health")
        assert late.getresponse().status == 200, "they were still open when it came"
        assert [connection.recv(1) for connection in idle] == [b""] * 3
        late.close()
        for connection in idle:
            connection.close()


def test_answers_that_nobody_reads_make_way_for_those_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token is needed for them."""
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(server_module, "UNREAD_SPARED_S", 0.2)
    monkeypatch.setattr(server_module, "CROWDED_LOOK_S", 0.1)
    monkeypatch.setattr(server_module, "_last", lambda send: send)  # one request behind the other, as before it is full
    asked = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n" * 300
    with served(MemoryService(RealEnv()), tmp_path) as node:
        hoarding = [socket.create_connection(("127.0.0.1", node.port), timeout=20) for _ in range(3)]
        for each in hoarding:
            each.sendall(asked)
        late = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        late.request("GET", "/health")
        assert late.getresponse().status == 200
        late.close()
        for each in hoarding:
            each.close()


def test_more_connections_than_room_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)
    with served(MemoryService(RealEnv()), tmp_path) as node:
        held = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(3)]
        time.sleep(0.1)
        late = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        late.request("GET", "/health")
        late.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            late.sock.recv(1)
        held.pop().close()
        late.sock.settimeout(10)
        assert late.sock.recv(12) == b"HTTP/1.1 200"
        late.close()
        for connection in held:
            connection.close()
