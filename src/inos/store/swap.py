"""Putting a restored state in the place of the present one, so that a crash leaves the one or the other.

    restore/new/    the new state, built and synced here        restore/old/    what was moved away for it
    restore/ready   what is to be moved: from here on the new state counts, whoever comes next finishes it

    ready = "put NAME" and "away NAME", "along FOLDER" and "but NAME", one a line, and a last line with the BLAKE3 of
            all before it, in hex

Every step is a rename that can be seen to have been done, so doing them all again is harmless. What is put is never
put away as well: done again, that would take the new for the old where there was no old. Whoever calls holds the data
root's lock; who writes without it, below the folder that is named, may come at any moment, and nothing of theirs goes
away with the old state. What else has come where the old was put away already stays, under a free name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inos.core.errors import Conflict, Corrupt
from inos.crypto.hashing import blake3_digest
from inos.store.files import free_name, sync_folder
from inos.store.private_files import explained, make_private_folder, read_private, write_private

RESTORE_FOLDER: Final = "restore"
NEW_FOLDER: Final = "new"
_OLD: Final = "old"
_READY: Final = "ready"
_MAX_READY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Along:
    """What of the present state goes along with the new one: the folders in `folder`, a path below the data root, also
    those still to come; but not those of the names `but`, which the new state accounts for where it has them."""

    folder: str
    but: Collection[str] = ()


def new_folder(root: Path) -> Path:
    """Where the new state of the data root `root` is built."""
    return root / RESTORE_FOLDER / NEW_FOLDER


def swap_pending(root: Path) -> bool:
    """Whether a swap was begun here and not finished."""
    with explained("look into", root):
        return (root / RESTORE_FOLDER / _READY).exists()


def begin_swap(root: Path, put: Sequence[str], away: Sequence[str], along: Along | None = None) -> None:
    """Decide for the new state: `put` are names in it, in the order they move; `away` goes from the present one first,
    where it is there. What is in the new state must be synced. Follow with `finish_swap`. Raises Conflict when there is
    too much to write down."""
    folder = root / RESTORE_FOLDER
    with explained("prepare", folder):
        if (folder / _OLD).exists():
            shutil.rmtree(folder / _OLD)
        (folder / _OLD).mkdir(mode=0o700)
        sync_folder(folder)
        sync_folder(root)  # what is put away must not go down with a name that a loss of power takes
        gone = [name for name in away if name not in put and (root / name).exists()]
    lines = [*(f"away {name}" for name in gone), *(f"put {name}" for name in put)]
    if along is not None:  # a name that is no line is not written: such a folder goes along
        lines += [f"along {along.folder}", *(f"but {name}" for name in along.but if name.isprintable())]
    ready = _sealed("".join(f"{line}\n" for line in lines).encode())
    if len(ready) > _MAX_READY_BYTES:
        raise Conflict(f"there are too many folders in {root}", hint="move away those that are not needed any more")
    write_private(folder / _READY, ready)


def finish_swap(root: Path) -> None:
    """Do all that is left to do of it. Raises Corrupt when what was decided does not read."""
    folder = root / RESTORE_FOLDER
    lines = [line.partition(" ")[::2] for line in _decided(folder / _READY)]
    put = {name for what, name in lines if what == "put"}
    along = _along(lines)
    with explained("put the restored state in place in", root):
        for what, name in lines:
            if what == "away":
                if name not in put:  # earlier releases wrote such lines
                    _put_away(root, folder, name)
            elif what == "put" and (folder / NEW_FOLDER / name).exists():
                _put(root, folder, name, along)
        for changed in (folder / NEW_FOLDER, folder / _OLD, root):
            sync_folder(changed)
        (folder / _READY).unlink()
        sync_folder(folder)
        shutil.rmtree(folder)


def _along(lines: Sequence[Sequence[str]]) -> Along | None:
    but = frozenset(name for what, name in lines if what == "but")
    return next((Along(name, but) for what, name in lines if what == "along"), None)


def _put(root: Path, folder: Path, name: str, along: Along | None) -> None:
    _put_away(root, folder, name)
    if along is not None and Path(along.folder).parts[0] == name:
        _bring(along.folder, folder / _OLD, folder / NEW_FOLDER, along.but)
        _bring(along.folder, root, folder / NEW_FOLDER, ())  # come since the old state was put away
    _set_aside(root / name)
    (folder / NEW_FOLDER / name).rename(root / name)


def _put_away(root: Path, folder: Path, name: str) -> None:
    if (root / name).exists() and not (folder / _OLD / name).exists():
        (root / name).rename(folder / _OLD / name)


def _bring(name: str, origin: Path, new: Path, but: Collection[str]) -> None:
    """Move the folders in `origin`/`name` to `new`/`name`, beside what is there; those of the names `but` where nothing
    is. They are there for good before anything else moves. What links lead to stays where it is."""
    source, target = origin / name, new / name
    if not source.is_dir() or source.resolve() != origin.resolve() / name:
        return
    there = sorted(path for path in source.iterdir() if path.is_dir())
    late = [path for path in there if path.name not in but or not os.path.lexists(target / path.name)]
    if late:
        place = free_name(target) if target.is_symlink() else target
        make_private_folder(place)
        for path in late:
            path.rename(free_name(place / path.name))
        sync_folder(place)
    for changed in (target, target.parent):  # also what was moved by one that died before this
        if changed.is_dir():
            sync_folder(changed)
    with suppress(OSError):  # there is more in it
        source.rmdir()


def _set_aside(path: Path) -> None:
    """Make room for `path`."""
    with suppress(OSError):  # nothing there, or something in it
        path.rmdir()
    if os.path.lexists(path):
        path.rename(free_name(path))
        sync_folder(path.parent)


def _decided(path: Path) -> list[str]:
    data = read_private(path, _MAX_READY_BYTES, secret=False)
    text = b"".join(data.splitlines(keepends=True)[:-1])
    if data != _sealed(text):
        raise Corrupt(f"{path} is damaged", hint=f"move {path.parent} away and restore again")
    return text.decode().splitlines()


def _sealed(text: bytes) -> bytes:
    return text + blake3_digest(text).hex().encode() + b"\n"
