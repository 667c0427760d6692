"""Files handed over on the UNIX socket: their bytes arrive whole, and the node does with them only what it may."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import stat
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from inos.api import handed
from inos.core.endpoint import SOCKET_FILE
from inos.core.env import RealEnv
from inos.core.errors import Unavailable
from inos.core.reports import PutOptions, PutReport
from inos.core.writeback import leave_cache
from inos.testing.memory_service import MemoryService
from served import Served, served

MIB = 1 << 20
CONTENT = b"".join(bytes([number]) * MIB for number in range(3)) + b"the end"
STORE = f"/v1/objects:store?name=a&size={len(CONTENT)}"
Answer = tuple[int, Any]


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def asking(node: Served, target: str, descriptors: list[int], token: str = "") -> Iterator[socket.socket]:
    head = f"POST {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token or node.token}\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(os.fspath(node.home / SOCKET_FILE))
        socket.send_fds(connection, [f"{head}content-length: 0\r\nconnection: close\r\n\r\n".encode()], descriptors)
        yield connection


def ask(node: Served, target: str, *descriptors: int, token: str = "") -> Answer:
    with asking(node, target, list(descriptors), token) as connection:
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def stored(node: Served, source: Path) -> str:
    with opened(source) as descriptor:
        status, report = ask(node, STORE, descriptor)
    assert status == 200
    return str(report["ref"])


def write(node: Served, ref: str, descriptor: int, start: int = 0) -> Answer:
    return ask(node, f"/v1/objects:write?target={ref.replace('#', '%23')}&start={start}", descriptor)


def test_a_file_is_stored_from_where_it_stands(node: Served, source: Path, service: MemoryService) -> None:
    with opened(source) as descriptor:
        os.lseek(descriptor, 10, os.SEEK_SET)
        status, report = ask(node, f"/v1/objects:store?name=a&mode=384&size={MIB}", descriptor)
        assert (status, report["size"]) == (200, MIB)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 10 + MIB  # how far it is shows here
    assert list(service.contents.values()) == [CONTENT[10 : 10 + MIB]]
    assert service.names["/a"].mode == 0o600


def test_an_object_is_written_into_a_file(node: Served, stored: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out, os.O_RDWR | os.O_CREAT) as descriptor:
        assert write(node, stored, descriptor) == (200, {"written": len(CONTENT)})
    assert out.read_bytes() == CONTENT


def test_the_rest_of_an_object_goes_to_its_place(node: Served, stored: str, tmp_path: Path) -> None:
    out, have = tmp_path / "out", MIB + 5
    out.write_bytes(CONTENT[:have])
    with opened(out, os.O_WRONLY) as descriptor:
        assert write(node, stored, descriptor, have) == (200, {"written": len(CONTENT) - have})
        assert write(node, stored, descriptor, have)[0] == 200  # by offset: once more changes nothing
    assert out.read_bytes() == CONTENT


def test_a_file_may_be_used_only_as_it_was_opened(
    node: Served, stored: str, source: Path, service: MemoryService
) -> None:
    service.contents, before = dict(service.contents), source.read_bytes()
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND):
        with opened(source, flags) as descriptor:
            status, answer = write(node, stored, descriptor)
        assert (status, answer["error"]["code"]) == (400, "bad_input")
    with opened(source, os.O_WRONLY) as descriptor:
        assert ask(node, STORE, descriptor)[0] == 400
    with opened(source, os.O_PATH) as descriptor:
        assert ask(node, STORE, descriptor)[0] == 400
    assert source.read_bytes() == before
    assert len(service.contents) == 1


def test_only_files_are_taken(node: Served, tmp_path: Path) -> None:
    near, far = os.pipe()
    try:
        for descriptor in (near, far):
            assert ask(node, STORE, descriptor)[0] == 400
    finally:
        os.close(near)
        os.close(far)
    for path in (tmp_path, Path("/dev/zero")):
        with opened(path) as descriptor:
            status, answer = ask(node, STORE, descriptor)
        assert (status, answer["error"]["message"]) == (400, "what was handed over is not a file")


def test_without_a_file_nothing_is_done(node: Served, ask: Any, service: MemoryService) -> None:
    """Also over the port, which carries none."""
    for path in (STORE, "/v1/objects:write?target=/a"):
        answer = ask("POST", path)
        assert (answer.status, answer.code) == (400, "bad_input")
    assert not service.contents


def test_a_file_that_becomes_shorter(node: Served, source: Path, service: MemoryService) -> None:
    with opened(source) as descriptor:
        status, answer = ask(node, f"/v1/objects:store?name=a&size={len(CONTENT) + 1}", descriptor)
    assert (status, answer["error"]["code"]) == (409, "conflict")
    assert not service.contents


def test_what_came_before_an_error_is_written(
    node: Served, stored: str, tmp_path: Path, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = service._chunks

    async def lost_at_the_end(content: memoryview) -> AsyncGenerator[bytes, None]:
        async with aclosing(whole(content[: 2 * MIB])) as chunks:
            async for chunk in chunks:
                yield chunk
        raise Unavailable("no member gives the rest")

    monkeypatch.setattr(service, "_chunks", lost_at_the_end)
    out = tmp_path / "out"
    with opened(out, os.O_WRONLY | os.O_CREAT) as descriptor:
        status, answer = write(node, stored, descriptor)
    assert status == 503
    assert "no member gives the rest" in json.dumps(answer)
    assert out.read_bytes() == CONTENT[: 2 * MIB]


def test_a_large_file_leaves_the_page_cache_as_it_is_written(
    node: Served, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed, "_WRITE_BYTES", MIB)
    monkeypatch.setattr(handed, "_WRITEBACK_BYTES", MIB)
    monkeypatch.setattr(handed, "_CACHED_BYTES", MIB)
    left: list[tuple[int, int]] = []

    def leaving(descriptor: int, start: int, size: int) -> None:
        left.append((start, size))
        leave_cache(descriptor, start, size)

    monkeypatch.setattr(handed, "leave_cache", leaving)
    out = tmp_path / "out"
    with opened(out, os.O_WRONLY | os.O_CREAT) as descriptor:
        assert write(node, stored, descriptor) == (200, {"written": len(CONTENT)})
    assert left == [(0, MIB), (MIB, MIB)]
    assert out.read_bytes() == CONTENT


def test_what_the_disk_does_not_take_is_said(
    node: Served, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_descriptor: int, _start: int, _size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(handed, "_WRITEBACK_BYTES", MIB)
    monkeypatch.setattr(handed, "_CACHED_BYTES", MIB)
    monkeypatch.setattr(handed, "leave_cache", failing)
    with opened(tmp_path / "out", os.O_WRONLY | os.O_CREAT) as descriptor:
        status, answer = write(node, stored, descriptor)
    assert status == 400
    assert "Input/output error" in json.dumps(answer)


def test_a_file_that_cannot_be_written(node: Served, stored: str, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, limits[1]))
    try:
        with opened(tmp_path / "out", os.O_WRONLY | os.O_CREAT) as descriptor:
            status, answer = write(node, stored, descriptor)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (status, answer["error"]["message"]) == (400, "the file cannot be written: File too large")
    assert (tmp_path / "out").read_bytes() == CONTENT[: 2 * MIB]


def test_the_socket_is_as_guarded_as_the_port(node: Served, source: Path, service: MemoryService) -> None:
    path = node.home / SOCKET_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with opened(source) as descriptor:
        status, answer = ask(node, STORE, descriptor, token="another")
    assert (status, answer["error"]["code"]) == (401, "unauthorised")
    assert not service.contents


def test_no_descriptor_is_left_open(node: Served, stored: str, source: Path, tmp_path: Path) -> None:
    """Whatever becomes of the request, and however many came. (The node runs in this process.)"""

    def held() -> list[str]:
        return [name for name in map(_read_link, Path("/proc/self/fd").iterdir()) if name == os.fspath(source)]

    with opened(source) as one, opened(source) as other, opened(source) as third:
        ask(node, STORE, one)
        ask(node, STORE, one, other, third)
        ask(node, STORE, one, token="another")
        ask(node, "/v1/objects/nothing", one)
        write(node, stored, one)
        with asking(node, "/v1/objects:store?size=x", [one]):
            pass
    assert _eventually(lambda: not held())


def test_who_goes_away_stops_it(tmp_path: Path, source: Path) -> None:
    class Patient(MemoryService):
        def __init__(self) -> None:
            super().__init__(RealEnv())
            self.began, self.ended = threading.Event(), threading.Event()

        async def put(self, source: AsyncIterator[bytes], options: PutOptions) -> PutReport:
            try:
                await anext(source)
                self.began.set()
                await anyio.sleep_forever()
            finally:
                self.ended.set()
            raise AssertionError

    service = Patient()
    with served(service, tmp_path / "home") as node, opened(source) as descriptor:
        with asking(node, STORE, [descriptor]):
            assert service.began.wait(10)
        assert service.ended.wait(10)


def test_it_listens_only_while_it_runs(tmp_path: Path, source: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with socket.socket(socket.AF_UNIX) as left:  # by a node that was killed
        left.bind(os.fspath(home / SOCKET_FILE))
    with served(MemoryService(RealEnv()), home) as node, opened(source) as descriptor:
        assert ask(node, STORE, descriptor)[0] == 200
    assert not (home / SOCKET_FILE).exists()


def test_a_place_too_deep_for_a_socket_has_none(tmp_path: Path) -> None:
    home = tmp_path / ("d" * 100)
    with served(MemoryService(RealEnv()), home) as node:
        assert not (home / SOCKET_FILE).exists()
        with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")


def _read_link(path: Path) -> str:
    try:
        return os.fspath(path.readlink())
    except OSError:
        return ""


def _eventually(true: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + 10
    while not true() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return true()


def test_a_size_and_a_start_are_numbers_of_bytes(node: Served, stored: str, source: Path, tmp_path: Path) -> None:
    with opened(source) as one:
        for query in ("name=b&size=-5", "name=b", "name=b&size="):
            status, answer = ask(node, f"/v1/objects:store?{query}", one)
            assert status == 400 and "size" in answer["error"]["message"]
    with opened(tmp_path / "out", os.O_RDWR | os.O_CREAT) as out:
        status, answer = write(node, stored, out, start=-1)
    assert status == 400 and "start" in answer["error"]["message"]
