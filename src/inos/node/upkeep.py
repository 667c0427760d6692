"""Looking after this node's own disk: re-reading what it stores, healing what is damaged or missing, tidying up.

Each method is the step of a worker. Damage is noticed by whoever reads (a user's get, a peer's, the scrub); healing
then goes through the holdings, because which object a chunk belongs to is not indexed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.errors import Corrupt, Unavailable
from inos.core.ids import Address, Cid
from inos.replication.bulk import Chunk
from inos.replication.holder import HoldState
from inos.replication.placement import Placement

# 32 MiB every 20 s: 0.1 % of a core, 10 TB a year, each chunk of a full 100 GB node about every day.
SCRUB_CHUNKS: Final = 32
SCRUB_EVERY_S: Final = 20.0
# One of 256 folders at a time; the whole tree in a day.
ORPHANS_EVERY_S: Final = 300.0
# Seldom beside the seconds a large put takes, soon beside how long a node idles after it.
TRIM_EVERY_S: Final = 15.0
HEAL_EVERY_S: Final = 5.0
# Without any sign of damage the holdings are gone through this often, for what was lost without being read.
FULL_HEAL_EVERY_S: Final = 3600.0
_HEAL_BATCH: Final = 256  # objects looked at with one synced write


class Store(Protocol):
    def get(self, address: Address) -> bytes: ...

    def unchecked(self, address: Address) -> bytes | None: ...

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]: ...

    def touch(self, addresses: Sequence[Address]) -> frozenset[Address]: ...

    def put_many(self, chunks: Sequence[Chunk]) -> None: ...


class ScrubResult(Protocol):
    @property
    def next(self) -> Address | None: ...

    @property
    def checked(self) -> int: ...

    @property
    def corrupt(self) -> Sequence[Address]: ...


class ScrubbedStore(Protocol):
    def scrub(self, after: Address | None, limit: int) -> ScrubResult: ...

    def sweep_orphans(self, prefix: int) -> object: ...


class Remembering(Protocol):
    def release_memory(self) -> None: ...


class HeldObjects(Protocol):
    def cids(self) -> Iterator[Cid]: ...


class Completing(Protocol):
    async def take(self, placements: Sequence[Placement], chunks: Sequence[Chunk] = ()) -> list[HoldState]: ...

    async def complete(self, placement: Placement) -> HoldState: ...


class KnownPlacements(Protocol):
    def known(self, cid: Cid) -> Placement | None: ...

    def naming(self, member: bytes) -> Iterator[Placement]:
        """The placements in this node's replica that name `member`."""


class WatchedChunks:
    """A chunk store that remembers that something in it was found damaged."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.damaged = True  # until the first round has looked: the last run may have ended in the middle of anything

    def get(self, address: Address) -> bytes:
        try:
            return self._inner.get(address)
        except Corrupt:
            self.damaged = True
            raise

    def unchecked(self, address: Address) -> bytes | None:
        return self._inner.unchecked(address)

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]:
        return self._inner.present(addresses)

    def touch(self, addresses: Sequence[Address]) -> frozenset[Address]:
        return self._inner.touch(addresses)

    def put_many(self, chunks: Sequence[Chunk]) -> None:
        self._inner.put_many(chunks)


@dataclass(slots=True)
class UpkeepCounts:
    """Since the node started."""

    scrubbed: int = 0
    corrupt: int = 0
    healed: int = 0


class Upkeep:
    """The upkeep workers' steps."""

    def __init__(
        self,
        me: bytes,
        watched: WatchedChunks,
        store: ScrubbedStore,
        database: Remembering,
        held: HeldObjects,
        placements: KnownPlacements,
        holder: Completing,
        env: Env,
    ) -> None:
        self._me = me
        self._watched = watched
        self._store = store
        self._database = database
        self._held = held
        self._placements = placements
        self._holder = holder
        self._env = env
        self._scrubbed_to: Address | None = None
        self._next_folder = 0
        self._healed_s: float | None = None
        self._noticed: dict[Cid, None] = {}
        self.counts = UpkeepCounts()

    async def scrub(self) -> None:
        """Re-read and check the next few chunks."""
        result = await self._env.in_thread(self._store.scrub, self._scrubbed_to, SCRUB_CHUNKS)
        self._scrubbed_to = result.next
        self.counts.scrubbed += result.checked
        if result.corrupt:
            self.counts.corrupt += len(result.corrupt)
            self._watched.damaged = True

    async def heal(self) -> None:
        """Where something is damaged, or it has been long: complete every holding. Raises Unavailable when some could
        not be, so that it is tried again."""
        now_s = self._env.monotonic_s()
        due = self._healed_s is None or now_s - self._healed_s >= FULL_HEAL_EVERY_S
        if not (due or self._watched.damaged):
            await self._heal_noticed()
            return
        try:
            await self._heal_all()
        except BaseException:
            self._watched.damaged = True  # nothing is forgotten because a round was cut short
            raise
        self._healed_s = now_s

    async def _heal_all(self) -> None:
        self._watched.damaged = False
        failed = 0
        mine = await self._env.in_thread(lambda: [p.cid for p in self._placements.naming(self._me)])
        held = await self._env.in_thread(lambda: list(self._held.cids()))
        # Placements that name this node count as well: a crash may have come between a placement and its holding.
        cids = list(dict.fromkeys([*mine, *held]))
        for start in range(0, len(cids), _HEAL_BATCH):
            failed += await self._heal_some(cids[start : start + _HEAL_BATCH])
        if failed:
            raise Unavailable(f"{failed} objects held here lack pieces that cannot be fetched now")

    def noticed(self, cid: Cid) -> None:
        """A placement has come that may name this node: see in the next round that its share is here. It is, after
        an ordinary put; it is not, where the disk was replaced or the node missed being asked."""
        self._noticed[cid] = None

    async def _heal_noticed(self) -> None:
        while self._noticed:
            cids = list(self._noticed)[:_HEAL_BATCH]
            if await self._heal_some(cids):
                self._watched.damaged = True
            for cid in cids:
                self._noticed.pop(cid, None)

    async def _heal_some(self, cids: Sequence[Cid]) -> int:
        """How many of these objects still lack pieces."""
        known = await self._env.in_thread(lambda: [self._placements.known(cid) for cid in cids])
        placements = [placement for placement in known if placement is not None and self._me in placement.members]
        failed = 0
        for placement, state in zip(placements, await self._holder.take(placements), strict=True):
            if not state.completes(placement):
                healed = (await self._holder.complete(placement)).completes(placement)
                self.counts.healed += healed
                failed += not healed
        return failed

    async def orphans(self) -> None:
        """Bring one folder of chunk files and the index into line."""
        await self._env.in_thread(self._store.sweep_orphans, self._next_folder)
        self._next_folder = (self._next_folder + 1) % 256

    async def trim(self) -> None:
        """Give back the memory that moving chunks has left free, and what the database keeps of what it has read."""
        await self._env.in_thread(self._database.release_memory)
        await self._env.in_thread(self._env.release_memory)
