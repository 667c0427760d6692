"""Getting one object onto this machine's disk.

An unfinished file is `OUT.<start of its tag>.part` (client/unfinished.py): the tag keeps two versions of one name from
being mixed. It stays when the download is broken off, and the next one goes on with it. The node has checked every byte
that it gives; what lay there from before is believed only when the whole has the SHA-256 that the tag is, for a loss of
power leaves holes and zeros in files.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Container
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from inos.client.content import Content, Contents
from inos.client.handover import WRITE_FROM_BYTES, Handover
from inos.client.http import ConnectionLost, NoHandover
from inos.client.local import (
    file_error,
    fitting_name,
    in_thread,
    in_thread_left,
    is_stream,
    open_stream,
)
from inos.client.progress import Progress
from inos.client.tasks import first_error
from inos.client.unfinished import Unfinished, open_unfinished
from inos.core.errors import BadInput, Conflict, InosError

if TYPE_CHECKING:
    from inos.crypto.digest import Sha256

# A disk write in a thread costs a hop; pieces are gathered up to this. 512 MiB on two cores: 470 MB/s with 1 MiB, 610
# with 2 MiB, 380 with 4 MiB.
WRITE_BYTES: Final = 2 * 1024 * 1024
TAG_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True)
class GetReport:
    """What was written where. `resumed_bytes` were there from an earlier try; `left_out` says which names were not
    written, and why."""

    path: str
    size: int
    files: int
    folders: int
    links: int
    resumed_bytes: int
    seconds: float
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a file has besides its bytes."""

    mode: int
    modified_ms: int


class Downloads:
    """Writes objects to files."""

    def __init__(self, contents: Contents, handover: Handover) -> None:
        self._contents = contents
        self._handover = handover

    async def get_file(
        self,
        target: str,
        out: Path,
        progress: Progress,
        attributes: Attributes | None = None,
        taken: Container[Path] = (),
    ) -> GetReport:
        """Write one object to `out`, with the attributes it was stored with or those given; with none given, also into
        a pipe or a device. Paths in `taken` are other files' and no place for what is unfinished."""
        started_s = anyio.current_time()
        if await in_thread(out.is_dir):
            raise BadInput(f"{out} is a directory", hint=f"name the file to write: {out / 'FILE'}")
        if attributes is None and await in_thread(is_stream, out):
            return await self._into_stream(target, out, progress)
        with ExitStack() as stack:
            async with self._contents.open(target) as content:
                progress.total(content.size)
                part = stack.enter_context(await in_thread(open_unfinished, part_path(out, content, taken), out))
                have = await in_thread(part.usable_bytes, content.size)
                whole = not have and content.size < WRITE_FROM_BYTES
                if whole:
                    await _write(part, 0, content.chunks, progress)
            if have and not await self._go_on(content, part, have, progress):
                await in_thread(part.empty)
                progress.total(2 * content.size)  # as much again
                have = 0
            if not have and not whole:
                await self._all(content, part, progress)
            given = attributes or Attributes(content.mode, content.modified_ms)
            await in_thread(part.finish, out, content.size, given.mode, given.modified_ms)
        return GetReport(str(out), content.size, 1, 0, 0, have, anyio.current_time() - started_s)

    async def _into_stream(self, target: str, out: Path, progress: Progress) -> GetReport:
        started_s = anyio.current_time()
        async with self._contents.open(target) as content:
            progress.total(content.size)
            with await in_thread_left(open_stream, out) as file:
                async with aclosing(_pieces(content.chunks, progress)) as pieces:
                    async for piece in pieces:
                        await in_thread(_write_all, file, out, piece)
        return GetReport(str(out), content.size, 1, 0, 0, 0, anyio.current_time() - started_s)

    async def _all(self, content: Content, part: Unfinished, progress: Progress) -> None:
        """Everything, where nothing is yet."""
        if content.size >= WRITE_FROM_BYTES:
            with suppress(NoHandover, ConnectionLost):
                await self._handover.write(part.file.fileno(), content.reference, 0, progress)
        # What is there by now the node has written, in order.
        await self._rest(content, part, await in_thread(part.usable_bytes, content.size), progress)

    async def _go_on(self, content: Content, part: Unfinished, have: int, progress: Progress) -> bool:
        """Everything behind the `have` bytes that were there; whether all of it together is this content. As bytes,
        because what an open file is handed over for would have to be read once more. False for objects of the release
        whose tags are no SHA-256, too."""
        from inos.crypto.digest import Sha256  # of the few imports that most commands never need

        digest = Sha256()
        while block := await in_thread(_read, part, min(WRITE_BYTES, have - part.file.tell())):
            await in_thread(digest.update, block)
            progress.advance(len(block))
        await self._rest(content, part, have, progress, digest)
        return digest.digest().hex() == content.tag

    async def _rest(
        self, content: Content, part: Unfinished, have: int, progress: Progress, digest: Sha256 | None = None
    ) -> None:
        if have == content.size:
            return
        async with self._contents.open(content.reference, have) as rest:
            if rest.tag != content.tag:
                raise Conflict(f"{content.reference} changed while it was read", hint="run it again")
            await _write(part, have, rest.chunks, progress, digest)


