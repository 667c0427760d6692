"""Small files only their owner may read, written so that a crash leaves the old one or the new one.

A write goes to `<name>.new`, is synced, takes the name by rename, and the folder is synced; whoever writes holds the
data root's lock, so one spare name is enough. Errors of the system come out as what they mean to a user.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from inos.core.errors import BadInput, Conflict, Corrupt, InosError, NotFound, Refused, StorageFull, Unavailable
from inos.store.files import sync_folder

OWNER_ONLY_FILE: Final = 0o600
OWNER_ONLY_FOLDER: Final = 0o700
_OTHERS: Final = 0o077
SPARE_SUFFIX: Final = ".new"

_MEANING: Final[dict[int, tuple[type[InosError], str]]] = {
    errno.ENOENT: (NotFound, "check the path"),
    errno.EEXIST: (Conflict, "something else has that name"),
    errno.EACCES: (Refused, "run as the user who owns it, or correct its permissions"),
    errno.EPERM: (Refused, "run as the user who owns it, or correct its permissions"),
    errno.EROFS: (Refused, "the file system is mounted read-only"),
    errno.ENOSPC: (StorageFull, "free some space and try again; nothing was changed"),
    errno.EDQUOT: (StorageFull, "your disk quota is used up; nothing was changed"),
    errno.EFBIG: (StorageFull, "a limit on file size is set (ulimit -f); nothing was changed"),
    errno.ENOTDIR: (BadInput, "a part of that path is a file, not a folder"),
    errno.EISDIR: (BadInput, "a folder is where a file is due"),
    errno.ENAMETOOLONG: (BadInput, "choose a shorter path"),
    errno.ELOOP: (BadInput, "that path has symbolic links that lead to each other"),
}


@contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError inside into the InosError it means, saying what was being done to which path."""
    try:
        yield
    except OSError as error:
        kind, hint = _MEANING.get(error.errno or 0, (Unavailable, "look at the disk and the system's log"))
        raise kind(f"cannot {doing} {path}: {error.strerror}", hint=hint) from error


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, synced, readable by its owner alone whatever the umask. The old file or the new one is
    there at every moment."""
    spare = path.with_name(path.name + SPARE_SUFFIX)
    with explained("write", path):
        try:
            _write_synced(spare, data)
            spare.replace(path)
        except OSError:
            with suppress(OSError):
                spare.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, OWNER_ONLY_FILE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, OWNER_ONLY_FILE)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def read_private(path: Path, max_bytes: int, *, secret: bool) -> bytes:
    """The content of a small file. Raises Corrupt when it is no file or over `max_bytes`, and Refused for a `secret`
    one that others may read: it may have been copied already, and that is for its owner to judge."""
    with explained("read", path):
        # Without O_NONBLOCK a pipe of that name would hold us forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Corrupt(f"{path} is not a file", hint="something else was put in its place")
            if secret and status.st_mode & _OTHERS:
                mode = stat.S_IMODE(status.st_mode)
                raise Refused(f"{path} can be used by others (mode {mode:04o})", hint=f"run: chmod 600 '{path}'")
            data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise Corrupt(f"{path} is larger than the {max_bytes} bytes it may have", hint="restore it from a copy")
    return data


def open_to_others(folder: Path) -> bool:
    """Whether anybody but its owner may enter or list `folder`."""
    return bool(folder.stat().st_mode & _OTHERS)


def make_private_folder(path: Path) -> list[Path]:
    """Make sure `path` is a folder for its owner alone; the folders that had to be made, outermost first."""
    with explained("create", path):
        missing = [folder for folder in (*reversed(path.parents), path) if not folder.exists()]
        try:
            for folder in missing:
                folder.mkdir(mode=OWNER_ONLY_FOLDER)
                sync_folder(folder.parent)
            path.chmod(OWNER_ONLY_FOLDER)
        except OSError:
            remove_folders(missing)
            raise
    return missing


def remove_folders(folders: list[Path]) -> None:
    """Undo `make_private_folder`, as far as the folders are empty again."""
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()
