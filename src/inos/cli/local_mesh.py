"""A mesh of real node processes on this machine, for the demonstration, the cluster command, benchmarks and tests.

Each node is an ordinary `inos up` with a data root of its own below one folder; nothing is simulated. A node writes its
events and its errors to files beside its data, so that it needs nobody to read them. It ends with the process that
started it, however that ends (its standard input is a pipe from there), unless it is to outlive it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from inos.client.connect import connect_sync
from inos.core.env import RealEnv
from inos.core.errors import InosError, Unavailable

# Importing the network stack takes two seconds of processor time a node, and a small machine starts them two at a time.
READY_S: Final = 60.0
STOP_S: Final = 10.0
# Often enough that nobody notices the wait; a node needs seconds to start.
POLL_S: Final = 0.05
# More at once only fight over the processor cores of a small machine.
INITS_AT_ONCE: Final = 4
EVENTS: Final = "node.events"
LOG: Final = "node.log"
PID: Final = "node.pid"


@dataclass(slots=True)
class LocalNode:
    """One node process. `ready` is its first event; one that `outlives` stays when this process ends."""

    home: Path
    options: tuple[str, ...] = ()
    outlives: bool = False
    process: subprocess.Popen[bytes] | None = None
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
        self.ready = {}
        self._let_go()
        with (self.home / EVENTS).open("wb") as events, (self.home / LOG).open("ab") as errors:
            self.process = subprocess.Popen(
                up_command(self.home, *self.options, *([] if self.outlives else ["--until-stdin-ends"])),
                stdin=subprocess.DEVNULL if self.outlives else subprocess.PIPE,
                stdout=events,
                stderr=errors,
                env=clean_environment(),
                start_new_session=True,  # a Ctrl-C meant for the parent must not reach the nodes before it does
            )
        (self.home / PID).write_text(str(self.process.pid))

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Raises Unavailable with the end of the node's log when it does not come up; it is ended then."""
        deadline_s = _now_s() + timeout_s
        while True:
            running = self.running  # asked before the file is read: what a node said with its last breath counts
            line, whole, _ = (self.home / EVENTS).read_bytes().partition(b"\n")
            if whole:
                self.ready = json.loads(line)
                return
            if not running or _now_s() > deadline_s:
                self.kill()
                raise Unavailable(f"node {self.name} did not start: {self._last_words()}")
            pause(POLL_S)

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
        self._let_go()

    def _let_go(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def _last_words(self) -> str:
        lines = (self.home / LOG).read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])[-500:] or "it said nothing"


class LocalMesh:
    """Nodes `node-1` … `node-n` below `folder`, joined into one mesh. A context manager: leaving it stops them all, and
    so does the end of this process, unless the mesh `outlives` it.

    Data roots that exist already are used again, so a mesh that was stopped can be started anew.
    """

    def __init__(self, folder: Path, options: Sequence[str] = (), *, outlives: bool = False) -> None:
        self.folder = folder
        self.options = tuple(options)
        self.outlives = outlives
        self.nodes: list[LocalNode] = []

    def __enter__(self) -> LocalMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, count: int, options: Sequence[str] = ()) -> None:
        """Add `count` nodes and wait until all are members of one mesh. `options` are theirs alone."""
        homes = [self.folder / f"node-{len(self.nodes) + number + 1}" for number in range(count)]
        make_homes([home for home in homes if not home.exists()])
        fresh = [LocalNode(home, (*self.options, *options), self.outlives) for home in homes]
        joining = list(fresh)
        if not self.nodes:
            first = joining.pop(0)
            self.nodes.append(first)
            first.start()
            first.wait_ready()
        self.nodes += joining
        if joining:
            self._join(joining)
        self.wait_alive(len([node for node in self.nodes if node.running]))

    def _join(self, joining: Sequence[LocalNode]) -> None:
        ticket = self.run(next(node for node in self.nodes if node.running), "invite")["ticket"]
        for node in joining:
            options, node.options = node.options, (*node.options, "--join", ticket)
            node.start()
            node.options = options  # started again, it is a member and knows the others
        for node in joining:
            node.wait_ready()

    def wait_alive(self, count: int, timeout_s: float = READY_S) -> None:
        """Wait until every running node sees `count` members alive."""
        deadline_s = _now_s() + timeout_s
        waiting = [node for node in self.nodes if node.running]
        while waiting:
            waiting = [node for node in waiting if _alive(node) != count]
            if waiting and _now_s() > deadline_s:
                raise Unavailable(f"{waiting[0].name} does not see {count} members alive after {timeout_s:g} s")
            if waiting:
                pause(0.2)

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


def up_command(home: Path, *options: str) -> list[str]:
    """The command of a local node; its beginning, up to the data root, tells it from every other process."""
    return inos_command("up", "--home", str(home), "--name", home.name, "--json", *options)


def clean_environment() -> dict[str, str]:
    """The environment without what would point the nodes elsewhere."""
    return {key: value for key, value in os.environ.items() if key not in ("INOS_HOME", "INOS_PASSPHRASE")}


def make_homes(homes: Sequence[Path]) -> None:
    """A data root without passphrase at each of `homes`, each an owner of its own. Raises Unavailable."""
    for start in range(0, len(homes), INITS_AT_ONCE):
        started = [(home, _start_init(home)) for home in homes[start : start + INITS_AT_ONCE]]
        said = [process.communicate()[1].strip() for _, process in started]
        for (home, process), error in zip(started, said, strict=True):
            if process.returncode:
                raise Unavailable(f"inos init of {home} failed: {error[-500:]}")


def _start_init(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        inos_command("init", "--no-passphrase", "--home", str(home), "--name", home.name, "--json"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the phrase; these nodes are for trying things
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends a process without another word otherwise, and would leave the nodes it started behind."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def pause(seconds: float) -> None:
    """Wait in a program without an event loop."""
    threading.Event().wait(seconds)


def _now_s() -> float:
    return RealEnv().monotonic_s()


def _alive(node: LocalNode) -> int:
    try:
        with connect_sync(node.home) as mesh:
            alive: int = mesh.status().alive
            return alive
    except InosError:
        if node.running:
            raise
        return -1
