"""`inos demo`: a mesh of real processes on this machine, a real file in, nodes killed, the file back.

Rules: what it says it measured itself; whatever happens, Ctrl-C included, no process and no file of it stays. After
kill -9 the files do.
"""

from __future__ import annotations

import filecmp
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from inos.cli.local_mesh import LocalMesh, LocalNode, pause, terminated_like_interrupted
from inos.cli.meter import Meter
from inos.cli.output import count_text, note, say, say_json, size_text
from inos.cli.real_file import write_library_tar
from inos.client.connect import SyncMesh, connect_sync
from inos.core.env import Env, RealEnv
from inos.core.errors import BadInput, Corrupt, Unavailable
from inos.core.reports import StatReport

# A node is failed after five seconds of silence; a demonstration does not wait long for it to come back.
REPAIR_AFTER: Final = "2s"
# Repair takes ten seconds here; a mesh of sixty nodes on two cores needs longer, one that gets nowhere should say so.
REPAIR_S: Final = 180.0
POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What was measured. Rates are in 10^6 bytes a second; `repaired_s` counts from the kill."""

    put_mb_s: float
    nodes_lost: int
    repaired_s: float
    get_mb_s: float
    identical: bool
    file: str
    size: int


def run_demo(nodes: int, kill: int, file: Path | None, json: bool) -> None:
    """Run it and print the report. Raises BadInput, Unavailable, and Corrupt when the file came back changed."""
    _check(nodes, kill, file)
    with terminated_like_interrupted(), tempfile.TemporaryDirectory(prefix="inos-demo-") as folder:
        report = _Demo(Path(folder), nodes, kill, RealEnv()).run(file)
    if json:
        say_json(asdict(report))
    else:
        say(_report_text(report))
    if not report.identical:
        raise Corrupt("the file that came back is another one", hint="please report this")


def _check(nodes: int, kill: int, file: Path | None) -> None:
    if nodes < 1:
        raise BadInput(f"cannot start {nodes} nodes", hint="--nodes 7")
    if not 0 <= kill < nodes:
        raise BadInput(
            f"cannot kill {kill} of {count_text(nodes, 'node')}", hint="leave at least one: --nodes 7 --kill 2"
        )
    if file is None:
        return
    try:
        with file.open("rb"):
            return
    except IsADirectoryError:
        raise BadInput(f"{file} is a directory", hint="give a file to --file") from None
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}", hint="give a readable file to --file") from None


def _report_text(report: DemoReport) -> str:
    return "\n".join(
        [
            f"put MB/s: {report.put_mb_s:.0f}",
            f"nodes lost: {report.nodes_lost}",
            f"repaired in s: {report.repaired_s:.1f}",
            f"get MB/s: {report.get_mb_s:.0f}",
            f"identical: {'yes' if report.identical else 'no'}",
        ]
    )


class _Demo:
    """One run, below `folder`."""

    def __init__(self, folder: Path, nodes: int, kill: int, env: Env) -> None:
        self._folder = folder
        self._nodes = nodes
        self._kill = kill
        self._env = env

    def run(self, file: Path | None) -> DemoReport:
        source = file or self._real_file()
        size = source.stat().st_size
        with LocalMesh(self._folder, ["--repair-after", REPAIR_AFTER]) as mesh:
            note(f"starting {count_text(self._nodes, 'node')} on this machine, each a process with its own data")
            mesh.start(self._nodes)
            writer, reader, victims = self._cast(mesh.nodes)
            note(f"storing {source.name} ({size_text(size)}) through {writer.name}")
            ref, put_s = self._put(writer, source)
            with connect_sync(reader.home) as through:
                self._wait_promised(through, ref, self._kill)
                repaired_s = self._lose(victims, through, ref) if victims else 0.0
                out = self._folder / "back"
                get_s = self._get(reader, through, ref, out)
            note("comparing every byte")
            identical = filecmp.cmp(source, out, shallow=False)
        mb = size / 1e6
        return DemoReport(
            round(mb / put_s, 1), len(victims), round(repaired_s, 1), round(mb / get_s, 1), identical, str(source), size
        )

    def _real_file(self) -> Path:
        path = self._folder / "python-library.tar"
        note("packing Python's standard library into a file of this machine's own")
        write_library_tar(path)
        return path

    def _cast(self, nodes: Sequence[LocalNode]) -> tuple[LocalNode, LocalNode, list[LocalNode]]:
        """Who stores, who gets it back, and who dies: the one that stored first of all."""
        shuffled = list(nodes)
        self._env.random.shuffle(shuffled)
        return shuffled[0], shuffled[-1], shuffled[: self._kill]

    def _put(self, writer: LocalNode, source: Path) -> tuple[str, float]:
        with connect_sync(writer.home) as mesh, Meter(source.name) as meter:
            started_s = self._env.monotonic_s()
            ref = str(mesh.put(source, progress=meter))
            return ref, self._env.monotonic_s() - started_s

    def _wait_promised(self, mesh: SyncMesh, ref: str, kill: int) -> None:
        """Before anybody dies: until the object is kept as well as it is meant to be; says how well that is."""
        deadline_s = self._env.monotonic_s() + REPAIR_S
        while (stat := _stat(mesh, ref)) is None or (stat.under_replicated and stat.survives < kill):
            self._wait(deadline_s, "the object did not reach its redundancy")
        losses = count_text(stat.survives, "node")
        note(f"stored as {stat.scheme} on {count_text(len(stat.members), 'node')}; survives the loss of {losses}")
        if stat.survives < kill:
            note(f"warning: {kill} are about to be killed, more than it survives; expect to lose it")

    def _lose(self, victims: Sequence[LocalNode], mesh: SyncMesh, ref: str) -> float:
        """Kill the victims; seconds until the others have restored what was lost with them."""
        note(
            f"killing {', '.join(node.name for node in victims)} (kill -9); {victims[0].name} is where the file went in"
        )
        started_s = self._env.monotonic_s()
        for node in victims:
            node.kill()
        deadline_s = started_s + REPAIR_S
        left = self._nodes - len(victims)
        while mesh.status().alive > left:
            self._wait(deadline_s, "the others did not notice")
        note("the others noticed; they restore what was lost")
        while (stat := _stat(mesh, ref)) is None or stat.survives < min(stat.wanted_survives, left - 1):
            self._wait(deadline_s, "redundancy was not restored")
        repaired_s = self._env.monotonic_s() - started_s
        note(f"restored, on the nodes there are: survives the loss of {count_text(stat.survives, 'node')}")
        return repaired_s

    def _get(self, reader: LocalNode, mesh: SyncMesh, ref: str, out: Path) -> float:
        note(f"getting it back through {reader.name}")
        with Meter(reader.name) as meter:
            started_s = self._env.monotonic_s()
            mesh.get(ref, out, progress=meter)
            return self._env.monotonic_s() - started_s

    def _wait(self, deadline_s: float, what: str) -> None:
        if self._env.monotonic_s() > deadline_s:
            raise Unavailable(f"{what} in {REPAIR_S:.0f} s", hint="kill fewer nodes than the object survives")
        pause(POLL_S)


def _stat(mesh: SyncMesh, ref: str) -> StatReport | None:
    """None while nobody answers: members that just died are still asked."""
    try:
        stat: StatReport = mesh.stat(ref)
    except Unavailable:
        return None
    return stat
