"""Getting an object: find its manifest, open it with the reference, and stream its chunks in order.

A window of chunks is fetched ahead in parallel; each is checked by its address when it comes from others, and by its
seal when it is opened, so a wrong byte is never given out. A piece that this node should hold and did not have is
stored on the way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final, Protocol

import trio

from inos.core.crew import Crew
from inos.core.env import Env
from inos.core.errors import NotFound, Unavailable
from inos.core.ids import Cid, OwnerId, PeerId
from inos.objects.layout import COPIES
from inos.objects.opening import open_inline, open_inner
from inos.objects.reference import Reference
from inos.replication.layout import Layout
from inos.replication.placement import Placement
from inos.vault.ahead import Ahead
from inos.vault.pieces import Opened, PieceSource, ReadCounts

_NOBODY: Final = OwnerId(bytes(32))
# The directory answers from a small mesh in milliseconds; what takes longer is a walk that finds nothing.
_FIND_S: Final = 2.0


class Book(Protocol):
    async def find(self, cid: Cid) -> Placement | None:
        """The object's placement, from this node or a replica. NotFound when it was removed, None when unknown."""


class Liveness(Protocol):
    def alive_members(self) -> Sequence[bytes]: ...


class Directory(Protocol):
    async def find(self, key: bytes, *, timeout_s: float) -> Sequence[PeerId]: ...


class Layouts(Protocol):
    async def layout(self, placement: Placement) -> Layout: ...


class Getter:
    """Reads objects on one node. Fetching ahead runs in `crew`, which outlives any one reader."""

    def __init__(
        self,
        source: PieceSource,
        book: Book,
        layouts: Layouts,
        liveness: Liveness,
        directory: Directory,
        crew: Crew,
        env: Env,
        met: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        """`met` returns once this node has had the time to meet the others; before, nobody would give it anything."""
        self._met = met
        self._source = source
        self._book = book
        self._layouts = layouts
        self._liveness = liveness
        self._directory = directory
        self._crew = crew
        self._env = env

    @property
    def counts(self) -> ReadCounts:
        """What was read, since the node started."""
        return self._source.counts

    async def locate(self, cid: Cid) -> tuple[Placement, Layout]:
        """Placement and layout of an object. NotFound when nobody knows it, Unavailable when nobody can give it."""
        await self._met()
        placement = await self._book.find(cid)
        known = placement is not None
        if placement is None:
            placement = await self._anywhere(cid)
        try:
            return placement, await self._layouts.layout(placement)
        except Unavailable:
            if known:
                raise
            raise NotFound(
                f"no node that can be reached knows the object {cid}",
                hint="check the reference; if its nodes are off, start them: 'inos peers' shows who is there",
            ) from None

    async def open(self, reference: Reference) -> Opened:
        """Find and open an object. Raises what `locate` raises, BadReference for a wrong key."""
        placement, layout = await self.locate(reference.cid)
        inner = await self._env.in_thread(open_inner, layout.manifest, reference.key)
        return Opened(reference, placement, layout, inner)

    async def read(self, opened: Opened, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, end) of the content, a chunk or less at a time. Close it when you stop early."""
        if opened.layout.manifest.is_inline:
            plain = await self._env.in_thread(open_inline, opened.layout.manifest, opened.reference.key)
            if plain[start:end]:
                yield plain[start:end]
            return
        if start >= end:
            return
        chunk_bytes = opened.inner.chunk_size
        ahead = Ahead(self._source, opened, start // chunk_bytes, (end - 1) // chunk_bytes)
        self._crew.start(ahead.run)
        try:
            async for first, plains in ahead:
                for number, plain in enumerate(plains, first):
                    base = number * chunk_bytes
                    yield plain[max(0, start - base) : end - base]
        finally:
            ahead.close()

    async def _anywhere(self, cid: Cid) -> Placement:
        """A guess for an object without a placement record: any live node may have any piece, those first that the
        directory names."""
        alive = self._liveness.alive_members()
        hints = [peer.public_key() for peer in await self._directory.find(bytes(cid), timeout_s=_FIND_S)]
        members = tuple(dict.fromkeys([*(hint for hint in hints if hint in alive), *alive]))
        return Placement(cid, _NOBODY, COPIES, max(1, len(members)), members, 0, 0)
