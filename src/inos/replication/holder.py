"""Being a holder: keeping the pieces a placement assigns to this node, and saying truthfully which of them are here.

`object.hold` asks a node to hold an object: it stores what came along, pulls or rebuilds what is missing, writes a
holding row, and answers how many of its assigned pieces are here. Each piece was checked against its address when it
came in and is synced. Only such answers count as redundancy, for `put` and for repair alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Protocol

import trio

from inos.core.env import Env
from inos.core.errors import Corrupt, InosError, NotFound
from inos.core.ids import Address, Cid
from inos.replication.bulk import Chunk
from inos.replication.durability import Group
from inos.replication.fetch import Fetcher
from inos.replication.layout import Layout, assigned_to, layout_of, read_layout
from inos.replication.placement import Placement, copy_holders

# Missing pieces looked for, fetched and stored at a time: bounds memory to about 16 MiB an object being completed.
_ROUND_PIECES: Final = 16
_PARALLEL_FETCHES: Final = 4
_PARALLEL_OBJECTS: Final = 4
# Addresses looked up at a time: one query, and for touching one synced write.
_COUNT_BATCH: Final = 4096

Finder = Callable[[Sequence[Address]], frozenset[Address]]


class Home(Protocol):
    """The chunk store, as a holder uses it."""

    def get(self, address: Address) -> bytes: ...

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]: ...

    def touch(self, addresses: Sequence[Address]) -> frozenset[Address]:
        """Which of these are held, and from now on spared by a collection that is under way."""

    def put_many(self, chunks: Sequence[Chunk]) -> None: ...


class HoldingBook(Protocol):
    """Which objects this node holds, durably."""

    def attach_all(self, placements: Sequence[Placement], begun: Collection[Cid]) -> None:
        """Remember that this node holds these objects (or still does, at this epoch), and that the manifests of those
        in `begun` are here."""

    def begin(self, cid: Cid) -> None:
        """Remember that the object's manifest is here, where it is to be held."""


@dataclass(frozen=True, slots=True)
class HoldState:
    """How much of what `epoch` of a placement assigns to a node it has; `error` is a code when it could not tell."""

    cid: Cid
    held: int
    assigned: int
    error: str = ""
    epoch: int = 0

    def completes(self, placement: Placement) -> bool:
        """Whether the node has all that this very placement assigns to it: an answer for another one says nothing."""
        return not self.error and self.held == self.assigned and self.epoch == placement.epoch


