"""One process at a time on a data root: flock on its file `lock`, which the kernel lets go of when the holder dies,
however it dies. The pid inside is for people; the lock is what counts."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from inos.core.errors import Locked
from inos.store.private_files import OWNER_ONLY_FILE, explained

_MAX_PID_BYTES: Final = 20


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, made when missing. Raises Locked at once when another process, or this one already,
    holds it."""
    with explained("lock", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, OWNER_ONLY_FILE)
        try:
            _acquire(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
    try:
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _locked(descriptor, path) from None
    # Whoever failed to initialise removes the lock file it made; what we opened may be that one.
    if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise _locked(descriptor, path)
    with suppress(OSError):  # a full disk must not keep anybody from opening, and so from emptying, a data root
        os.fchmod(descriptor, OWNER_ONLY_FILE)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())


def _locked(descriptor: int, path: Path) -> Locked:
    text = os.pread(descriptor, _MAX_PID_BYTES, 0).decode("ascii", "replace").strip()
    holder, stop = (f"process {text}", f"stop it (kill {text})") if text.isdecimal() else ("another process", "stop it")
    return Locked(f"{path.parent} is in use by {holder}", hint=f"{stop}, or use another data root with --home")