def part_path(out: Path, content: Content, taken: Container[Path] = ()) -> Path:
    """Where the unfinished download of this content to `out` lies: always the same place, none of those `taken`."""
    tag = "".join(character for character in content.tag if character.isalnum())[:TAG_CHARACTERS]
    ending = f".{tag}.part"
    while (part := out.with_name(fitting_name(out.name, ending))) in taken:
        ending = f"~{ending}"
    return part


async def _write(
    part: Unfinished, start: int, chunks: AsyncGenerator[bytes, None], progress: Progress, digest: Sha256 | None = None
) -> None:
    """Write what comes to `part`, from `start` on, and into `digest`; the disk writes one piece while the next comes
    over. What came before a failure is written too; a cancellation loses the last few pieces, never one between two
    others."""
    failure: InosError | None = None
    part.file.seek(start)
    send, receive = anyio.create_memory_object_stream[list[bytes]](1)
    try:
        async with receive, anyio.create_task_group() as tasks, send:
            tasks.start_soon(_write_pieces, part, receive, digest)
            try:
                async with aclosing(_pieces(chunks, progress)) as pieces:
                    async for piece in pieces:
                        await send.send(piece)
            except InosError as error:
                failure = error
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    if failure is not None:
        raise failure


async def _pieces(chunks: AsyncGenerator[bytes, None], progress: Progress) -> AsyncGenerator[list[bytes], None]:
    piece: list[bytes] = []
    size = 0
    try:
        async for chunk in chunks:
            piece.append(chunk)
            size += len(chunk)
            progress.advance(len(chunk))
            if size >= WRITE_BYTES:
                yield piece
                piece, size = [], 0
    except InosError:
        yield piece
        raise
    yield piece


def _read(part: Unfinished, size: int) -> bytes:
    try:
        return part.file.read(size)
    except OSError as error:
        raise file_error(part.path, error) from None


async def _write_pieces(
    part: Unfinished, pieces: MemoryObjectReceiveStream[list[bytes]], digest: Sha256 | None
) -> None:
    async for piece in pieces:
        await in_thread(_write_all, part.file, part.path, piece, digest)


def _write_all(file: BinaryIO, part: Path, blocks: list[bytes], digest: Sha256 | None = None) -> None:
    try:
        # One system call for all: after each, the thread has to win the interpreter lock back from the event loop.
        rest = memoryview(b"".join(blocks))
        if digest is not None:
            digest.update(rest)
        while rest:
            rest = rest[os.write(file.fileno(), rest) :]
    except OSError as error:
        raise file_error(part, error, "write") from None
