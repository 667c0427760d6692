"""Repair: bring every object this node is steward of back to what its placement asks for, the endangered ones first.

A round looks at the holdings of this node. An object needs work when its members or their liveness changed since it
was last seen whole, or when it was not whole. Work means: new members where some are gone, then `object.hold` to every
live member, which fetches or rebuilds what that member lacks, until all say that they hold all of their pieces.
Redundancy is only ever counted from those answers. A steward that knows nothing of its object (it was away when it
became a member, or has lost its disk) is told by the others that hold it. Rounds are poked by liveness events,
throttled by the number of objects at work at once, and wait out the repair delay so that a node that blinks moves
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import trio

from inos.core.env import Env
from inos.core.errors import Conflict, InosError, StorageFull, Unavailable
from inos.core.ids import Cid
from inos.core.worker import Backoff
from inos.replication.hold_caller import HoldCaller, States
from inos.replication.hold_calls import HoldRequest
from inos.replication.placement import Candidate, Placement
from inos.replication.placements import Written
from inos.replication.scheme import shards_needed
from inos.replication.steward import margin, members_wanted, steward_of

log = logging.getLogger(__name__)

PARALLEL_OBJECTS: Final = 3
TELL_EVERY_S: Final = 60.0
# One object's failures: soon at first, because members are often just starting; then every few minutes.
_PATIENCE: Final = Backoff(2.0, 300.0)
TELL_LOOK: Final = 1024  # objects looked at for it each time, so that a large put is followed by no burst of work
TELL_OBJECTS: Final = 128  # in one call to a steward: well under its limit, and one synced write there
SMALL_BYTES: Final = 1 << 20  # above it a call for an object by itself costs little beside its bytes
ROUND_OBJECTS: Final = 256  # objects brought forward in one round, so that rounds stay short and priorities fresh


def _is_small(placement: Placement) -> bool:
    return placement.scheme.is_copies and placement.size <= SMALL_BYTES


class PlacementBook(Protocol):
    """Placements this node knows."""

    def known(self, cid: Cid) -> Placement | None:
        """The current placement; None when unknown or removed."""

    async def publish(self, placements: Sequence[Placement]) -> list[Written]:
        """Sign and write new members for known objects; those as they were written that have not changed meanwhile."""

    def record_of(self, cid: Cid) -> bytes | None:
        """The encoded record of the current placement."""


class HeldObjects(Protocol):
    def cids(self) -> Iterator[Cid]:
        """Every object this node holds, in bounded pages."""

    def holds(self, cid: Cid) -> bool: ...

    def take_changed(self) -> list[Cid]:
        """Objects whose holding or placement has changed since this was last asked."""


class MeshView(Protocol):
    def alive_members(self) -> Sequence[bytes]: ...

    def gone(self, member: bytes) -> bool:
        """Failed for longer than the repair delay, or no member of the mesh any more."""

    def members(self) -> Mapping[bytes, float]: ...

    def gone_members(self) -> frozenset[bytes]:
        """The members of the mesh that are gone."""

    def meetings(self, members: Collection[bytes]) -> int:
        """How often this node has connected with these, all together."""

    def candidates(self) -> Sequence[Candidate]:
        """Live nodes that could take pieces, this one included."""

    def members_with_room(self) -> frozenset[bytes]:
        """Those of the candidates that are not full."""


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
class _Sight:
    """Who was there when a round began. Its decisions rest on that alone: what changes while it works, which may take
    minutes, must look like a change to the next round."""

    alive: frozenset[bytes]
    room: frozenset[bytes]  # live nodes that can take pieces
    met: Mapping[bytes, int]  # how often this node has connected with each live one


@dataclass(frozen=True, slots=True)
class _Circumstances:
    """What must change before a settled object needs another look."""

    epoch: int
    live: frozenset[bytes]
    short: bool
    spare: frozenset[bytes]  # nodes outside with room, looked at only while the object is short of members
    meetings: int  # with its live members: one that was away may be back without its disk


@dataclass(slots=True)
class _Trouble:
    """An object that could not be brought back: when to try again, unless other nodes are there by then."""

    failures: int = 0
    not_before_s: float = 0.0
    alive: frozenset[bytes] = frozenset()

    def again(self, now_s: float, alive: frozenset[bytes]) -> None:
        self.failures = self.failures + 1 if alive == self.alive else 1
        self.alive = alive
        self.not_before_s = now_s + _PATIENCE.delay_s(self.failures)


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
        # The hash of what was seen then: a tenth of its size, and there are as many as objects.
        self._settled: dict[Cid, int] = {}
        self._short: set[Cid] = set()
        self._troubled: dict[Cid, _Trouble] = {}
        self._told: dict[Cid, tuple[bytes, int, int]] = {}  # how each object's steward was told
        self._mesh: object = None  # who was there when all objects were looked at
        self._open: list[Cid] = []  # what was left to do then, or has come up since
        self._untold: list[Cid] = []  # whose steward is still to be told
        self._tell_at_s = 0.0

    async def step(self) -> None:
        """One round. Raises Unavailable when objects remain that could not be brought back though nodes are there."""
        sight = self._look()
        mesh = (frozenset(self._view.members()), sight, self._view.gone_members())
        changed = mesh != self._mesh
        tell = changed or self._env.monotonic_s() >= self._tell_at_s
        self._open += self._held.take_changed() + (self._untold[:TELL_LOOK] if tell else [])
        if not changed and not self._open:
            return
        if changed or tell:
            self._untold = [] if changed else self._untold[TELL_LOOK:]
        some = None if changed else list(dict.fromkeys(self._open))
        todo, others = await self._env.in_thread(self._todo, sight, some)
        # Kept until it is done: a round that fails in the middle, on a full disk say, forgets nothing.
        self._mesh, self._open = mesh, [placement.cid for placement in todo]
        await self._tell(others, now=tell)
        round_ = [placement for placement in todo if self._is_due(placement.cid, sight.alive)][:ROUND_OBJECTS]
        outcomes = await self._work_on(round_, sight)
        settled = {cid for cid, outcome in outcomes.items() if outcome in (Outcome.WHOLE, Outcome.SHORT)}
        self._open = [cid for cid in self._open if cid not in settled]
        self.counts.repaired += len(settled)
        self.counts.waiting = len(todo) - len(settled)
        self.counts.under_replicated = len(self._short)
        failed = list(outcomes.values()).count(Outcome.FAILED)
        if failed:
            raise Unavailable(f"{failed} objects are not whole yet; they are tried again")

    async def _work_on(self, placements: Sequence[Placement], sight: _Sight) -> dict[Cid, Outcome]:
        """Bring these back, a few at a time; first of all see which of them are whole already."""
        outcomes = dict.fromkeys(await self._glance(placements, sight), Outcome.WHOLE)
        small = [one for one in placements if one.cid not in outcomes and _is_small(one)]
        outcomes |= await self._bring_back_together(small, sight)
        limit = trio.CapacityLimiter(PARALLEL_OBJECTS)

        async def one(placement: Placement) -> None:
            async with limit:
                outcome = await self._bring_back(placement.cid, sight)
            outcomes[placement.cid] = outcome
            if outcome in (Outcome.WHOLE, Outcome.SHORT):
                self._troubled.pop(placement.cid, None)
            else:
                self._troubled.setdefault(placement.cid, _Trouble()).again(self._env.monotonic_s(), sight.alive)

        async with trio.open_nursery() as nursery:
            for placement in placements:
                if placement.cid not in outcomes:
                    nursery.start_soon(one, placement)
        return outcomes

    def _is_due(self, cid: Cid, alive: frozenset[bytes]) -> bool:
        """An object that keeps failing must not hold up the others."""
        trouble = self._troubled.get(cid)
        return trouble is None or alive != trouble.alive or self._env.monotonic_s() >= trouble.not_before_s

    def _todo(self, sight: _Sight, some: Sequence[Cid] | None) -> tuple[list[Placement], list[tuple[bytes, Placement]]]:
        """Placements in this node's care that need work, closest to loss first; and those in the care of others that
        may not know of it, with the steward of each. Looks at everything held, or at `some`, because looking at all
        costs 0.1 ms an object. Blocks."""
        alive = sight.alive
        todo, others, held = [], [], set()
        for cid in self._held.cids() if some is None else some:
            held.add(cid)
            placement = self._book.known(cid)
            if placement is None or (self._me not in placement.members and not self._held.holds(cid)):
                continue
            if not self._in_my_care(placement, alive):
                steward = steward_of(cid, placement.members, alive)
                if steward is not None and self._told.get(cid) != self._telling(steward, placement):
                    others.append((steward, placement))
                continue
            if self._is_settled(placement, sight) or self._only_blinking(placement, alive):
                continue
            todo.append(placement)
        if some is None:
            self._settled = {cid: seen for cid, seen in self._settled.items() if cid in held}
            self._short &= held
            self._troubled = {cid: trouble for cid, trouble in self._troubled.items() if cid in held}
            self._told = {cid: told for cid, told in self._told.items() if cid in held}
        todo.sort(key=lambda placement: (margin(placement, alive), placement.size, placement.cid))
        return todo, others

    async def _tell(self, others: Sequence[tuple[bytes, Placement]], *, now: bool) -> None:
        """Tell stewards now, or when the time has come: after an ordinary put they know already."""
        untold = [placement.cid for _, placement in others]
        if not now:
            self._untold = list(dict.fromkeys([*self._untold, *untold]))
            return
        later, self._untold = self._untold, [*untold, *self._untold]
        self._tell_at_s = self._env.monotonic_s() + TELL_EVERY_S
        if await self._tell_stewards(others):
            self._untold = later

    async def _tell_stewards(self, others: Sequence[tuple[bytes, Placement]]) -> bool:
        """See to it that these stewards have their objects among their holdings; what they lack they fetch by
        themselves. Whether all of them do now."""
        batches: dict[bytes, list[Placement]] = {}
        for steward, placement in others:
            batch = batches.setdefault(steward, [])
            if len(batch) < TELL_OBJECTS:
                batch.append(placement)
        told = 0
        for steward, placements in batches.items():
            records = await self._env.in_thread(
                lambda some: [self._book.record_of(one.cid) for one in some], placements
            )
            pairs = [(one, record) for one, record in zip(placements, records, strict=True) if record]
            requests = [HoldRequest(record, (), fetch=False) for _, record in pairs]
            states = await self._holders.batch_at(steward, requests)
            for (placement, _), state in zip(pairs, states, strict=False):
                if state.epoch == placement.epoch:
                    self._told[placement.cid] = self._telling(steward, placement)
                    told += 1
        return told == len(others)

    def _telling(self, steward: bytes, placement: Placement) -> tuple[bytes, int, int]:
        """What makes telling a steward of an object unlike the last time; it may have lost its disk while away."""
        return steward, placement.epoch, self._view.meetings((steward,))

    def _look(self) -> _Sight:
        alive = frozenset(self._view.alive_members())
        return _Sight(alive, self._view.members_with_room(), {node: self._view.meetings((node,)) for node in alive})

    def _in_my_care(self, placement: Placement, alive: frozenset[bytes]) -> bool:
        """As its steward; or, when all of its members are gone, as somebody who still has pieces of it."""
        steward = steward_of(placement.cid, placement.members, alive)
        return steward == self._me or (steward is None and all(map(self._view.gone, placement.members)))

    def _only_blinking(self, placement: Placement, alive: frozenset[bytes]) -> bool:
        """Some members are away and none of them long enough to be replaced: wait for them."""
        away = [member for member in placement.members if member not in alive]
        return bool(away) and not any(map(self._view.gone, away))

    async def _glance(self, placements: Sequence[Placement], sight: _Sight) -> set[Cid]:
        """Objects that are whole as they are, from one question to each member for all of them."""
        plain = [placement for placement in placements if sight.alive.issuperset(placement.members)]
        states = await self._holders.states(plain)
        whole = set()
        for placement in plain:
            answers = [states.get((member, placement.cid)) for member in placement.members]
            short = self._circumstances(placement, sight).short
            if not short and all(state is not None and state.completes(placement) for state in answers):
                self._settle(placement, sight)
                whole.add(placement.cid)
        return whole

    async def _bring_back_together(self, placements: Sequence[Placement], sight: _Sight) -> dict[Cid, Outcome]:
        """Those of these small objects that could be brought back with one write of all their placements and a call or
        two to each member. What did not come out whole is not among them: it is looked at by itself."""
        staying: list[Placement] = []
        moving: list[Placement] = []
        for placement in placements:
            gone = {member for member in placement.members if self._view.gone(member)}
            members = self._others(placement, gone) or (self._me,)
            (staying if members == placement.members else moving).append(placement.moved(members))
        try:
            written = await self._moved(moving) + await self._env.in_thread(self._as_written, staying)
            answers = await self._holders.many(written, [()] * len(written))
        except InosError as error:
            log.info("%d small objects are looked at one by one: %s", len(placements), error)
            return {}
        outcomes: dict[Cid, Outcome] = {}
        for placement, states in zip((entry.placement for entry in written), answers, strict=True):
            if all(member in states and states[member].completes(placement) for member in placement.members):
                outcomes[placement.cid] = self._settle(placement, sight)
        return outcomes

    def _as_written(self, placements: Sequence[Placement]) -> list[Written]:
        """Blocks."""
        records = ((placement, self._book.record_of(placement.cid)) for placement in placements)
        return [Written(placement, record) for placement, record in records if record]

    async def _bring_back(self, cid: Cid, sight: _Sight) -> Outcome:
        """From the placement as it is now: a round may have taken minutes to get here."""
        placement = await self._env.in_thread(self._book.known, cid)
        if placement is None:
            return Outcome.WHOLE  # removed meanwhile
        gone = {member for member in placement.members if self._view.gone(member)}
        try:
            placement, states = await self._hold_on(placement, gone)
            full = {member for member, state in states.items() if state.error == StorageFull.code}
            if full and len(self._others(placement, gone | full)) >= len(placement.members):
                placement, states = await self._hold_on(placement, gone | full)
        except InosError as error:
            log.info("object %s is not brought back yet: %s", cid, error)
            return Outcome.FAILED
        if not states or not all(state.completes(placement) for state in states.values()):
            return Outcome.FAILED
        if any(member not in states for member in placement.members):
            return Outcome.WAITING
        return self._settle(placement, sight)

    async def _hold_on(self, placement: Placement, without: Collection[bytes]) -> tuple[Placement, States]:
        """Hold the object on its members, those in `without` replaced as far as there are others."""
        members = self._others(placement, without) or (self._me,)
        if members == placement.members:
            record = await self._env.in_thread(self._book.record_of, placement.cid)
            return placement, await self._holders.everywhere(Written(placement, record)) if record else {}
        written = await self._moved([placement.moved(members)])
        if not written:
            raise Conflict(f"the placement of {placement.cid} has changed meanwhile")
        return written[0].placement, await self._holders.everywhere(written[0])

    async def _moved(self, placements: Sequence[Placement]) -> list[Written]:
        """Publish these; those of them that were written."""
        written = await self._book.publish(placements)
        self.counts.moved += len(written)
        return written

    def _others(self, placement: Placement, without: Collection[bytes]) -> tuple[bytes, ...]:
        """The members the object should have when those in `without` cannot be."""
        candidates = [candidate for candidate in self._view.candidates() if candidate.key not in without]
        return members_wanted(placement, without, candidates)

    def _settle(self, placement: Placement, sight: _Sight) -> Outcome:
        """Note that the object is as whole as it can be now."""
        seen = self._circumstances(placement, sight)
        self._settled[placement.cid] = hash(seen)
        if not seen.short:
            self._short.discard(placement.cid)
            return Outcome.WHOLE
        self._short.add(placement.cid)
        return Outcome.SHORT

    def _is_settled(self, placement: Placement, sight: _Sight) -> bool:
        return self._settled.get(placement.cid) == hash(self._circumstances(placement, sight))

    def _circumstances(self, placement: Placement, sight: _Sight) -> _Circumstances:
        short = len(placement.members) < shards_needed(placement.scheme, placement.copies)
        live = sight.alive.intersection(placement.members)
        spare = sight.room.difference(placement.members) if short else frozenset()
        return _Circumstances(placement.epoch, live, short, spare, sum(sight.met[member] for member in live))
