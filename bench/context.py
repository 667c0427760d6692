"""What every benchmark is given: a folder to work in, how thorough to be, and nodes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psutil

from inos.cli.local_mesh import LocalMesh, LocalNode

MESH_NODES: Final = 7
# Shorter than a user's default of 30 s; the repair benchmark says so.
REPAIR_AFTER_S: Final = 5


class Context:
    """One run. The mesh of seven nodes is started when it is first asked for and shared by the parts after it."""

    def __init__(self, folder: Path, *, quick: bool, huge_mib: int, stack: ExitStack) -> None:
        self.folder = folder
        self.quick = quick
        self.huge_mib = huge_mib
        self._stack = stack
        self._mesh: LocalMesh | None = None
        self._aside = 0

    def fresh(self, name: str) -> Path:
        """An empty folder of that name."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def set_aside(self, path: Path) -> None:
        """Instead of deleting what has many files, until `clear_aside`. For each file that is made ext4 passes over
        those deleted in the last minutes, so that a step would pay for what came before it: after 1,000 deleted files
        a new one took 0.6 ms of processor on ours."""
        aside = self.folder / "aside"
        aside.mkdir(exist_ok=True)
        self._aside += 1
        path.rename(aside / str(self._aside))

    def clear_aside(self) -> None:
        """Delete what was set aside."""
        shutil.rmtree(self.folder / "aside", ignore_errors=True)

    @property
    def mesh_folder(self) -> Path:
        return self.folder / "mesh"

    def mesh(self) -> LocalMesh:
        """Seven nodes in one mesh."""
        if self._mesh is None:
            say(f"starting {MESH_NODES} nodes")
            options = ("--repair-after", f"{REPAIR_AFTER_S}s")
            self._mesh = self._stack.enter_context(LocalMesh(self.fresh("mesh"), options))
            self._mesh.start(MESH_NODES)
        return self._mesh

    def drop_mesh(self) -> None:
        """End the shared mesh; the next part that needs one gets a new one."""
        if self._mesh is not None:
            self._mesh.stop()
            self._mesh = None

    @contextmanager
    def lone_node(self, name: str) -> Iterator[LocalNode]:
        """One node in a mesh of its own, ended and set aside at the end."""
        folder = self.fresh(name)
        with LocalMesh(folder) as mesh:
            mesh.start(1)
            yield mesh.nodes[0]
        self.set_aside(folder)


def processes(nodes: list[LocalNode]) -> list[psutil.Process]:
    """The running nodes' processes."""
    return [psutil.Process(node.pid) for node in nodes if node.running]


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"  {text}", file=sys.stderr, flush=True)
