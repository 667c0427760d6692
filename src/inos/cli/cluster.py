"""`inos cluster`: a mesh on this machine that stays until it is stopped.

A process is ended only when it is one whose id was written down beside its data and that still runs our command on that
data: an id alone may belong to anybody by now. It is signalled through a handle taken before that was checked.
"""

from __future__ import annotations

import json as json_format
import os
import select
import shlex
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from inos.cli.local_mesh import EVENTS, PID, STOP_S, LocalMesh, terminated_like_interrupted, up_command
from inos.cli.output import count_text, note, say, say_json
from inos.core.errors import BadInput, Conflict, InosError

# Peer id and addresses of one node; a longer line was not written by one.
_MAX_EVENT_BYTES: Final = 1 << 16
_MAX_PID_CHARACTERS: Final = 20


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """One running node of a cluster, as `--json` prints it."""

    name: str
    peer: str
    api: str
    listen: tuple[str, ...]
    home: str
    pid: int


def run_cluster(nodes: int, folder: Path, json: bool) -> None:
    """Start `nodes` nodes below `folder` and print how to reach them; when they run already, that only. Raises Conflict
    when another number runs there."""
    folder = folder.absolute()
    with _Processes(folder) as running:
        homes = list(running.homes)
    if homes and len(homes) != nodes:
        raise Conflict(
            f"a cluster of {count_text(len(homes), 'node')} runs below {folder}", hint=f"stop it first: {_stop(folder)}"
        )
    if homes:
        note("these nodes are running already")
    else:
        homes = _start(nodes, folder)
    _show([_describe(home) for home in homes], folder, json)


def stop_cluster(folder: Path, json: bool) -> None:
    """Stop what runs below `folder`; their data stays. Raises BadInput when there never was a cluster."""
    folder = folder.absolute()
    if not _homes(folder):
        raise BadInput(f"there is no cluster below {folder}", hint="start one: inos cluster 5")
    with _Processes(folder) as running:
        stopped = len(running.homes)
        running.end()
    if json:
        say_json({"stopped": stopped, "folder": str(folder)})
    else:
        note(f"stopped {count_text(stopped, 'node')}; their data stays in {folder}")


def _start(nodes: int, folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make {folder}: {error.strerror}", hint="choose another --folder") from None
    note(f"starting {count_text(nodes, 'node')} below {folder}")
    mesh = LocalMesh(folder, outlives=True)
    with terminated_like_interrupted(), ExitStack() as unless_all_run:
        unless_all_run.callback(mesh.stop)
        mesh.start(nodes)
        unless_all_run.pop_all()
    return [node.home for node in mesh.nodes]


def _show(nodes: Sequence[ClusterNode], folder: Path, json: bool) -> None:
    for node in nodes:
        if json:
            say_json(asdict(node))
            continue
        facts = [
            ("peer", node.peer),
            ("api", node.api),
            *(("listen", address) for address in node.listen),
            ("home", node.home),
            ("try", f"inos status --home {shlex.quote(node.home)}"),
        ]
        say("\n".join([node.name, *(f"  {label:<8}{value}" for label, value in facts)]))
    note(f"{count_text(len(nodes), 'node')} running; stop with: {_stop(folder)}")


def _stop(folder: Path) -> str:
    here = folder == Path(".cluster").absolute()
    return "inos cluster --stop" + ("" if here else f" --folder {shlex.quote(str(folder))}")


def _homes(folder: Path) -> list[Path]:
    homes = [home for home in folder.glob("node-*") if home.name.removeprefix("node-").isdecimal()]
    return sorted(homes, key=lambda home: int(home.name.removeprefix("node-")))


def _describe(home: Path) -> ClusterNode:
    try:
        with (home / EVENTS).open("rb") as file:
            ready = json_format.loads(file.readline(_MAX_EVENT_BYTES))
        return ClusterNode(home.name, ready["peer_id"], ready["api"], tuple(ready["listen"]), str(home), _pid(home))
    except (OSError, ValueError, KeyError, TypeError):
        raise InosError(f"{home / EVENTS} does not say how to reach the node", hint=_stop(home.parent)) from None


def _pid(home: Path) -> int:
    """The process id that was written down; 0, which nobody has, when there is none."""
    try:
        with (home / PID).open() as file:
            return int(file.read(_MAX_PID_CHARACTERS))
    except (OSError, ValueError):
        return 0


class _Processes:
    """Handles on the processes of the nodes below `folder` that run. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.homes: list[Path] = []
        self._handles: list[int] = []
        self._folder = folder

    def __enter__(self) -> _Processes:
        for home in _homes(self._folder):
            if (handle := _handle(home)) is not None:
                self.homes.append(home)
                self._handles.append(handle)
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            os.close(handle)

    def end(self) -> None:
        """Ask all to stop, and insist after a while."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            going = [handle for handle in self._handles if not _ended(handle, 0)]
            for handle in going:
                signal.pidfd_send_signal(handle, number)
            for handle in going:
                _ended(handle, STOP_S)
        for home in self.homes:
            (home / PID).unlink(missing_ok=True)


def _handle(home: Path) -> int | None:
    pid = _pid(home)
    if pid <= 0:
        return None
    try:
        handle = os.pidfd_open(pid)
    except (OSError, OverflowError):  # nobody has that id; nobody could have it
        return None
    if _runs_our_command(pid, home):
        return handle
    os.close(handle)
    return None


def _runs_our_command(pid: int, home: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError:
        return False
    ours = up_command(home)
    return words[1 : len(ours)] == ours[1:]  # the first is Python, which may have moved


def _ended(handle: int, timeout_s: float) -> bool:
    return bool(select.select([handle], [], [], timeout_s)[0])
