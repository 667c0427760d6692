"""Getting an object: find its manifest, open it with the reference, and stream its chunks in order.

A window of chunks is fetched ahead in parallel; each is checked by its address when it comes from others, and by its
seal when it is opened, so a wrong byte is never given out. A piece that this node should hold and did not have is
stored on the way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from inos.core.crew import Crew
from inos.core.env import Env
from inos.core.errors import Corrupt, InosError, NotFound, StorageFull, Unavailable
from inos.core.ids import Address, Cid, OwnerId, PeerId
from inos.objects.chunks import open_chunk
from inos.objects.layout import COPIES
from inos.objects.manifest_codec import OuterPage
from inos.objects.opening import Inner, PageKeys, open_inline, open_inner, open_page
from inos.objects.reference import Reference
from inos.replication.bulk import Chunk
from inos.replication.fetch import Fetcher, Stripe
from inos.replication.layout import Layout
from inos.replication.placement import Placement

_NOBODY: Final = OwnerId(bytes(32))
# Chunks fetched ahead of the one being read. Measured with gigabytes of stripes over six nodes on one machine: a peak
# of 277 MB with four, 240 with three, 197 with two, and 190 to 226 MB/s with any of them.
WINDOW_CHUNKS: Final = 2
# The directory answers from a small mesh in milliseconds; what takes longer is a walk that finds nothing.
_FIND_S: Final = 2.0


class Home(Protocol):
    def get(self, address: Address) -> bytes: ...

    def unchecked(self, address: Address) -> bytes | None: ...

    def put_many(self, chunks: Sequence[Chunk]) -> None: ...


class Book(Protocol):
    async def find(self, cid: Cid) -> Placement | None:
        """The object's placement, from this node or a replica. NotFound when it was removed, None when unknown."""


class Liveness(Protocol):
    def alive_members(self) -> Sequence[bytes]: ...


class Directory(Protocol):
    async def find(self, key: bytes, *, timeout_s: float) -> Sequence[PeerId]: ...


class Layouts(Protocol):
    async def layout(self, placement: Placement) -> Layout: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """An object whose manifest was found and opened. `inner` says size, name and content hash."""

    reference: Reference
    placement: Placement
    layout: Layout
    inner: Inner


