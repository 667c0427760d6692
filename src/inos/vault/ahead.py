"""Reading ahead: a window of chunks is fetched in parallel while the reader is at those before.

What this node has is opened several chunks at a time, because a trip to a thread and back costs as much as opening
half a chunk; as soon as something has to come from others it is one at a time, so that no more of it is in flight.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Final

import trio

from inos.core.errors import InosError, Unavailable
from inos.replication.fetch import Stripe
from inos.vault.pieces import Opened, PieceSource, Wanted

# Runs of chunks fetched ahead of the one being read. Measured with gigabytes of stripes over six nodes on one machine,
# one chunk each: a peak of 277 MB with four, 240 with three, 197 with two, and 190 to 226 MB/s with any of them.
WINDOW: Final = 2
# Of those that are here.
RUN_CHUNKS: Final = 4


class Ahead:
    """Fetches the chunks `first` to `last` of an object in order, some ahead of the reader. Iterate it once: it gives
    the number of a chunk and the contents of that and the following ones. `close` it always."""

    def __init__(self, source: PieceSource, opened: Opened, first: int, last: int) -> None:
        self._source = source
        self._opened = opened
        self._first, self._last = first, last
        self._scope = trio.CancelScope()
        self._send, self._receive = trio.open_memory_channel[_Slot](WINDOW)
        self._run_chunks = 1
        self._unfilled: set[_Slot] = set()
        self._failed: InosError | None = None
        self._broken: InosError | None = None  # what the reader has come up to
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
                    slot.end(self._failed)

    async def _start_all(self, nursery: trio.Nursery) -> None:
        number, run = self._first, list[Wanted]()
        async with aclosing(self._wanted()) as wanted:
            async for one in wanted:
                run.append(one)
                if len(run) >= self._run_chunks:
                    await self._start(nursery, number, run)
                    number, run = number + len(run), []
        if run:
            await self._start(nursery, number, run)
        self._all_sent = True
        self._send.close()

    async def _wanted(self) -> AsyncGenerator[Wanted, None]:
        manifest = self._opened.layout.manifest
        for number in range(manifest.page_of(self._first), manifest.page_of(self._last) + 1):
            page, keys = await self._source.page(self._opened, number)
            groups = self._opened.layout.page_groups(self._opened.placement, page, self._first)
            for at, group in groups:
                stripe = Stripe(group)
                for index in range(max(0, self._first - at), min(group.need, self._last + 1 - at)):
                    local = at + index - page.first_chunk
                    yield Wanted(stripe, index, keys.keys[local], keys.plain_sizes[local])

    async def _start(self, nursery: trio.Nursery, number: int, run: Sequence[Wanted]) -> None:
        slot = _Slot(number)
        self._unfilled.add(slot)
        await self._send.send(slot)
        nursery.start_soon(self._fill, slot, run)

    async def _fill(self, slot: _Slot, run: Sequence[Wanted]) -> None:
        found = await self._source.here(run)
        self._run_chunks = 1 if None in found else RUN_CHUNKS
        for one, plain in zip(run, found, strict=True):
            slot.plains.append(await self._source.from_others(one) if plain is None else plain)
        slot.end()
        self._unfilled.discard(slot)

    def __aiter__(self) -> Ahead:
        return self

    async def __anext__(self) -> tuple[int, Sequence[bytes]]:
        if self._broken is not None:
            raise self._broken
        try:
            slot = await self._receive.receive()
        except trio.EndOfChannel:
            if not self._all_sent and self._failed is not None:
                raise self._failed from None
            raise StopAsyncIteration from None
        # What came before the failure is given first.
        self._broken = await slot.ended()
        if self._broken is not None and not slot.plains:
            raise self._broken
        return slot.first, slot.plains

    def close(self) -> None:
        self._scope.cancel()


class _Slot:
    """The place of a few chunks in the order: the number of the first, and as many as have come."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.plains: list[bytes] = []
        self._end = trio.Event()
        self._error: InosError | None = None

    def end(self, error: InosError | None = None) -> None:
        """No more come: these were all, or there was an error."""
        self._error = error
        self._end.set()

    async def ended(self) -> InosError | None:
        """Wait for the end; what prevented more."""
        await self._end.wait()
        return self._error


def _flat(group: BaseExceptionGroup[InosError]) -> Iterator[InosError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flat(error)
        else:
            yield error
