"""Pieces for readers: from this disk, else from the mesh.

Each is checked by its address when it comes from others, and by its seal when it is opened, so a wrong byte is never
given out. A piece that this node should hold and did not have is stored on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from inos.core.env import Env
from inos.core.errors import Corrupt, NotFound, StorageFull
from inos.core.ids import Address
from inos.objects.chunks import open_chunk
from inos.objects.manifest_codec import OuterPage
from inos.objects.opening import Inner, PageKeys, open_page
from inos.objects.reference import Reference
from inos.replication.bulk import Chunk
from inos.replication.fetch import Fetcher, Stripe
from inos.replication.layout import Layout
from inos.replication.placement import Placement


class Home(Protocol):
    def get(self, address: Address) -> bytes: ...

    def unchecked(self, address: Address) -> bytes | None: ...

    def put_many(self, chunks: Sequence[Chunk]) -> None: ...


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """One chunk that a reader asks for: its place in a stripe, what opens it, and its size in bytes then."""

    stripe: Stripe
    index: int
    key: bytes
    plain_size: int

    @property
    def address(self) -> Address:
        return self.stripe.group.addresses[self.index]


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

    async def here(self, wanted: Sequence[Wanted]) -> list[bytes | None]:
        """Those of these chunks that this node has, opened, in one trip to a thread; None for the others."""
        found = await self._env.in_thread(self._opened_here, wanted)
        self.counts.hits += sum(plain is not None for plain in found)
        return found

    def _opened_here(self, wanted: Sequence[Wanted]) -> list[bytes | None]:
        return [self._opened(one) for one in wanted]

    def _opened(self, one: Wanted) -> bytes | None:
        """A chunk of this node's, None where it has none that is whole. What opens under a key that seals nothing else
        is what was sealed, so it need not be hashed as well."""
        stored = self._home.unchecked(one.address)
        if stored is not None:
            with suppress(Corrupt):
                return self._learnt(one, stored)
        try:
            stored = self._home.get(one.address)
        except (NotFound, Corrupt):
            return None
        return self._learnt(one, stored)

    @staticmethod
    def _learnt(one: Wanted, stored: bytes) -> bytes:
        plain = open_chunk(stored, one.key, one.plain_size)
        one.stripe.learn(one.index, stored)
        return plain

    async def from_others(self, one: Wanted) -> bytes:
        """A chunk that this node lacks, opened. Raises Unavailable when no member gives it, Corrupt when it does not
        open."""
        self.counts.misses += 1
        group = one.stripe.group
        stored = await self._fetcher.of_stripe(one.stripe, one.index, local=False)
        if self._keeps_reads() or any(
            pair == (one.address, self._me) for pair in zip(group.addresses, group.holders, strict=True)
        ):
            # A disk that takes nothing is no reason not to read; healing and `status` will say that pieces are missing.
            with suppress(StorageFull, Corrupt):
                await self._env.in_thread(self._home.put_many, [(one.address, stored)])
        return await self._env.in_thread(open_chunk, stored, one.key, one.plain_size)