@dataclass(slots=True)
class ReadCounts:
    """Chunks that readers asked for: those this node had, and those others had to give."""

    hits: int = 0
    misses: int = 0


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
        ahead = _Ahead(self._source, opened, start // chunk_bytes, (end - 1) // chunk_bytes)
        self._crew.start(ahead.run)
        try:
            async for index, plain in ahead:
                base = index * chunk_bytes
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


class PieceSource:
    """Pieces for readers: this disk, else the mesh; what this node should hold and lacked is kept. `me`: its key."""

    def __init__(
        self, me: bytes, home: Home, fetcher: Fetcher, env: Env, keeps_reads: Callable[[], bool] = lambda: False
    ) -> None:
        """`keeps_reads` says whether what others are to keep is worth keeping here as well, now that it was read."""
        self._keeps_reads = keeps_reads
        self._me = me
        self._home = home
        self._fetcher = fetcher
        self._env = env
        self.counts = ReadCounts()

    async def page(self, opened: Opened, number: int) -> tuple[OuterPage, PageKeys]:
        """Page `number` of the manifest, and the keys in it."""
        manifest = opened.layout.manifest
        page = manifest.page
        if page is None:
            data = await self._fetcher.anywhere(manifest.pages[number], opened.placement.members)
            page = await self._env.in_thread(OuterPage.decode, data, manifest, number)
        return page, await self._env.in_thread(open_page, page, opened.reference.key, opened.inner)

    async def chunk(self, stripe: Stripe, index: int, key: bytes, plain_size: int) -> bytes:
        """Chunk `index` of a stripe, opened."""
        group, address = stripe.group, stripe.group.addresses[index]
        try:
            stored, plain = await self._env.in_thread(self._opened, address, key, plain_size)
            stripe.learn(index, stored)
            if plain is not None:
                self.counts.hits += 1
                return plain
        except (NotFound, Corrupt):
            self.counts.misses += 1
            stored = await self._fetcher.of_stripe(stripe, index, local=False)
            if self._keeps_reads() or any(
                pair == (address, self._me) for pair in zip(group.addresses, group.holders, strict=True)
            ):
                # A full disk is no reason not to read; healing and `status` will say that pieces are missing.
                with suppress(StorageFull):
                    await self._env.in_thread(self._home.put_many, [(address, stored)])
        return await self._env.in_thread(open_chunk, stored, key, plain_size)

    def _opened(self, address: Address, key: bytes, plain_size: int) -> tuple[bytes, bytes | None]:
        """A chunk of this node's as stored, and opened where it opens: one trip to a thread instead of two. What opens
        under a key that seals nothing else is what was sealed, so it need not be hashed as well."""
        stored = self._home.unchecked(address)
        if stored is not None:
            with suppress(Corrupt):
                return stored, open_chunk(stored, key, plain_size)
        return self._home.get(address), None


class _Ahead:
    """Fetches a run of chunks in order, some ahead of the reader. Iterate it once; `close` it always."""

    def __init__(self, source: PieceSource, opened: Opened, first: int, last: int) -> None:
        self._source = source
        self._opened = opened
        self._first, self._last = first, last
        self._scope = trio.CancelScope()
        self._send, self._receive = trio.open_memory_channel[_Slot](WINDOW_CHUNKS)
        self._unfilled: set[_Slot] = set()
        self._failed: InosError | None = None
        self._all_sent = False

    async def run(self) -> None:
        with self._scope:
            try:
                async with trio.open_nursery() as nursery:
                    await self._start_all(nursery)
            except* InosError as group:
                self._failed = next(error for error in _flat(group))
            finally:
                # Whatever ended this, no reader may wait for ever, nor take what came so far for everything.
                self._failed = self._failed or Unavailable("reading stopped", hint="try again")
                self._send.close()
                for slot in self._unfilled:
                    slot.fill(error=self._failed)

    async def _start_all(self, nursery: trio.Nursery) -> None:
        manifest = self._opened.layout.manifest
        for number in range(manifest.page_of(self._first), manifest.page_of(self._last) + 1):
            page, keys = await self._source.page(self._opened, number)
            groups = self._opened.layout.page_groups(self._opened.placement, page, self._first)
            for at, group in groups:
                stripe = Stripe(group)
                for index in range(max(0, self._first - at), min(group.need, self._last + 1 - at)):
                    slot = _Slot(at + index)
                    self._unfilled.add(slot)
                    await self._send.send(slot)
                    nursery.start_soon(self._fill, slot, stripe, index, keys, at + index - page.first_chunk)
        self._all_sent = True
        self._send.close()

    async def _fill(self, slot: _Slot, stripe: Stripe, index: int, keys: PageKeys, local: int) -> None:
        slot.fill(await self._source.chunk(stripe, index, keys.keys[local], keys.plain_sizes[local]))
        self._unfilled.discard(slot)

    def __aiter__(self) -> _Ahead:
        return self

    async def __anext__(self) -> tuple[int, bytes]:
        try:
            slot = await self._receive.receive()
        except trio.EndOfChannel:
            if not self._all_sent and self._failed is not None:
                raise self._failed from None
            raise StopAsyncIteration from None
        return slot.index, await slot.wait()

    def close(self) -> None:
        self._scope.cancel()


class _Slot:
    """The place of one chunk in the order, filled when it has come."""

    def __init__(self, index: int) -> None:
        self.index = index
        self._ready = trio.Event()
        self._plain = b""
        self._error: InosError | None = None

    def fill(self, plain: bytes = b"", error: InosError | None = None) -> None:
        self._plain, self._error = plain, error
        self._ready.set()

    async def wait(self) -> bytes:
        await self._ready.wait()
        if self._error is not None:
            raise self._error
        return self._plain


def _flat(group: BaseExceptionGroup[InosError]) -> Iterator[InosError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flat(error)
        else:
            yield error
