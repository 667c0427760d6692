"""A mesh of real node processes on this machine, for the demonstration, the cluster command, benchmarks and tests.

Each node is an ordinary `inos up` with a data root of its own below one folder; nothing is simulated. The processes are
children of this one and are ended with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inos.client.connect import connect_sync
from inos.core.errors import Unavailable

# Importing the network stack takes two seconds of processor time a node, and a small machine starts them two at a time.
READY_S: Final = 60.0
STOP_S: Final = 10.0


@dataclass(slots=True)
class LocalNode:
    """One node process. `ready` is its first event."""

    home: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.home.name

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start the process; it says when it is ready (`wait_ready`)."""
        with (self.home / "node.log").open("a") as errors:
            self.process = subprocess.Popen(
                inos_command("up", "--home", str(self.home), "--name", self.name, "--json", *self.options),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=clean_environment(),
                start_new_session=True,  # a Ctrl-C meant for the parent must not reach the nodes before it does
            )

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Raises Unavailable with the end of the node's log when it does not come up."""
        assert self.process is not None and self.process.stdout is not None
        timer = threading.Timer(timeout_s, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise Unavailable(f"node {self.name} did not start: {self._last_words()}")
        self.ready = json.loads(line)
        # Later events are for people watching; read away so that the pipe never fills.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self) -> None:
        """kill -9: no goodbye, nothing flushed."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to stop, and insist after a while."""
        self._end(signal.SIGTERM)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _last_words(self) -> str:
        lines = (self.home / "node.log").read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])[-500:] or "it said nothing"


class LocalMesh:
    """Nodes `node-1` … `node-n` below `folder`, joined into one mesh. A context manager: leaving it stops them all."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.options = tuple(options)
        self.nodes: list[LocalNode] = []

    def __enter__(self) -> LocalMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, count: int, options: Sequence[str] = ()) -> None:
        """Add `count` nodes and wait until all are members of one mesh. `options` are theirs alone."""
        homes = [self.folder / f"node-{len(self.nodes) + number + 1}" for number in range(count)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(_init, homes))
        fresh = [LocalNode(home, (*self.options, *options)) for home in homes]
        if not self.nodes:
            fresh[0].start()
            fresh[0].wait_ready()
        self.nodes += fresh
        joining = [node for node in fresh if node.process is None]
        if joining:
            ticket = self.run(self.nodes[0], "invite")["ticket"]
            for node in joining:
                node.options = (*node.options, "--join", ticket)
                node.start()
            for node in joining:
                node.wait_ready()
        self.wait_alive(len([node for node in self.nodes if node.running]))

    def wait_alive(self, count: int, timeout_s: float = READY_S) -> None:
        """Wait until every running node sees `count` members alive."""
        deadline_s = time.monotonic() + timeout_s
        waiting = [node for node in self.nodes if node.running]
        while waiting:
            waiting = [node for node in waiting if _alive(node) != count]
            if waiting and time.monotonic() > deadline_s:
                raise Unavailable(f"{waiting[0].name} does not see {count} members alive after {timeout_s:g} s")
            if waiting:
                time.sleep(0.2)

    def run(self, node: LocalNode, *arguments: str, timeout_s: float = 600.0) -> Any:
        """Run an `inos` command against `node` with --json; what it printed, decoded: a list where that is several
        lines. Raises Unavailable."""
        done = subprocess.run(
            inos_command(*arguments, "--home", str(node.home), "--json"),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=clean_environment(),
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"inos {arguments[0]} on {node.name} failed: {done.stderr.strip()[-500:]}")
        printed = [json.loads(line) for line in done.stdout.splitlines()]
        return printed[0] if len(printed) == 1 else printed

    def stop(self) -> None:
        """Stop every node, all at once."""
        for node in self.nodes:
            if node.running:
                node.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
        for node in self.nodes:
            node.stop()


def inos_command(*arguments: str) -> list[str]:
    """This INOS, run by this Python."""
    return [sys.executable, "-m", "inos", *arguments]


def clean_environment() -> dict[str, str]:
    """The environment without what would point the nodes elsewhere."""
    return {key: value for key, value in os.environ.items() if key not in ("INOS_HOME", "INOS_PASSPHRASE")}


def _alive(node: LocalNode) -> int:
    with connect_sync(node.home) as mesh:
        alive: int = mesh.status().alive
        return alive


def _init(home: Path) -> None:
    done = subprocess.run(
        inos_command("init", "--no-passphrase", "--home", str(home), "--name", home.name, "--json"),
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"inos init of {home} failed: {done.stderr.strip()[-500:]}")
