"""Putting a restored state in the place of the present one, so that a crash leaves the one or the other.

    restore/new/    the new state, built and synced here        restore/old/    what was moved away for it
    restore/ready   what is to be moved: from here on the new state counts, whoever comes next finishes it

    ready = "put NAME" and "away NAME", one a line, and a last line with the BLAKE3 of all before it, in hex

Every step is a rename that can be seen to have been done, so doing them all again is harmless. What is put is never
put away as well: done again, that would take the new for the old where there was no old. Whoever calls holds the data
root's lock.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inos.core.errors import Corrupt
from inos.crypto.hashing import blake3_digest
from inos.store.files import sync_folder
from inos.store.private_files import explained, read_private, write_private

RESTORE_FOLDER: Final = "restore"
NEW_FOLDER: Final = "new"
_OLD: Final = "old"
_READY: Final = "ready"
_MAX_READY_BYTES: Final = 4096


def new_folder(root: Path) -> Path:
    """Where the new state of the data root `root` is built."""
    return root / RESTORE_FOLDER / NEW_FOLDER


def swap_pending(root: Path) -> bool:
    """Whether a swap was begun here and not finished."""
    with explained("look into", root):
        return (root / RESTORE_FOLDER / _READY).exists()


def begin_swap(root: Path, put: Sequence[str], away: Sequence[str]) -> None:
    """Decide for the new state: `put` are names in it, in the order they move; `away` goes from the present one first,
    where it is there. What is in the new state must be synced. Follow with `finish_swap`."""
    folder = root / RESTORE_FOLDER
    with explained("prepare", folder):
        if (folder / _OLD).exists():
            shutil.rmtree(folder / _OLD)
        (folder / _OLD).mkdir(mode=0o700)
        sync_folder(folder)
        sync_folder(root)  # what is put away must not go down with a name that a loss of power takes
        gone = [name for name in away if name not in put and (root / name).exists()]
    text = "".join([*(f"away {name}\n" for name in gone), *(f"put {name}\n" for name in put)])
    write_private(folder / _READY, _sealed(text.encode()))


def finish_swap(root: Path) -> None:
    """Do all that is left to do of it. Raises Corrupt when what was decided does not read."""
    folder = root / RESTORE_FOLDER
    lines = [line.partition(" ")[::2] for line in _decided(folder / _READY)]
    put = {name for what, name in lines if what == "put"}
    with explained("put the restored state in place in", root):
        for what, name in lines:
            if what == "away":
                if name not in put:  # earlier releases wrote such lines
                    _put_away(root, folder, name)
            elif (folder / NEW_FOLDER / name).exists():
                _put_away(root, folder, name)
                (folder / NEW_FOLDER / name).rename(root / name)
        for changed in (folder / NEW_FOLDER, folder / _OLD, root):
            sync_folder(changed)
        (folder / _READY).unlink()
        sync_folder(folder)
        shutil.rmtree(folder)


def _put_away(root: Path, folder: Path, name: str) -> None:
    if (root / name).exists() and not (folder / _OLD / name).exists():
        (root / name).rename(folder / _OLD / name)


def _decided(path: Path) -> list[str]:
    data = read_private(path, _MAX_READY_BYTES, secret=False)
    text = b"".join(data.splitlines(keepends=True)[:-1])
    if data != _sealed(text):
        raise Corrupt(f"{path} is damaged", hint=f"move {path.parent} away and restore again")
    return text.decode().splitlines()


def _sealed(text: bytes) -> bytes:
    return text + blake3_digest(text).hex().encode() + b"\n"
