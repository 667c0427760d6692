"""What would be left of a folder had the power gone during a recorded run: made from its steps, into a new folder.

    lost = PowerLoss(base, template)   base was as the template is when the run began
    for step in steps: lost.play(step)
    lost.leave(chance, target)         what one power loss at this moment could leave; may be asked again

Rules
- What was synced stays: a file's bytes with a sync of the file, a name with a sync of its folder.
- Each page that was not synced is there, is not, or is torn (`sim/disk_file.py`, as on simulated disks).
- Changes of names are lost each by itself, or from some moment on in order, as a journal would have it; either is
  drawn. A rename is one change of two names: it happened or it did not. A folder that is lost takes all in it along.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crash.calls import Step
from inos.sim.disk_file import SimFile


@dataclass(eq=False, slots=True)
class _Folder:
    """What its names stand for, what they stood for at its last sync, and the changes since, in order."""

    names: dict[str, _Node] = field(default_factory=dict)
    synced: dict[str, _Node] = field(default_factory=dict)
    pending: list[_Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Change:
    number: int
    name: str
    after: _Node | None


_Node = SimFile | _Folder


class PowerLoss:
    """The folder `base`, at first a synced copy of `template`, and what recorded steps make of it."""

    def __init__(self, base: Path, template: Path) -> None:
        self._base = str(base)
        self._top = _read(template)
        self._folders = list(_all_folders(self._top))
        self._count = 0

    def play(self, step: Step) -> None:
        """Have `step` happen. One that failed, because something was not there, changes nothing here either."""
        try:
            self._play(step)
        except OSError:
            return

    def _play(self, step: Step) -> None:
        match step.kind:
            case "write":
                self._file(step.path).write(step.data, step.offset)
            case "copy":
                name, _, at = step.other.rpartition("@")
                data = bytes(self._file(name).data)[int(at) : int(at) + step.size]
                self._file(step.path).write(data, step.offset)
            case "resize":
                self._file(step.path).resize(step.size)
            case "make" | "cut":
                self._make(step.path, cut=step.kind == "cut")
            case "sync":
                self._sync(step.path)
            case "rename":
                node = self._node(step.other)
                self._bind(step.path, node, self._next())
                self._bind(step.other, None, self._count)
            case "link":
                self._bind(step.path, self._node(step.other), self._next())
            case "folder":
                self._bind(step.path, _Folder(), self._next())
            case "remove" | "remove folder":
                self._node(step.path)
                self._bind(step.path, None, self._next())
            case "mode" | "acknowledged":
                pass
            case _:
                raise NotImplementedError(f"a recorded {step.kind!r} cannot be played")

    def leave(self, chance: random.Random, target: Path) -> None:
        """Make the folder `target`: what is found once power is back."""
        pending = sorted({change.number for folder in self._folders for change in folder.pending})
        if chance.random() < 0.5:
            lost = {number for number in pending if chance.random() < 0.5}
        else:
            lost = set(pending[chance.randint(0, len(pending)) :])
        left: dict[SimFile, bytes] = {}
        _write(self._top, target, lost, left, chance)

    # Names

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _node(self, path: str) -> _Node:
        node: _Node = self._top
        for name in self._parts(path):
            found = node.names.get(name) if isinstance(node, _Folder) else None
            if found is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            node = found
        return node

    def _parts(self, path: str) -> list[str]:
        return [name for name in path.removeprefix(self._base).split("/") if name]

    def _file(self, path: str) -> SimFile:
        node = self._node(path)
        if isinstance(node, _Folder):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return node

    def _parent(self, path: str) -> _Folder:
        node = self._node(path.rpartition("/")[0])
        if not isinstance(node, _Folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return node

    def _bind(self, path: str, node: _Node | None, number: int) -> None:
        folder, name = self._parent(path), path.rpartition("/")[2]
        if node is None:
            folder.names.pop(name, None)
        else:
            folder.names[name] = node
            if isinstance(node, _Folder) and node not in self._folders:
                self._folders.append(node)
        folder.pending.append(_Change(number, name, node))

    def _make(self, path: str, *, cut: bool) -> None:
        try:
            file = self._file(path)
        except FileNotFoundError:
            self._bind(path, SimFile(), self._next())
            return
        if cut:
            file.resize(0)

    def _sync(self, path: str) -> None:
        node = self._node(path)
        if isinstance(node, SimFile):
            node.sync()
            return
        numbers = self._with_earlier({change.number for change in node.pending})
        for folder in self._folders:  # the other side of each rename with it
            for change in folder.pending:
                if change.number in numbers:
                    _apply(folder.synced, change)
            folder.pending = [change for change in folder.pending if change.number not in numbers]

    def _with_earlier(self, numbers: set[int]) -> set[int]:
        """And what happened to the same names before: a name has one history."""
        while True:
            more = set(numbers)
            for folder in self._folders:
                last = {change.name: change.number for change in folder.pending if change.number in numbers}
                more |= {change.number for change in folder.pending if change.number <= last.get(change.name, 0)}
            if more == numbers:
                return numbers
            numbers = more


def _apply(names: dict[str, _Node], change: _Change) -> None:
    if change.after is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.after


def _all_folders(folder: _Folder) -> Iterator[_Folder]:
    yield folder
    for node in folder.names.values():
        if isinstance(node, _Folder):
            yield from _all_folders(node)


def _read(path: Path) -> _Folder:
    folder = _Folder()
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folder.names[entry.name] = _read(Path(entry.path))
            else:
                file = SimFile(Path(entry.path).read_bytes())
                file.sync()
                folder.names[entry.name] = file
    folder.synced = dict(folder.names)
    return folder


def _write(folder: _Folder, target: Path, lost: set[int], left: dict[SimFile, bytes], chance: random.Random) -> None:
    target.mkdir(mode=0o700)
    names = dict(folder.synced)
    for change in folder.pending:
        if change.number not in lost:
            _apply(names, change)
    for name, node in sorted(names.items()):
        if isinstance(node, _Folder):
            _write(node, target / name, lost, left, chance)
            continue
        if node not in left:
            left[node] = bytes(node.after_power_loss(chance).data)
        descriptor = os.open(target / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(left[node])
