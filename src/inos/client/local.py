"""This machine's files, as far as the client touches them: blocking, and therefore in a thread.

Rules: what is written appears under its name only when it is whole; nothing is ever written through a symbolic link
below the folder the user named; nothing is taken away to make room for what is unfinished.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, TypeVarTuple

import anyio.to_thread

from inos.core.errors import BadInput, Conflict, InosError, NotFound, Refused, StorageFull

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Only what a restored file needs: a set-user-id bit must not come back from storage.
PERMISSIONS: Final = 0o777
# What file systems take, but for a few that take less (eCryptfs 143): those say so themselves.
NAME_BYTES: Final = 255
# Of the hash of a name that is cut: enough that no two files of a folder share what is left of theirs.
_HASH_CHARACTERS: Final = 16
BLOCK_BYTES: Final = 1024 * 1024  # one chunk of the node; smaller ones cost a thread hop each


async def in_thread(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run blocking `work` beside the event loop, whichever it is."""
    return await anyio.to_thread.run_sync(work, *args)


async def in_thread_left(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """As `in_thread`, for a wait that may have no end: broken off, it is left to itself."""
    return await anyio.to_thread.run_sync(work, *args, abandon_on_cancel=True)


def file_error(path: str | os.PathLike[str], error: OSError, doing: str = "read") -> InosError:
    """An operating system's error about `path`, as ours."""
    shown = repr(os.fspath(path))[1:-1]
    if isinstance(error, FileNotFoundError):
        if doing == "write":  # what is written need not be there, but its folder must
            return NotFound(f"no such folder: {Path(shown).parent}", hint="make it first, or write elsewhere")
        return NotFound(f"no such file: {shown}")
    if isinstance(error, PermissionError):
        return Refused(f"cannot {doing} {shown}: permission denied", hint="check who owns it and its mode")
    if isinstance(error, IsADirectoryError):
        return BadInput(f"{shown} is a directory", hint="name a file")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"cannot {doing} {shown}: the disk is full", hint="free some space and run it again")
    return BadInput(f"cannot {doing} {shown}: {error.strerror or error}")


def open_source(path: str | os.PathLike[str]) -> BinaryIO:
    """A file to read. Raises an InosError naming it."""
    try:
        return Path(path).open("rb", buffering=0)
    except OSError as error:
        raise file_error(path, error) from None


def read_small(path: str | os.PathLike[str], limit: int) -> bytes | None:
    """A whole file of at most `limit` bytes; None when it is larger (it grew since it was looked at)."""
    data = b""
    with open_source(path) as file:
        try:
            # What the system makes up (/proc) comes a page at a time, whatever is asked for.
            while len(data) <= limit and (more := file.read(limit + 1 - len(data))):
                data += more
        except OSError as error:
            raise file_error(path, error) from None
    return data if len(data) <= limit else None


async def read_blocks(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    """An open file's bytes. A pipe or a terminal is waited for without a thread, so that the wait can be broken off."""
    try:
        descriptor: int | None = file.fileno()
    except OSError:  # not an operating system's file: io.BytesIO and the like
        descriptor = None
    waits = descriptor is not None and not stat.S_ISREG(os.fstat(descriptor).st_mode)
    while True:
        if waits and descriptor is not None:
            try:
                await anyio.wait_readable(descriptor)
            except PermissionError:  # epoll takes no /dev/null, which never lets anyone wait either
                waits = False
            block = os.read(descriptor, BLOCK_BYTES)
        else:
            block = await in_thread(file.read, BLOCK_BYTES)
        if not block:
            return
        yield block


def fitting_name(name: str, ending: str) -> str:
    """`name` and `ending` as the name of one file; of a name too long for that its beginning and its hash."""
    whole = name + ending
    if len(os.fsencode(whole)) <= NAME_BYTES:
        return whole
    from inos.crypto.digest import sha256_digest

    data = os.fsencode(name)
    ending = f"~{sha256_digest(data).hex()[:_HASH_CHARACTERS]}{ending}"
    return data[: NAME_BYTES - len(os.fsencode(ending))].decode(errors="ignore") + ending


def is_stream(out: Path) -> bool:
    """Whether `out` is, or leads to, a pipe or a device like a terminal: written into, never replaced. Raises BadInput
    for what is neither that nor a file, as a socket."""
    try:
        kind = out.stat().st_mode
    except OSError:  # not there; or it cannot be looked at, and then not written either
        return False
    if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind) or stat.S_ISCHR(kind)):
        raise BadInput(f"{out} is not a file", hint="name the file to write")
    return not stat.S_ISREG(kind)


def open_stream(out: Path) -> BinaryIO:
    """A pipe or a device to write into; waits for whoever reads a pipe."""
    try:
        return os.fdopen(os.open(out, os.O_WRONLY | getattr(os, "O_NOCTTY", 0)), "wb", buffering=0)
    except OSError as error:
        raise file_error(out, error, "write") from None


def current_umask() -> int:
    """The process's umask; there is no way to read it but to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def make_folder(root: Path, parts: tuple[str, ...]) -> Path:
    """The folder `parts` below `root`, made as needed. Raises Conflict where a link or a file is in the way."""
    folder = root
    for part in parts:
        folder = folder / part
        try:
            folder.mkdir(exist_ok=True)
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise Conflict(f"{folder} is a link, not a folder; nothing is written through it", hint="move it away")
        except FileExistsError:
            raise Conflict(f"{folder} is in the way: a folder is due there", hint="move it away") from None
        except OSError as error:
            raise file_error(folder, error, "write") from None
    return folder


def make_link(path: Path, target: str) -> None:
    """A symbolic link, in place of whatever link or file had its name; its target is text, never looked at."""
    try:
        # A folder of its own, which nobody else has: a name beside the link could be another file's.
        with tempfile.TemporaryDirectory(prefix=".inos-", dir=path.parent) as folder:
            new = Path(folder, "link")
            new.symlink_to(target)
            new.replace(path)
    except OSError as error:
        raise file_error(path, error, "write") from None
