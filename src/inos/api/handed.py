"""Files that a program on this machine hands to the node, so that their bytes need not pass through HTTP.

    POST /v1/objects:store?size=&name=&mode=&modified_ms=&require=      the file's next `size` bytes become an object
    POST /v1/objects:write?target=&start=                               an object, from `start` on, goes into the file

Only over the UNIX socket in the data root, where an open file can go along with a request (SCM_RIGHTS). The node never
opens anything by name: it can read and write exactly what the program had opened, in the way it had opened it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Final

from starlette.types import Receive, Scope, Send

from inos.api.content import integer, put_options, query_of, send_json
from inos.api.local_socket import handed_in
from inos.api.service import Reading, Storing
from inos.api.streaming import while_there
from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, InosError, StorageFull
from inos.core.reports import to_dict
from inos.core.writeback import leave_cache, start_writeback

# A batch of a put (vault/sealing.py): each costs a hop to a thread.
BLOCK_BYTES: Final = 8 << 20
# What is written at a time: each costs a hop to a thread as well.
_WRITE_BYTES: Final = 4 << 20
# Of a file being written, what the disk is told to begin with: whoever syncs it afterwards waits that much less.
_WRITEBACK_BYTES: Final = 8 << 20
# And what stays in the page cache of it, as of the chunk files that a node writes (store/chunk_files.py): the pages of
# what is on the disk are used again, so that a large file neither takes memory from others nor has the host of a
# virtual machine provide any.
_CACHED_BYTES: Final = 64 << 20


class StoreFile:
    """POST /v1/objects:store"""

    def __init__(self, service: Storing, env: Env) -> None:
        self._service = service
        self._env = env

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with _taken(scope, os.O_RDONLY) as descriptor:
            size = _natural(query_of(scope), "size")
            options = replace(put_options(scope), size=size)
            async with aclosing(_blocks(descriptor, size, self._env)) as blocks:
                report = await while_there(receive, lambda: self._service.put(blocks, options))
        await send_json(send, to_dict(report))


class WriteFile:
    """POST /v1/objects:write"""

    def __init__(self, service: Reading, env: Env) -> None:
        self._service = service
        self._env = env

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = query_of(scope)
        target, start = query.get("target", ""), _natural({"start": "0", **query}, "start")
        if not target:
            raise BadInput("target is missing", hint="give ?target= a reference or a name")
        with _taken(scope, os.O_WRONLY) as descriptor:
            written = await while_there(receive, lambda: self._write(descriptor, target, start))
        await send_json(send, {"written": written})

    async def _write(self, descriptor: int, target: str, start: int) -> int:
        """In order, so that what is there is always a beginning; by offset, so that nobody else's writing moves it."""
        download = await self._service.open(target, start, None)
        growing = _Growing(descriptor, start)
        async with aclosing(download.chunks) as chunks, aclosing(_gathered(chunks)) as gathered:
            async for some in gathered:
                await self._env.in_thread(growing.add, some)
        return growing.end - start


def _natural(query: Mapping[str, str], key: str) -> int:
    number = integer(query, key, -1)
    if number < 0:
        raise BadInput(f"{key} is missing or below 0", hint=f"give ?{key}= a number of bytes")
    return number


@contextmanager
def _taken(scope: Scope, way: int) -> Iterator[int]:
    """The handed file, open for `way` (O_RDONLY or O_WRONLY) at least."""
    with handed_in(scope.get("state", {})).take() as descriptor:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadInput("what was handed over is not a file")
        if flags & os.O_ACCMODE not in (way, os.O_RDWR) or (way == os.O_WRONLY and flags & os.O_APPEND):
            raise BadInput("the file was not opened for what is to be done with it")
        yield descriptor


async def _blocks(descriptor: int, size: int, env: Env) -> AsyncGenerator[bytes, None]:
    while size > 0:
        block = await env.in_thread(_read, descriptor, min(BLOCK_BYTES, size))
        if not block:
            raise Conflict("the file became shorter while it was read", hint="put it again when nothing writes to it")
        size -= len(block)
        yield block


def _read(descriptor: int, size: int) -> bytes:
    """From where the file stands, which moves on: whoever handed it over sees there how far this is."""
    try:
        return os.read(descriptor, size)
    except OSError as error:
        raise _file_error(error, "read") from None


async def _gathered(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[list[bytes], None]:
    """The chunks, some at a time. When there are no more because of an error, those before it come first."""
    some: list[bytes] = []
    failed: InosError | None = None
    try:
        async for chunk in chunks:
            some.append(chunk)
            if sum(map(len, some)) >= _WRITE_BYTES:
                yield some
                some = []
    except InosError as error:
        failed = error
    if some:
        yield some
    if failed is not None:
        raise failed


class _Growing:
    """A file that gets longer from `end` on, by what is added."""

    def __init__(self, descriptor: int, start: int) -> None:
        self._descriptor = descriptor
        self._begun = self.end = start  # up to `_begun` the disk was told to write
        self._left = start  # and up to here it has, and the bytes have left the page cache

    def add(self, blocks: Sequence[bytes]) -> None:
        """Write all of `blocks` at the end. Blocks."""
        try:
            for block in blocks:
                self._write(memoryview(block))
            self._write_back()
        except OSError as error:
            raise _file_error(error, "written") from None

    def _write_back(self) -> None:
        if self.end - self._begun >= _WRITEBACK_BYTES:
            start_writeback(self._descriptor, self._begun, self.end - self._begun)
            self._begun = self.end
        if self.end - self._left >= _CACHED_BYTES + _WRITEBACK_BYTES:
            leave_cache(self._descriptor, self._left, self.end - self._left - _CACHED_BYTES)
            self._left = self.end - _CACHED_BYTES

    def _write(self, rest: memoryview) -> None:
        while rest:
            written = os.pwrite(self._descriptor, rest, self.end)
            rest, self.end = rest[written:], self.end + written


def _file_error(error: OSError, done: str) -> InosError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("the disk of the file to write is full", hint="free some space and run it again")
    return BadInput(f"the file cannot be {done}: {error.strerror}")
