"""A mesh of one owner's real nodes that are killed and started again while it works; knows who was down when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inos.cli.local_mesh import LocalMesh, LocalNode, clean_environment, inos_command
from inos.client.connect import SyncMesh, connect_sync
from inos.core.errors import InosError

READY_S = 90.0


@dataclass(slots=True)
class Absence:
    """A span in which a node could not be counted on: from just before its death to when the others saw it again."""

    node: str
    from_s: float
    to_s: float | None = None


class SoakMesh(LocalMesh):
    """Nodes of one owner, so that each of them knows every name."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        super().__init__(folder, options)
        self.phrase = ""
        self._absences: list[Absence] = []
        self._lock = threading.Lock()

    def __enter__(self) -> SoakMesh:
        return self

    def start(self, count: int, options: Sequence[str] = ()) -> None:
        """Add `count` nodes of the same owner and wait until all are members."""
        first = len(self.nodes) + 1
        for number in range(first, first + count):
            self._make_home(self.folder / f"node-{number}")
        super().start(count, options)

    def _make_home(self, home: Path) -> None:
        phrase = ("--phrase", "-") if self.phrase else ()
        done = inos(
            "init", "--no-passphrase", "--home", str(home), "--name", home.name, "--json", *phrase,
            stdin=self.phrase.encode(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.phrase = self.phrase or json.loads(done.stdout)["phrase"]

    def kill(self, *victims: LocalNode) -> None:
        """kill -9, all of them in the same moment."""
        with self._lock:
            self._absences += [Absence(node.name, time.monotonic()) for node in victims]
        for node in victims:
            assert node.process is not None
            node.process.send_signal(signal.SIGKILL)
        for node in victims:
            node.kill()

    def revive(self, node: LocalNode) -> None:
        """Start it again, and wait until it and all others that run see each other. Raises what `wait_ready` raises."""
        node.start()
        node.wait_ready(READY_S)
        deadline_s = time.monotonic() + READY_S
        while not self._seen(node):
            assert time.monotonic() < deadline_s, f"{node.name} is up and not alive to the others after {READY_S} s"
            time.sleep(0.2)
        with self._lock:
            for absence in self._absences:
                if absence.node == node.name and absence.to_s is None:
                    absence.to_s = time.monotonic()

    def _seen(self, node: LocalNode) -> bool:
        """Whether `node` and every node that is up see each other alive."""
        try:
            with connect_sync(node.home) as mesh:
                mine = {peer.node_name for peer in mesh.peers() if peer.state == "alive"}
            for other in self.up():
                with connect_sync(other.home) as mesh:
                    theirs = {peer.node_name for peer in mesh.peers() if peer.state == "alive"}
                if other.name not in mine or node.name not in theirs:
                    return False
        except InosError:  # one of them was killed meanwhile: look again without it
            return False
        return True

    def up(self) -> list[LocalNode]:
        """Nodes that can be counted on now."""
        down = self.down()
        return [node for node in self.nodes if node.name not in down]

    def down(self, since_s: float | None = None) -> set[str]:
        """Nodes that were away at any moment since then (None: now)."""
        with self._lock:
            return {
                absence.node
                for absence in self._absences
                if absence.to_s is None or (since_s is not None and absence.to_s >= since_s)
            }


@contextmanager
def opened(node: LocalNode) -> Iterator[SyncMesh]:
    """The client of one node."""
    with connect_sync(node.home) as mesh:
        yield mesh


def inos(*arguments: str, stdin: bytes = b"", timeout_s: float = 120.0) -> subprocess.CompletedProcess[bytes]:
    """Run an `inos` command to its end."""
    return subprocess.run(
        inos_command(*arguments),
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        env=clean_environment(),
        check=False,
    )


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory in MB (10^6 bytes) as the kernel counts it; `VmHWM` for the highest so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(f"no {field} of process {pid}")


def reset_peak(pid: int) -> None:
    """Start VmHWM anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def logs(mesh: LocalMesh) -> str:
    """What the nodes complained about, for the message of a failed test."""
    parts = []
    for node in mesh.nodes:
        path = node.home / "node.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        if text.strip():
            parts.append(f"--- {node.name}\n{text[-3000:]}")
    return "\n".join(parts)


def no_traceback(mesh: LocalMesh) -> None:
    """No node has met an error that nobody foresaw."""
    for node in mesh.nodes:
        text = (node.home / "node.log").read_text(errors="replace")
        assert "Traceback" not in text, f"{node.name}:\n{text[-6000:]}"


def cpu_s(pid: int) -> float:
    """Processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
