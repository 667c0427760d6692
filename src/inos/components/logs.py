"""Reading what a component said: the log that is being written and the one before it (`guard.py` writes them)."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from inos.core.components import MAX_LOG_PART, LogPart
from inos.core.errors import BadInput
from inos.store.private_files import explained


def read(path: Path, after: str, limit: int) -> LogPart:
    """At most `limit` bytes behind the place `after`, a `next` of before, else the last ones. A place that is there no
    more stands for the oldest that is. Raises BadInput."""
    limit = min(limit, MAX_LOG_PART)
    place = _place(after)
    with explained("read", path), ExitStack() as stack:
        files = _open_all(path, stack)
        sizes = [os.fstat(file.fileno()).st_size for file in files]
        names = [os.fstat(file.fileno()).st_ino for file in files]
        if place is None:
            start = max(0, sum(sizes) - limit)
        elif place[0] in names:
            at = names.index(place[0])
            start = sum(sizes[:at]) + min(place[1], sizes[at])
        else:
            start = 0
        data = _bytes_from(files, sizes, start, limit)
        end = start + len(data)
        return LogPart(data.decode("utf-8", "replace"), _next(names, sizes, end), end < sum(sizes))


def _place(after: str) -> tuple[int, int] | None:
    if not after:
        return None
    inode, _, offset = after.partition("-")
    if not (inode.isdecimal() and offset.isdecimal() and len(after) <= 40 and after.isascii()):
        raise BadInput("the place in the log is none", hint="give the 'next' of the part before, or none")
    return int(inode), int(offset)


def _open_all(path: Path, stack: ExitStack) -> list[BinaryIO]:
    files: list[BinaryIO] = []
    for each in (path.with_name(f"{path.name}.1"), path):
        with suppress(FileNotFoundError):
            files.append(stack.enter_context(each.open("rb")))
    return files


def _bytes_from(files: list[BinaryIO], sizes: list[int], start: int, limit: int) -> bytes:
    parts = b""
    for file, size in zip(files, sizes, strict=True):
        if start < size:
            file.seek(start)
            parts += file.read(min(size - start, limit - len(parts)))
        start = max(0, start - size)
    return parts


def _next(names: list[int], sizes: list[int], position: int) -> str:
    if not names:
        return "0-0"
    for name, size in zip(names[:-1], sizes, strict=False):
        if position < size:
            return f"{name}-{position}"
        position -= size
    return f"{names[-1]}-{position}"
