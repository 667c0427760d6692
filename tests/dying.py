"""Work in a process of its own that dies, or finds no room, at one of its file operations: the real calls."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inos.core.errors import StorageFull

DIED, REFUSED, DONE, BUG = 70, 71, 72, 73
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.link", "os.truncate", "shutil.rmtree", "os.rmdir"}


def run(work: Callable[[], object], base: Path, how: str, at: int) -> tuple[int, int]:
    """Run `work` in a child that dies, or whose disk is full, from its operation number `at` below `base`; how it ended
    and how many operations there were."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with os.fdopen(reading) as counted:
            return code, int(counted.read() or 0)
    seen = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if not args or not str(args[0]).startswith(str(base)):
            return
        opened = event == "open" and args[2] & os.O_ACCMODE
        if not opened and event not in CHANGES:
            return
        seen += 1
        if seen == at and how == "death":
            os._exit(DIED)
        if how == "full" and seen >= at and (opened or event == "os.mkdir"):
            raise OSError(errno.ENOSPC, "no space left")

    code = BUG
    try:
        sys.addaudithook(hook)
        work()
        code = DONE
    except StorageFull:
        code = REFUSED
    finally:
        os.write(writing, str(seen).encode())
        os._exit(code)
