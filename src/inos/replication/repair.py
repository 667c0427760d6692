"""Repair: bring every object this node is steward of back to what its placement asks for, the endangered ones first.

A round looks at the holdings of this node. An object needs work when its members or their liveness changed since it
was last seen whole, or when it was not whole. Work means: new members where some are gone, then `object.hold` to every
live member, which fetches or rebuilds what that member lacks, until all say that they hold all of their pieces.
Redundancy is only ever counted from those answers. Rounds are poked by liveness events, throttled by the number of
objects at work at once, and wait out the repair delay so that a node that blinks moves nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import trio

from inos.core.env import Env
from inos.core.errors import InosError, Unavailable
from inos.core.ids import Cid
from inos.replication.hold_caller import HoldCaller
from inos.replication.placement import Candidate, Placement
from inos.replication.placements import Written
from inos.replication.scheme import shards_needed
from inos.replication.steward import margin, members_wanted, steward_of

log = logging.getLogger(__name__)

PARALLEL_OBJECTS: Final = 3
ROUND_OBJECTS: Final = 256  # objects brought forward in one round, so that rounds stay short and priorities fresh


class PlacementBook(Protocol):
    """Placements this node knows."""

    def known(self, cid: Cid) -> Placement | None:
        """The current placement; None when unknown or removed."""

    async def publish(self, placement: Placement) -> Placement:
        """Sign and write new members for a known object; the placement as it was written."""

    def record_of(self, cid: Cid) -> bytes | None:
        """The encoded record of the current placement."""


class HeldObjects(Protocol):
    def cids(self) -> Iterator[Cid]:
        """Every object this node holds, in bounded pages."""


class MeshView(Protocol):
    def alive(self, member: bytes) -> bool: ...

    def alive_members(self) -> Sequence[bytes]: ...

    def gone(self, member: bytes) -> bool:
        """Failed for longer than the repair delay, or no member of the mesh any more."""

    def candidates(self) -> Sequence[Candidate]:
        """Live nodes that could take pieces, this one included."""


@dataclass(slots=True)
class RepairCounts:
    """Since the node started."""

    repaired: int = 0
    waiting: int = 0  # objects of the last round that are not whole
    under_replicated: int = 0  # of those, the ones for which there are too few nodes
    moved: int = 0


class Outcome(StrEnum):
    """How an object came out of a round."""

    WHOLE = "whole"
    SHORT = "short"  # as whole as the nodes there allow
    WAITING = "waiting"  # members that may be back any moment are away
    FAILED = "failed"  # to be tried again


@dataclass(frozen=True, slots=True)
class _Circumstances:
    """What must change before a settled object needs another look."""

    epoch: int
    live: frozenset[bytes]
    short: bool
    spare: int  # live nodes outside, counted only while the object is short of members


class Repair:
    """The repair worker of one node. `me` is its public key."""

    def __init__(
        self,
        me: bytes,
        book: PlacementBook,
        held: HeldObjects,
        holders: HoldCaller,
        view: MeshView,
        env: Env,
    ) -> None:
        self._me = me
        self._book = book
        self._held = held
        self._holders = holders
        self._view = view
        self._env = env
        self.counts = RepairCounts()
        self._settled: dict[Cid, _Circumstances] = {}

    async def step(self) -> None:
        """One round. Raises Unavailable when objects remain that could not be brought back though nodes are there."""
        alive = frozenset(self._view.alive_members())
        todo = await self._env.in_thread(self._todo, alive)
        limit = trio.CapacityLimiter(PARALLEL_OBJECTS)
        outcomes: list[Outcome] = []

        async def one(placement: Placement) -> None:
            async with limit:
                outcomes.append(await self._bring_back(placement, alive))

        async with trio.open_nursery() as nursery:
            for placement in todo[:ROUND_OBJECTS]:
                nursery.start_soon(one, placement)
        failed = outcomes.count(Outcome.FAILED)
        self.counts.repaired += outcomes.count(Outcome.WHOLE) + outcomes.count(Outcome.SHORT)
        self.counts.waiting = len(todo) - len(outcomes) + failed + outcomes.count(Outcome.WAITING)
        self.counts.under_replicated = sum(seen.short for seen in self._settled.values())
        if failed:
            raise Unavailable(f"{failed} objects are not whole yet; they are tried again")

    def _todo(self, alive: frozenset[bytes]) -> list[Placement]:
        """Placements in this node's care that need work now, closest to loss first. Blocks."""
        todo, held = [], set()
        for cid in self._held.cids():
            held.add(cid)
            placement = self._book.known(cid)
            if placement is None or steward_of(cid, placement.members, alive) != self._me:
                continue
            if self._settled.get(cid) == _circumstances(placement, alive) or self._only_blinking(placement, alive):
                continue
            todo.append(placement)
        for cid in [cid for cid in self._settled if cid not in held]:
            del self._settled[cid]
        return sorted(todo, key=lambda placement: (margin(placement, alive), placement.size, placement.cid))

    def _only_blinking(self, placement: Placement, alive: frozenset[bytes]) -> bool:
        """Some members are away and none of them long enough to be replaced: wait for them."""
        away = [member for member in placement.members if member not in alive]
        return bool(away) and not any(map(self._view.gone, away))

    async def _bring_back(self, placement: Placement, alive: frozenset[bytes]) -> Outcome:
        gone = {member for member in placement.members if self._view.gone(member)}
        members = members_wanted(placement, gone, self._view.candidates())
        try:
            if members != placement.members:
                placement = await self._book.publish(placement.moved(members))
                self.counts.moved += 1
            record = self._book.record_of(placement.cid)
            states = await self._holders.everywhere(Written(placement, record)) if record else {}
        except InosError as error:
            log.info("object %s is not brought back yet: %s", placement.cid, error)
            return Outcome.FAILED
        if not all(state.complete for state in states.values()):
            return Outcome.FAILED
        if any(member not in states for member in placement.members):
            return Outcome.WAITING
        seen = self._settled[placement.cid] = _circumstances(placement, alive)
        return Outcome.SHORT if seen.short else Outcome.WHOLE


def _circumstances(placement: Placement, alive: frozenset[bytes]) -> _Circumstances:
    short = len(placement.members) < shards_needed(placement.scheme, placement.copies)
    live = alive.intersection(placement.members)
    return _Circumstances(placement.epoch, live, short, len(alive) - len(live) if short else 0)