class Holder:
    """The holding side of one node. `me` is its public key."""

    def __init__(self, me: bytes, home: Home, book: HoldingBook, fetcher: Fetcher, env: Env) -> None:
        self._me = me
        self._home = home
        self._book = book
        self._fetcher = fetcher
        self._env = env
        self._slots = trio.CapacityLimiter(_PARALLEL_OBJECTS)
        self._completing: dict[Cid, trio.Event] = {}

    async def take(self, placements: Sequence[Placement], chunks: Sequence[Chunk] = ()) -> list[HoldState]:
        """Store `chunks` and remember these holdings: a few synced writes for all of them.

        Answers in order; a state that is not complete needs `hold`. The holding is written before the pieces are
        counted, and counting touches them: a collection under way then spares what is counted, a later one finds the
        holding.
        """
        if chunks:
            await self._env.in_thread(self._home.put_many, chunks)
        await self._attach(placements)
        return await self._env.in_thread(self._count_all, placements, self._home.touch)

    async def states(self, placements: Sequence[Placement]) -> list[HoldState]:
        """What of these objects is here by the index, in order, in one look; NotFound where the manifest is not."""
        return await self._env.in_thread(self._count_all, placements, self._home.present)

    async def _attach(self, placements: Sequence[Placement]) -> None:
        mine = [placement for placement in placements if self._me in placement.members]
        await self._env.in_thread(self._attach_all, mine)

    def _attach_all(self, placements: Sequence[Placement]) -> None:
        here = self._home.present([placement.cid.address for placement in placements])
        self._book.attach_all(placements, {one.cid for one in placements if one.cid.address in here})

    async def hold(self, placement: Placement) -> HoldState:
        """Take part in `placement`: remember the holding, fetch or rebuild what is missing, say what is here."""
        await self._attach([placement])
        return await self.complete(placement)

    async def layout(self, placement: Placement) -> Layout:
        """The object's layout, its manifest fetched from other nodes where this disk lacks it. Stores nothing, so that
        an object can be read on a node whose disk is full.
        """
        return layout_of(placement.cid, await self._manifest(placement))

    async def _manifest(self, placement: Placement) -> bytes:
        address = placement.cid.address
        try:
            return await self._env.in_thread(self._home.get, address)
        except (NotFound, Corrupt):
            return await self._fetcher.anywhere(address, copy_holders(placement, address), local=False)

    async def kept_layout(self, placement: Placement) -> Layout:
        """The layout, its manifest and pages on this disk when this returns."""
        data = await self._manifest(placement)
        await self._env.in_thread(self._home.put_many, [(placement.cid.address, data)])
        layout = layout_of(placement.cid, data)
        await self.pages_here(placement, layout)
        return layout

    async def pages_here(self, placement: Placement, layout: Layout) -> None:
        """Make sure that every page can be read from this disk."""
        pages = layout.manifest.pages
        present = await self._env.in_thread(self._home.present, pages)
        for address in pages:
            if address not in present:
                data = await self._fetcher.anywhere(address, copy_holders(placement, address), local=False)
                await self._env.in_thread(self._home.put_many, [(address, data)])

    async def state(self, placement: Placement, *, verify: bool = False) -> HoldState:
        """What of the assigned pieces is here, by the index, or re-read and checked when `verify`."""
        try:
            layout = await self.layout(placement)
            await self.pages_here(placement, layout)
            found = self._sound if verify else self._home.present
            held, assigned = await self._env.in_thread(self._count, layout, placement, found)
        except InosError as error:
            return HoldState(placement.cid, 0, 0, error.code, placement.epoch)
        return HoldState(placement.cid, held, assigned, epoch=placement.epoch)

    async def complete(self, placement: Placement) -> HoldState:
        """Fetch or rebuild every assigned piece that is missing. At most one such effort an object at a time."""
        running = self._completing.get(placement.cid)
        if running is not None:
            await running.wait()
            return await self.state(placement)
        self._completing[placement.cid] = trio.Event()
        try:
            async with self._slots:
                return await self._complete(placement)
        except InosError as error:
            state = await self.state(placement)
            return replace(state, error=error.code)
        finally:
            self._completing.pop(placement.cid).set()

    async def _complete(self, placement: Placement) -> HoldState:
        layout = await self.kept_layout(placement)
        await self._env.in_thread(self._book.begin, placement.cid)
        pages = layout.pages(self._home.get)
        while page := await self._env.in_thread(next, pages, None):
            groups = (group for _, group in layout.page_groups(placement, page))
            while missing := await self._env.in_thread(self._next_missing, groups):
                await self._fetch_missing(placement, missing)
        held, assigned = await self._env.in_thread(self._count, layout, placement, self._home.touch)
        return HoldState(placement.cid, held, assigned, epoch=placement.epoch)

    def _next_missing(self, groups: Iterator[Group]) -> list[tuple[Group, int]]:
        """The next few assigned pieces that are not here, as (group, index); empty at the end. Blocks."""
        missing: list[tuple[Group, int]] = []
        for group in groups:
            mine = assigned_to(group, self._me)
            absent = set(mine).difference(self._home.present(mine))
            missing += [(group, group.addresses.index(address)) for address in mine if address in absent]
            if len(missing) >= _ROUND_PIECES:
                break
        return missing

    async def _fetch_missing(self, placement: Placement, missing: Sequence[tuple[Group, int]]) -> None:
        wanted = sorted({address for group, _ in missing for address in group.addresses})
        elsewhere = await self._fetcher.locate(wanted, placement.members)
        found: list[Chunk] = []
        limit = trio.CapacityLimiter(_PARALLEL_FETCHES)

        async def one(group: Group, index: int) -> None:
            async with limit:
                data = await self._fetcher.of_group(group, index, elsewhere=elsewhere, local=False)
                found.append((group.addresses[index], data))

        failures: list[InosError] = []

        async def guarded(group: Group, index: int) -> None:
            try:
                await one(group, index)
            except InosError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            for group, index in missing:
                nursery.start_soon(guarded, group, index)
        if found:
            await self._env.in_thread(self._home.put_many, found)
        if failures:
            raise failures[0]

    def _assigned(self, layout: Layout, placement: Placement) -> Iterator[Address]:
        """Every piece of this node, pages and manifest among them; an address as often as it is assigned. Blocks."""
        return iter(layout.pieces(placement, self._me, self._home.get))

    def _count(self, layout: Layout, placement: Placement, found: Finder) -> tuple[int, int]:
        """(held, assigned) pieces of this node, by what `found` says of a batch of addresses. Blocks."""
        held = assigned = 0
        pieces = self._assigned(layout, placement)
        while batch := list(islice(pieces, _COUNT_BATCH)):
            there = found(batch)
            assigned += len(batch)
            held += sum(address in there for address in batch)
        return held, assigned

    def _count_all(self, placements: Sequence[Placement], found: Finder) -> list[HoldState]:
        """The states of many objects, their pieces looked up all at once. Blocks."""
        wanted: list[list[Address] | InosError] = []
        for placement in placements:
            try:
                layout = read_layout(placement.cid, self._home.get)
                wanted.append(list(self._assigned(layout, placement)))
            except InosError as error:
                wanted.append(error)
        pieces_of_all = [address for pieces in wanted if isinstance(pieces, list) for address in pieces]
        there: set[Address] = set()
        for start in range(0, len(pieces_of_all), _COUNT_BATCH):
            there |= found(pieces_of_all[start : start + _COUNT_BATCH])
        states = []
        for placement, pieces in zip(placements, wanted, strict=True):
            if isinstance(pieces, InosError):
                states.append(HoldState(placement.cid, 0, 0, pieces.code, placement.epoch))
            else:
                held = sum(map(there.__contains__, pieces))
                states.append(HoldState(placement.cid, held, len(pieces), epoch=placement.epoch))
        return states

    def _sound(self, addresses: Sequence[Address]) -> frozenset[Address]:
        """Which of these are here and match their address when read."""
        return frozenset(address for address in addresses if self._reads(address))

    def _reads(self, address: Address) -> bool:
        try:
            self._home.get(address)
        except (NotFound, Corrupt):
            return False
        return True
