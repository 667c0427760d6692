"""Handing objects over to other members, where a node has more to keep than it may.

What a node owes cannot be evicted. It asks for other members in its place, by the same record that repair writes, has
them hold the object, and goes on holding it itself until all of them say that they do (`collect.py` sees to that). An
object for which there is nobody else stays: full is better than lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.errors import InosError
from inos.core.ids import Cid
from inos.replication.hold_caller import HoldCaller
from inos.replication.placement import Candidate, Placement
from inos.replication.placements import Written
from inos.replication.scheme import shards_needed
from inos.replication.steward import members_wanted

log = logging.getLogger(__name__)

# Objects a round: others are asked to fetch each of them.
OBJECTS_A_ROUND: Final = 4


class PlacementBook(Protocol):
    def known(self, cid: Cid) -> Placement | None: ...

    async def publish(self, placements: Sequence[Placement]) -> list[Written]: ...


class HeldObjects(Protocol):
    def cids(self) -> Iterator[Cid]:
        """Every object held."""


class MeshView(Protocol):
    def candidates(self) -> Sequence[Candidate]: ...


@dataclass(slots=True)
class HandoverCounts:
    """Since the node started."""

    handed_over: int = 0


def share_bytes(placement: Placement) -> int:
    """About what one member keeps of an object."""
    scheme, members = placement.scheme, len(placement.members)
    if scheme.is_copies:
        return placement.size * min(placement.copies, members) // members
    shards = scheme.data_shards + scheme.parity_shards
    return placement.size * shards // (scheme.data_shards * members)


def chosen(sizes: Mapping[Cid, int], excess_bytes: int) -> list[Cid]:
    """Which objects to hand over so that at least `excess_bytes` go, as few as will do: the largest first."""
    found: list[Cid] = []
    for cid in sorted(sizes, key=lambda cid: (-sizes[cid], cid)):
        if excess_bytes <= 0 or len(found) >= OBJECTS_A_ROUND:
            break
        found.append(cid)
        excess_bytes -= sizes[cid]
    return found


class Handover:
    """Hands objects over for one node. `me` is its public key."""

    def __init__(
        self, me: bytes, book: PlacementBook, held: HeldObjects, holders: HoldCaller, view: MeshView, env: Env
    ) -> None:
        self._me = me
        self._book = book
        self._held = held
        self._holders = holders
        self._view = view
        self._env = env
        self.counts = HandoverCounts()

    async def shed(self, excess_bytes: int) -> int:
        """Hand some objects over, of about `excess_bytes` together; the bytes that will go. What was handed over before
        and is not freed yet counts."""
        mine, leaving_bytes = await self._env.in_thread(self._shares)
        for cid in chosen(mine, excess_bytes - leaving_bytes):
            try:
                if await self._hand_over(cid):
                    self.counts.handed_over += 1
                    leaving_bytes += mine[cid]
            except InosError as error:
                log.info("object %s is not handed over: %s", cid, error)
        return leaving_bytes

    def _shares(self) -> tuple[dict[Cid, int], int]:
        """The bytes of each object that this node owes, and of those it no longer does and still has. Blocks."""
        mine: dict[Cid, int] = {}
        leaving_bytes = 0
        for cid in self._held.cids():
            placement = self._book.known(cid)
            if placement is None:
                continue
            if self._me in placement.members:
                mine[cid] = share_bytes(placement)
            else:
                leaving_bytes += share_bytes(placement)
        return mine, leaving_bytes

    async def _hand_over(self, cid: Cid) -> bool:
        placement = await self._env.in_thread(self._book.known, cid)
        if placement is None:
            return False
        others = [candidate for candidate in self._view.candidates() if candidate.key != self._me]
        members = members_wanted(placement, {self._me}, others)
        needed = shards_needed(placement.scheme, placement.copies)
        if len(members) < min(needed, len(placement.members)):
            return False
        for written in await self._book.publish([placement.moved(members)]):
            await self._holders.everywhere(written)
            return True
        return False  # its placement has changed meanwhile
