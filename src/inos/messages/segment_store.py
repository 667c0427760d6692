"""Segments as objects of the mesh: which there are, put one, read one line by line, remove some.

They lie in the owner's vault under names of their own (`segments.FOLDER`), so that they are sealed, spread, repaired
and found again from the phrase like everything else. Nothing larger than a piece of one is in memory at a time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.errors import InosError, NotEnoughNodes, NotFound
from inos.core.reports import PutOptions, PutReport
from inos.messages.segments import FOLDER, Segment, SegmentName, SegmentReader, SegmentWriter, parse_names

LOCAL: Final = "local"
_PAGE: Final = 1000
# Packed bytes unpacked at a time: what comes out of them is in memory at once.
_FEED_BYTES: Final = 32 << 10
# Lines packed at a time, of a merge.
_LINES: Final = 200


class Reading(Protocol):
    """An object opened."""

    @property
    def chunks(self) -> AsyncGenerator[bytes, None]: ...


class Vault(Protocol):
    """The owner's objects."""

    async def put(self, source: AsyncIterator[bytes], options: PutOptions) -> PutReport: ...

    async def open(self, target: str, start: int, end: int | None) -> Reading: ...

    async def remove(self, target: str) -> object: ...


class Entry(Protocol):
    """A name and what it stands for."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Names:
    """The owner's catalogue. `refresh(sure)` learns of names written elsewhere: sure, of all that a majority had before
    it began; NotEnoughNodes where it cannot. `enough` says whether what is here is all there can be nevertheless."""

    refresh: Callable[[bool], Awaitable[None]]
    page: Callable[[str, str, int], Awaitable[Sequence[Entry]]]
    enough: Callable[[], bool]


class SegmentStore:
    """The segments of one owner. `members` says how many the mesh has, and how many of these answer, this node among
    them: of one or two no quorum survives the loss of a node, and what is on the disks of all of them is all the safety
    there can be; nor is there more while one of three is away."""

    def __init__(self, vault: Vault, names: Names, members: Callable[[], tuple[int, int]], env: Env) -> None:
        self._vault = vault
        self._names = names
        self._members = members
        self._env = env

    async def refresh(self, *, sure: bool) -> bool:
        """Learn of segments put elsewhere, where that was not done lately; when `sure`, of every one that was safe
        before this began. Whether that was possible."""
        try:
            await self._names.refresh(sure)
        except NotEnoughNodes:
            return self._names.enough()
        return True

    async def known(self) -> list[Segment]:
        """Those this node knows, in the order in which they are to be read."""
        found: list[tuple[str, int]] = []
        while True:
            page = await self._names.page(FOLDER, found[-1][0] if found else "", _PAGE)
            found += [(entry.name, entry.size) for entry in page]
            if len(page) < _PAGE:
                return parse_names(found)

    async def put(self, name: SegmentName, packed: Sequence[bytes]) -> bool:
        """Put one; whether it survives the loss of this node now, as far as there are others."""
        return await self._put(name, _pieces(packed), sum(map(len, packed)))

    async def _put(self, name: SegmentName, source: AsyncIterator[bytes], size: int | None) -> bool:
        report = await self._vault.put(source, PutOptions(name=str(name), size=size))
        members, alive = self._members()
        if report.level != LOCAL or members <= 1:
            return True
        return report.survives >= max(1, alive - 1) and await self._all_have_names()

    async def _all_have_names(self) -> bool:
        try:
            await self._names.refresh(True)
        except NotEnoughNodes:
            return False
        return True

    async def lines(self, name: SegmentName) -> AsyncGenerator[list[bytes], None]:
        """The lines of one, some at a time. Raises NotFound, Unavailable, Corrupt, BadFrame; what was given before
        that is right all the same."""
        reader = SegmentReader(name.kind)
        reading = await self._vault.open(str(name), 0, None)
        try:
            async for chunk in reading.chunks:
                for start in range(0, len(chunk), _FEED_BYTES):
                    yield await self._env.in_thread(_fed, reader, chunk[start : start + _FEED_BYTES])
            reader.close()
        finally:
            await reading.chunks.aclose()

    async def merge(self, into: SegmentName, parts: Iterable[Segment]) -> bool:
        """Put one that holds what these hold; whether it is safe as `put` says. They stay."""
        async with aclosing(self._merged(into, list(parts))) as merged:
            return await self._put(into, merged, None)

    async def _merged(self, into: SegmentName, parts: Sequence[Segment]) -> AsyncGenerator[bytes, None]:
        writer = SegmentWriter(into.kind)
        yield writer.begin()
        for part in parts:
            async with aclosing(self.lines(part.name)) as read:
                async for lines in read:
                    for start in range(0, len(lines), _LINES):
                        yield await self._env.in_thread(_packed, writer, lines[start : start + _LINES])
        yield writer.end()

    async def safe(self, name: SegmentName) -> bool:
        """Put what is there under this name once more; whether it is safe now."""
        reading = await self._vault.open(str(name), 0, None)
        async with aclosing(reading.chunks) as chunks:
            return await self._put(name, chunks, None)

    async def remove(self, names: Iterable[SegmentName]) -> None:
        """Remove these, as far as this node may now; the rest stays for later."""
        for name in names:
            try:
                await self._vault.remove(str(name))
            except NotFound:
                continue
            except InosError:
                return


def _fed(reader: SegmentReader, packed: bytes) -> list[bytes]:
    return list(reader.feed(packed))


def _packed(writer: SegmentWriter, lines: Sequence[bytes]) -> bytes:
    return b"".join(map(writer.line, lines))


async def _pieces(packed: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    for piece in packed:
        yield piece
