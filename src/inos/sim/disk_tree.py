"""The folders and names of a simulated disk, and which of them would be left without power.

As with contents, the synced state of a folder is kept as the difference to the current one: for each name changed
since the folder was last synced, what it stood for then. A rename is one change of two names: at a power loss it has
happened or it has not. Otherwise each change survives or not by itself, whatever came before or after it: a folder
that somebody forgot to sync is not saved by the sync of another one, as it would be by a journal.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from inos.sim.disk_file import SimFile


class _Before(NamedTuple):
    """What a name stood for at its folder's last sync, the number of its last change, and where that was a rename the
    path of the other name."""

    file: SimFile | None
    change: int
    other: str


class Tree:
    """Files by absolute path. Folders hold names; only those with files in them cost anything."""

    def __init__(self, root: str) -> None:
        """Nothing but the folder `root`, which needs no sync."""
        self._made = {root}
        self._unsynced_folders: dict[str, None] = {}
        self._names: dict[str, dict[str, SimFile]] = {}
        self._before: dict[str, dict[str, _Before]] = {}
        self._changes = itertools.count()
        self.used_bytes = 0

    # Looking

    def find(self, path: str) -> SimFile | None:
        folder, _, name = path.rpartition("/")
        return self._names.get(folder, {}).get(name)

    def get(self, path: str) -> SimFile:
        """The file at `path`; FileNotFoundError where there is none."""
        file = self.find(path)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return file

    def is_folder(self, path: str) -> bool:
        return path in self._made

    def listed(self, folder: str) -> dict[str, SimFile]:
        """The files in `folder` by name, as it is now."""
        self._check_folder(folder)
        return self._names.get(folder, {})

    def paths(self) -> Iterator[str]:
        """The path of every file, in order."""
        for folder in sorted(self._names):
            for name in sorted(self._names[folder]):
                yield f"{folder}/{name}"

    # Changing

    def make_folders(self, root: str, names: Sequence[str]) -> bool:
        """Make what is missing of `names` in `root`; whether anything was."""
        self._check_folder(root)
        missing = [folder for folder in _joined(root, tuple(names)) if folder not in self._made]
        self._made.update(missing)
        self._unsynced_folders.update(dict.fromkeys(missing))
        return bool(missing)

    def sync_made(self) -> None:
        """The folders made so far are on the disk."""
        self._unsynced_folders.clear()

    def bind(self, path: str, file: SimFile) -> None:
        """`path` stands for `file` from now on."""
        self._check_folder(path.rpartition("/")[0])
        self._set(path, file, next(self._changes))

    def unbind(self, path: str) -> None:
        """`path` stands for nothing any more; it may have before."""
        if self.find(path) is not None:
            self._set(path, None, next(self._changes))

    def rename(self, old: str, new: str) -> None:
        file = self.get(old)
        self._check_folder(new.rpartition("/")[0])
        change = next(self._changes)
        self._set(new, file, change, other=old)
        self._set(old, None, change, other=new)

    def sync_folder(self, folder: str) -> None:
        """The names in `folder` are on the disk, and with them the other side of each rename."""
        self._check_folder(folder)
        for before in self._before.pop(folder, {}).values():
            if before.other:
                self._forget_change(before.other, before.change)

    def _set(self, path: str, file: SimFile | None, change: int, other: str = "") -> None:
        folder, _, name = path.rpartition("/")
        names = self._names.setdefault(folder, {})
        stood_for = names.pop(name, None)
        self.used_bytes += (len(file.data) if file else 0) - (len(stood_for.data) if stood_for else 0)
        if file is not None:
            names[name] = file
        elif not names:
            del self._names[folder]
        changed = self._before.setdefault(folder, {})
        synced = changed[name].file if name in changed else stood_for
        changed[name] = _Before(synced, change, other)
        if synced is file:  # made and removed again: nothing to lose
            self._forget_change(path, change)

    def _forget_change(self, path: str, change: int) -> None:
        folder, _, name = path.rpartition("/")
        changed = self._before.get(folder, {})
        if name in changed and changed[name].change == change:
            del changed[name]
            if not changed:
                del self._before[folder]

    def _check_folder(self, folder: str) -> None:
        if folder not in self._made:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)

    # Losing

    def copy(self) -> Tree:
        """The same names for copies of the same files."""
        return self._rebuilt({file: file.copy() for file in self._files()})

    def after_power_loss(self, chance: random.Random) -> Tree:
        """What is found once power is back, all of it synced. This tree must not be used any more."""
        self._lose_names(chance)
        self._before.clear()
        self._unsynced_folders.clear()
        return self._rebuilt({file: file.after_power_loss(chance) for file in self._files()})

    def _lose_names(self, chance: random.Random) -> None:
        changed = {
            f"{folder}/{name}": before for folder, names in self._before.items() for name, before in names.items()
        }
        lost = {change for change in sorted({before.change for before in changed.values()}) if chance.random() < 0.5}
        moved: list[tuple[str, SimFile]] = []
        for path, before in sorted(changed.items()):
            file = self.find(path)
            if before.change in lost:
                self._set(path, before.file, before.change)
                if before.other and file is not None:
                    moved.append((before.other, file))
        for path, file in moved:  # never synced under its old name either: there, or gone
            if self.find(path) is None and chance.random() < 0.5:
                self._set(path, file, next(self._changes))
        for folder in self._unsynced_folders:
            if chance.random() < 0.5:
                self._made.discard(folder)
                self._names.pop(folder, None)

    def _files(self) -> dict[SimFile, None]:
        """Every file that has a name or had one at the last sync, in the same order in every run."""
        named = (self.get(path) for path in self.paths())
        before = (names[name].file for _, names in sorted(self._before.items()) for name in sorted(names))
        return dict.fromkeys([*named, *(file for file in before if file is not None)])

    def _rebuilt(self, twins: dict[SimFile, SimFile]) -> Tree:
        made = Tree("")
        made._made = set(self._made)
        made._unsynced_folders = dict(self._unsynced_folders)
        made._names = {
            folder: {name: twins[file] for name, file in names.items()} for folder, names in self._names.items()
        }
        made._before = {
            folder: {name: before._replace(file=before.file and twins[before.file]) for name, before in names.items()}
            for folder, names in self._before.items()
        }
        made._changes = itertools.count(next(self._changes))
        made.used_bytes = sum(len(file.data) for names in made._names.values() for file in names.values())
        return made


@cache
def _joined(root: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Cached: each disk of a simulation has the same few hundred folders, and shares their names."""
    return tuple(f"{root}/{name}" for name in names)
