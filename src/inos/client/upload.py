"""Putting things into the mesh: bytes, streams, files and whole folders."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from inos.client.calls import Calls
from inos.client.handover import FROM_BYTES, Handover
from inos.client.http import NoHandover, Request
from inos.client.local import BLOCK_BYTES, file_error, in_thread, open_source, read_small
from inos.client.progress import Part, Progress
from inos.client.tasks import first_error, for_each
from inos.client.walk import FOLDER, LINK, SPECIAL, Entry, Unit, group, walk
from inos.core.batch import BATCH_ITEM_MAX, encode_batch
from inos.core.errors import BadFrame, Conflict
from inos.core.file_times import modified_ms_of
from inos.core.reports import BatchItem, CatalogueItem, PutReport, TreeReport, from_dict

# Requests of a folder under way at once: enough that reading, sending and the node's syncing overlap.
PARALLEL: Final = 4


class Uploads:
    """The requests that store things."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._handover = Handover(calls)

    async def put_stream(
        self, body: bytes | AsyncIterable[bytes], *, query: Mapping[str, str], size: int | None, progress: Progress
    ) -> PutReport:
        """Store one stream of bytes."""
        length = len(body) if isinstance(body, bytes) else size
        progress.total(length)
        async with aclosing(_counted(body, progress)) as counted:
            return await self._calls.report(PutReport, Request("PUT", "/v1/objects", query, None, counted, length))

    async def put_file(self, path: Path, *, query: Mapping[str, str], progress: Progress) -> PutReport:
        """Store one file, as long as it was when it was opened. One that has no length may be one that the system makes
        up as it is read (/proc): it is read to its end."""
        with await in_thread(open_source, path) as file:
            status = os.fstat(file.fileno())
            size = status.st_size or None
            query = {
                "mode": str(status.st_mode & 0o7777),
                "modified_ms": str(modified_ms_of(status)),
                **query,
            }
            if status.st_size >= FROM_BYTES:
                progress.total(status.st_size)
                with suppress(NoHandover):
                    return await self._handover.store(file.fileno(), status.st_size, query, progress)
            send, blocks = anyio.create_memory_object_stream[bytes](1)
            try:
                async with blocks, anyio.create_task_group() as tasks, send:
                    # The disk reads one block while the last one goes out.
                    tasks.start_soon(_read_into, send, file, path, size)
                    report = await self.put_stream(blocks, query=query, size=size, progress=progress)
                    tasks.cancel_scope.cancel()
            except BaseExceptionGroup as errors:
                raise first_error(errors) from None
        return report

    async def put_tree(self, root: Path, name: str, *, require: str, progress: Progress) -> TreeReport:
        """Store a folder under `name`: its files, empty folders and links."""
        started_s = anyio.current_time()
        progress.total(await in_thread(_total_size, root, name))
        totals = _Totals()

        async def put_unit(unit: Unit) -> None:
            if unit.is_batch:
                await self._put_batch(unit, require, progress, totals)
            else:
                await self._put_entry(unit.entries[0], require, progress, totals)

        await for_each(group(walk(root, name)), put_unit, PARALLEL)
        return totals.report(name, anyio.current_time() - started_s)

    async def _put_batch(self, unit: Unit, require: str, progress: Progress, totals: _Totals) -> None:
        items, grown = await in_thread(_read_batch, unit.entries)
        query = {"require": require} if require else None
        value = await self._calls.json(Request("POST", "/v1/objects:batch", query, None, encode_batch(items)))
        if not isinstance(value, dict) or not isinstance(value.get("reports"), list):
            raise BadFrame("the node's answer to a batch has no reports")
        for report in value["reports"]:
            totals.add(from_dict(PutReport, report))
        progress.advance(sum(len(item.data) for item in items))
        for entry in grown:
            await self._put_big(entry, require, progress, totals)

    async def _put_entry(self, entry: Entry, require: str, progress: Progress, totals: _Totals) -> None:
        named = {"name": entry.name, "modified_ms": entry.modified_ms}
        if entry.kind == LINK:
            await self._calls.post(CatalogueItem, "/v1/links", {**named, "target": entry.target})
            totals.links += 1
        elif entry.kind == FOLDER:
            await self._calls.post(CatalogueItem, "/v1/folders", {**named, "mode": entry.mode})
            totals.folders += 1
        elif entry.kind == SPECIAL:
            totals.skipped.append(f"{entry.path}: not a file, a folder or a link")
        else:
            await self._put_big(entry, require, progress, totals)

    async def _put_big(self, entry: Entry, require: str, progress: Progress, totals: _Totals) -> None:
        query = {"name": entry.name} | ({"require": require} if require else {})
        totals.add(await self.put_file(Path(entry.path), query=query, progress=Part(progress)))


@dataclass(slots=True)
class _Totals:
    """What became of a tree so far."""

    files: int = 0
    folders: int = 0
    links: int = 0
    size: int = 0
    stored_bytes: int = 0
    weakest: PutReport | None = None
    skipped: list[str] = field(default_factory=list)

    def add(self, report: PutReport) -> None:
        self.files += 1
        self.size += report.size
        self.stored_bytes += report.stored_bytes
        if self.weakest is None or report.survives < self.weakest.survives:
            self.weakest = report

    def report(self, name: str, seconds: float) -> TreeReport:
        weakest = self.weakest
        return TreeReport(
            ref=f"inos:{name}",
            cid="",
            name=name,
            size=self.size,
            survives=weakest.survives if weakest else 0,
            level=weakest.level if weakest else "",
            wanted_survives=weakest.wanted_survives if weakest else 0,
            stored_bytes=self.stored_bytes,
            seconds=seconds,
            files=self.files,
            folders=self.folders,
            links=self.links,
            skipped=tuple(sorted(self.skipped)),
        )


def _total_size(root: Path, name: str) -> int:
    return sum(entry.size for entry in walk(root, name))


def _read_batch(entries: Iterable[Entry]) -> tuple[list[BatchItem], list[Entry]]:
    items: list[BatchItem] = []
    grown: list[Entry] = []
    for entry in entries:
        data = read_small(entry.path, BATCH_ITEM_MAX)
        if data is None:
            grown.append(entry)
        else:
            items.append(BatchItem(entry.name, entry.mode, entry.modified_ms, data))
    return items, grown


async def _read_into(send: MemoryObjectSendStream[bytes], file: BinaryIO, path: Path, size: int | None) -> None:
    left = sys.maxsize if size is None else size
    while left:
        try:
            block = await in_thread(file.read, min(BLOCK_BYTES, left))
        except OSError as error:
            raise file_error(path, error) from None
        if not block and size is None:
            break
        if not block:
            raise Conflict(f"{path} became shorter while it was read", hint="put it again when nothing writes to it")
        left -= len(block)
        await send.send(block)
    await send.aclose()


async def _counted(body: bytes | AsyncIterable[bytes], progress: Progress) -> AsyncGenerator[bytes, None]:
    if isinstance(body, bytes):
        for at in range(0, len(body), BLOCK_BYTES):
            yield body[at : at + BLOCK_BYTES]
            progress.advance(min(BLOCK_BYTES, len(body) - at))
        return
    try:
        async for block in body:
            yield block
            progress.advance(len(block))
    finally:
        if isinstance(body, AsyncGenerator):  # made for this call alone, most likely: nobody else would close it
            await body.aclose()
