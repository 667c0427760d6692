"""Pinned objects: all that is needed to read one is on this node, whatever its placement says, and stays.

Pinning is noted at once; fetching what is missing is background work, taken up again until it is all here.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.errors import InosError, Unavailable
from inos.core.ids import Address, Cid
from inos.replication.bulk import Chunk
from inos.replication.durability import Group
from inos.replication.fetch import Fetcher
from inos.replication.layout import Layout
from inos.replication.placement import Placement

# How long an object passes for whole. A piece may be found damaged meanwhile, by whoever reads it or by the scrub.
LOOK_AGAIN_S: Final = 1800.0
# Pieces in memory at a time.
_BATCH: Final = 8


class Home(Protocol):
    def get(self, address: Address) -> bytes: ...

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]: ...

    def put_many(self, chunks: Sequence[Chunk]) -> None: ...


class Layouts(Protocol):
    async def kept_layout(self, placement: Placement) -> Layout:
        """The layout, its manifest and pages on this disk when this returns."""


class Book(Protocol):
    async def find(self, cid: Cid) -> Placement | None: ...


class Pins:
    """Completes pinned objects on one node."""

    def __init__(self, home: Home, layouts: Layouts, book: Book, fetcher: Fetcher, env: Env) -> None:
        self._home = home
        self._layouts = layouts
        self._book = book
        self._fetcher = fetcher
        self._env = env
        self._whole_s: dict[Cid, float] = {}
        """When each was found whole."""

    async def complete(self, cids: Sequence[Cid]) -> None:
        """Fetch what is missing of these. Raises Unavailable when some of it cannot be had now, StorageFull."""
        whole = await self._still_whole(cids)
        failed: list[InosError] = []
        for cid in cids:
            if cid not in whole:
                try:
                    await self._complete(cid)
                    self._whole_s[cid] = self._env.monotonic_s()
                except Unavailable as error:
                    failed.append(error)
        if failed:
            raise Unavailable(f"{len(failed)} pinned objects are not all here yet: {failed[0].message}")

    async def _still_whole(self, cids: Sequence[Cid]) -> set[Cid]:
        """Those that were whole a while ago, their manifests being here. What is found damaged is not here any more."""
        since_s = self._env.monotonic_s() - LOOK_AGAIN_S
        manifests = [cid.address for cid in cids if self._whole_s.get(cid, -inf) > since_s]
        there = await self._env.in_thread(self._home.present, manifests) if manifests else frozenset()
        self._whole_s = {cid: at_s for cid, at_s in self._whole_s.items() if cid.address in there}
        return set(self._whole_s)

    async def _complete(self, cid: Cid) -> None:
        placement = await self._book.find(cid)
        if placement is None:
            raise Unavailable(f"nobody that can be reached knows the object {cid}")
        layout = await self._layouts.kept_layout(placement)
        pages = layout.pages(self._home.get)
        while page := await self._env.in_thread(next, pages, None):
            for _, group in layout.page_groups(placement, page):
                await self._fetch(group)

    async def _fetch(self, group: Group) -> None:
        """The data pieces of a group: parity is for those who lack some."""
        data = list(group.addresses[: group.need])
        present = await self._env.in_thread(self._home.present, data)
        missing = [index for index, address in enumerate(data) if address not in present]
        for start in range(0, len(missing), _BATCH):
            found: list[Chunk] = []
            for index in missing[start : start + _BATCH]:
                found.append((data[index], await self._fetcher.of_group(group, index, local=False)))
            await self._env.in_thread(self._home.put_many, found)
