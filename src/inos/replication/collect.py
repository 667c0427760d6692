"""Collection: freeing what nothing needs, never what something does.

A holding ends when its object was removed by the owner and the removal delay has passed, or when this node is no
longer among the members and all of them say that they hold their pieces. A chunk is freed when no holding needs it:
what is assigned to this node is needed, and so is every other piece of an object here until all members are known to
hold theirs. Then what is left of it, its surplus, goes at once or stays warm for a while (`warm.py`); objects that
were used here without being held are surplus altogether. Chunks stored or touched within the grace, or since the
oldest running put began, are left alone, because their holding may be on its way. While an object's manifest cannot be
read nobody knows its pieces: nothing is freed.

Ages on disk are wall-clock ages. When the wall clock was set, none is believed until a whole delay has passed since by
the clock that only goes forward.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from inos.core.env import FOREVER_S, Env
from inos.core.errors import InosError, Unavailable
from inos.core.ids import Address, Cid, PeerId
from inos.mesh.network import Calls
from inos.replication.hold_calls import call_states
from inos.replication.layout import Layout, assigned_to, read_layout
from inos.replication.placement import Placement

# Between full collections when nothing was dropped: frees what crashed or abandoned puts left.
FULL_EVERY_S: Final = 3600.0
FULL_AT_MOST_EVERY_S: Final = 10.0
# Grace where room is wanted: far longer than a chunk takes from its push to its hold.
ROOM_DELAY_S: Final = 60.0
_ASK_AT_ONCE: Final = 64
# Names reach every node of their owner in two or three rounds of anti-entropy.
_NAMES_COME_S: Final = 15.0
# Objects asked about in one round, one after another: a quorum read each, only in meshes where holders do not hear of
# every placement by themselves.
_ASK_ABOUT: Final = 32
# Clocks that are only slewed part by 30 ms in the minute between two looks.
_CLOCK_TOLERANCE_S: Final = 2.0


class Usage(Protocol):
    @property
    def chunks(self) -> int: ...

    @property
    def bytes(self) -> int: ...


class Mark(Protocol):
    def add(self, addresses: Sequence[Address]) -> None: ...

    def sweep(self, touched_before_s: float) -> Usage:
        """Free some unmarked chunks; nothing left when it freed none."""


class MarkingHome(Protocol):
    def get(self, address: Address) -> bytes: ...

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]: ...

    def begin_mark(self) -> Mark: ...


@dataclass(frozen=True, slots=True)
class HoldingRow:
    """A holding as the book keeps it. `dropped_at_s` is set once it is to end; `begun`, once its manifest was here."""

    cid: Cid
    dropped_at_s: float | None
    begun: bool


class HoldingBook(Protocol):
    def rows(self) -> Iterator[HoldingRow]: ...

    def drop(self, cid: Cid, at_s: float) -> None:
        """Note that the holding is to end."""

    def keep(self, cid: Cid) -> None:
        """Take that note back."""

    def remove(self, cids: Sequence[Cid]) -> None: ...


class PlacementBook(Protocol):
    def known(self, cid: Cid) -> Placement | None: ...

    def removed(self, cid: Cid) -> bool: ...

    async def refresh(self, cids: Sequence[Cid]) -> None:
        """Learn of changes, where this node does not hear of them by itself."""


class Liveness(Protocol):
    def alive(self, member: bytes) -> bool: ...


class Warmth(Protocol):
    """What this node keeps beyond what it owes."""

    def cids(self) -> Iterator[Cid]:
        """Objects used here, or pinned."""

    def wants_room(self) -> bool:
        """Whether surplus is to go now, not when it has been there for the delay."""

    def kept(self, surplus_bytes: Mapping[Cid, int]) -> Collection[Cid]:
        """Which of these objects keep their surplus."""

    def settled(self, kept_bytes: int, gone: Sequence[Cid]) -> None:
        """A collection has ended: surplus bytes that were kept although they could go, and objects of which nothing is
        left but what is owed."""


class Cold:
    """The Warmth of a node that keeps nothing beyond what it owes."""

    def cids(self) -> Iterator[Cid]:
        return iter(())

    def wants_room(self) -> bool:
        return False

    def kept(self, surplus_bytes: Mapping[Cid, int]) -> Collection[Cid]:
        del surplus_bytes
        return ()

    def settled(self, kept_bytes: int, gone: Sequence[Cid]) -> None:
        """Nothing to remember."""


@dataclass(slots=True)
class CollectCounts:
    """Since the node started."""

    dropped: int = 0
    evicted: int = 0
    freed_chunks: int = 0
    freed_bytes: int = 0


class ClockWatch:
    """Notices when the wall clock was set, or stood still beside the other clock, by looking at both now and then."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._offset_s = env.now_s() - env.monotonic_s()
        self._set_s: float | None = None

    def steady_s(self) -> float:
        """For how long both clocks have gone alike; infinite when they always did."""
        now_s = self._env.monotonic_s()
        offset_s = self._env.now_s() - now_s
        if abs(offset_s - self._offset_s) > _CLOCK_TOLERANCE_S:
            self._set_s = now_s
        self._offset_s = offset_s
        return FOREVER_S if self._set_s is None else now_s - self._set_s


class Collector:
    """The collection worker of one node. `me` is its public key; `busy_for_s` tells how long the oldest running put has
    been at it, 0 without any; `revive` takes back the removal of an object that is still wanted, and says whether;
    before `kept_until_s`, by the wall clock, nothing is freed: the holdings are not known again yet."""

    def __init__(
        self,
        me: bytes,
        home: MarkingHome,
        holdings: HoldingBook,
        placements: PlacementBook,
        calls: Calls,
        liveness: Liveness,
        env: Env,
        *,
        delay_s: float,
        busy_for_s: Callable[[], float],
        revive: Callable[[Cid], Awaitable[bool]],
        kept_until_s: float = 0.0,
        warmth: Warmth | None = None,
    ) -> None:
        self._me = me
        self._home = home
        self._holdings = holdings
        self._placements = placements
        self._calls = calls
        self._liveness = liveness
        self._env = env
        self._delay_s = delay_s
        self._busy_for_s = busy_for_s
        self._revive = revive
        self._kept_until_s = kept_until_s
        self._warmth = warmth or Cold()
        self._clock: ClockWatch | None = None
        self._last_full_s: float | None = None
        self._asked: Cid | None = None
        # Objects to look at: their placement has changed, or the last look left something to do.
        self._open: set[Cid] = set()
        self._looked_s: float | None = None
        self._removed_since_s: dict[Cid, float] = {}
        # Of objects that are removed: for how long, when it is asked next whether they are still wanted.
        self._ask_from_s: dict[Cid, float] = {}
        self.counts = CollectCounts()

    def noticed(self, cid: Cid) -> None:
        """This node's replica has another placement of the object than before, or its removal."""
        self._open.add(cid)

    async def step(self) -> None:
        """One round: end holdings that are due, then free what no holding needs. Raises Unavailable when it cannot be
        known what is needed."""
        if not self._ages_hold():
            return
        ended = await self._end_holdings()
        now_s = self._env.monotonic_s()
        waiting = self._last_full_s is not None and now_s - self._last_full_s < self._pause_s()
        if waiting and not ended and not self._warmth.wants_room():
            return
        if self._env.now_s() >= self._kept_until_s:
            await self._collect()
        self._last_full_s = now_s

    def _ages_hold(self) -> bool:
        """Whether ages of up to the delay, or of any running put, can be told by the wall clock."""
        self._clock = self._clock or ClockWatch(self._env)
        return self._clock.steady_s() >= max(self._delay_s, self._busy_for_s())

    def _pause_s(self) -> float:
        """Freed chunks must be older than the delay, so what was dropped or abandoned lately needs another look that
        much later; every holding is gone through for it, so not all the time."""
        return min(FULL_EVERY_S, max(FULL_AT_MOST_EVERY_S, 2 * self._delay_s))

    async def _end_holdings(self) -> int:
        now_s = self._env.now_s()
        due: list[Cid] = []
        rows = await self._env.in_thread(list, self._holdings.rows())
        await self._ask_about(rows)
        in_question = await self._in_question(rows)
        self._note_removals(in_question)
        self._ask_from_s = {row.cid: at_s for row in in_question if (at_s := self._ask_from_s.get(row.cid)) is not None}
        for row in in_question:
            ending = self._placements.removed(row.cid) or await self._handed_over(row.cid)
            if not ending:
                if row.dropped_at_s is not None:
                    await self._env.in_thread(self._holdings.keep, row.cid)
            elif row.dropped_at_s is None or now_s < row.dropped_at_s:
                await self._env.in_thread(self._holdings.drop, row.cid, now_s)
            elif await self._is_revived(row.cid, self._ending_for_s(row.cid, now_s - row.dropped_at_s)):
                await self._env.in_thread(self._holdings.keep, row.cid)
            elif self._ending_for_s(row.cid, now_s - row.dropped_at_s) >= self._delay_s:
                due.append(row.cid)
        if due:
            await self._env.in_thread(self._holdings.remove, due)
            self.counts.dropped += len(due)
        return len(due)

    def _note_removals(self, rows: Sequence[HoldingRow]) -> None:
        """Remember since when this node has known of the removals among `rows`."""
        now_s, before = self._env.monotonic_s(), self._removed_since_s
        removed = (row.cid for row in rows if self._placements.removed(row.cid))
        self._removed_since_s = {cid: before.get(cid, now_s) for cid in removed}

    def _ending_for_s(self, cid: Cid, dropped_for_s: float) -> float:
        """For how long the reason has been known for which a holding ends. One that was to end already, because others
        have the object, begins anew when the object is removed: the removal may be taken back."""
        since_s = self._removed_since_s.get(cid)
        return dropped_for_s if since_s is None else min(dropped_for_s, self._env.monotonic_s() - since_s)

    async def _in_question(self, rows: Sequence[HoldingRow]) -> list[HoldingRow]:
        """Those that end, are about to, or were to: nearly none of very many. All are looked at now and then, in other
        rounds only those of which something was heard: a look costs 0.1 ms."""
        now_s, before = self._env.monotonic_s(), frozenset(self._open)
        if self._looked_s is None or now_s - self._looked_s >= FULL_EVERY_S:
            self._looked_s = now_s
        else:
            rows = [row for row in rows if row.dropped_at_s is not None or row.cid in before]
        found = await self._env.in_thread(self._ending, rows)
        self._open = (self._open - before) | {row.cid for row in found}
        return found

    def _ending(self, rows: Sequence[HoldingRow]) -> list[HoldingRow]:
        """Blocks."""
        found = []
        for row in rows:
            placement = self._placements.known(row.cid)
            if row.dropped_at_s is not None or placement is None or self._me not in placement.members:
                found.append(row)
        return found

    async def _is_revived(self, cid: Cid, dropped_for_s: float) -> bool:
        """Whether the object's removal is taken back. Asked as soon as the removal of the names should have come, so
        that what is wanted is unreadable for no longer; again whenever twice as much time has passed, hence once in the
        second half of the delay, when every holder hears of it in time; and before the holding ends."""
        first_s = min(_NAMES_COME_S, self._delay_s / 2)
        if dropped_for_s < min(self._ask_from_s.get(cid, first_s), self._delay_s) or not self._placements.removed(cid):
            return False
        self._ask_from_s[cid] = 2 * dropped_for_s
        return await self._revive(cid)

    async def _ask_about(self, rows: Sequence[HoldingRow]) -> None:
        """Learn of removals and moves that only the replicas of an object's placement know: some objects each round,
        all of them in turn."""
        behind = [row.cid for row in rows if self._asked is None or row.cid > self._asked]
        await self._placements.refresh(behind[:_ASK_ABOUT])
        self._asked = behind[_ASK_ABOUT - 1] if len(behind) > _ASK_ABOUT else None

    async def _handed_over(self, cid: Cid) -> bool:
        placement = self._placements.known(cid)
        return placement is not None and self._me not in placement.members and await self._whole(placement)

    async def _whole(self, placement: Placement) -> bool:
        """Whether every other member says, now, that it holds all of its pieces."""
        answers: list[bool] = []

        async def ask(member: bytes) -> None:
            try:
                (state,) = await call_states(self._calls, PeerId.from_public_key(member), [placement.cid])
            except (InosError, ValueError):
                answers.append(False)
            else:
                answers.append(state.completes(placement))

        others = [member for member in placement.members if member != self._me]
        if not others or not all(map(self._liveness.alive, others)):
            return False
        for start in range(0, len(others), _ASK_AT_ONCE):
            async with trio.open_nursery() as nursery:
                for member in others[start : start + _ASK_AT_ONCE]:
                    nursery.start_soon(ask, member)
            if not all(answers):
                return False
        return True

    async def _collect(self) -> None:
        # What a put brings once the marking has begun is spared by the mark itself.
        # A push whose hold is on its way is only repeated when its chunks go, so the delay may be cut where room is
        # wanted; a put of this node's own relies on what it has stored.
        delay_s = min(self._delay_s, ROOM_DELAY_S) if self._warmth.wants_room() else self._delay_s
        before_s = self._env.now_s() - max(delay_s, self._busy_for_s())
        mark = await self._env.in_thread(self._home.begin_mark)
        held = {row.cid: row.begun for row in await self._env.in_thread(list, self._holdings.rows())}
        known = dict.fromkeys(await self._env.in_thread(list, self._warmth.cids()))
        used = [cid for cid in known if not self._placements.removed(cid)]
        surplus = await self._env.in_thread(self._surplus_bytes, used)
        warm = self._warmth.kept(surplus)
        gone: list[Cid] = []
        for cid in sorted({*held, *used}):
            placement = self._placements.known(cid)
            goes = placement is not None and cid not in warm and await self._may_go(placement, held=cid in held)
            if cid in surplus and (goes or not (surplus[cid] or cid in warm)):
                gone.append(cid)
            if cid in held:
                await self._env.in_thread(self._mark, mark, cid, placement if goes else None, held[cid])
            elif not goes:
                await self._env.in_thread(self._mark_used, mark, cid)
        # Of what is neither held nor has its manifest here there is nothing to look after.
        lost = [cid for cid in used if cid not in held and cid not in surplus and self._layout(cid) is None]
        self.counts.evicted += sum(surplus[cid] > 0 for cid in gone)
        self._warmth.settled(sum(size for cid, size in surplus.items() if cid not in gone), gone + lost)
        while self._ages_hold():
            freed = await self._env.in_thread(mark.sweep, before_s)
            if not freed.chunks:
                break
            self.counts.freed_chunks += freed.chunks
            self.counts.freed_bytes += freed.bytes

    async def _may_go(self, placement: Placement, *, held: bool) -> bool:
        """Whether there is surplus of an object here, and all of its members say now that they have their pieces."""
        if held and not await self._env.in_thread(self._has_surplus, placement):
            return False
        return await self._whole(placement)

    def _surplus_bytes(self, cids: Sequence[Cid]) -> dict[Cid, int]:
        """Bytes here of pieces of these objects that others are to keep; none of those whose manifest is not here.
        Blocks."""
        found: dict[Cid, int] = {}
        for cid in cids:
            placement, layout = self._placements.known(cid), self._layout(cid)
            if placement is not None and layout is not None:
                found[cid] = self._surplus_of(placement, layout)
        return found

    def _surplus_of(self, placement: Placement, layout: Layout) -> int:
        sizes: dict[Address, int] = {}
        try:
            for group in layout.groups(placement, self._home.get):
                mine = set(assigned_to(group, self._me))
                pieces = zip(group.addresses, group.sizes, strict=True)
                sizes.update({address: size for address, size in pieces if address not in mine})
        except InosError:
            return 0  # a page of it is not here: what there is of it cannot be told
        return sum(sizes[address] for address in self._home.present(list(sizes)))

    def _has_surplus(self, placement: Placement) -> bool:
        """Whether there are pieces of the object here that others are to keep. Blocks."""
        layout = self._layout(placement.cid)
        if layout is None or (self._me in placement.members and len(placement.members) <= placement.copies):
            return False
        return not layout.manifest.is_inline and self._surplus_of(placement, layout) > 0

    def _mark(self, mark: Mark, cid: Cid, placement: Placement | None, begun: bool) -> None:
        """Mark what this node needs of an object: what `placement` assigns to it, or every piece. Of one whose manifest
        never came nothing is here that would not be sent again: whoever may write placements could otherwise keep this
        node from freeing anything. Blocks."""
        mark.add([cid.address])
        layout = self._layout(cid)
        if layout is None:
            if self._placements.removed(cid) or not begun:
                return
            raise Unavailable(
                f"nothing can be freed: the manifest of object {cid} cannot be read on this node",
                hint="it is fetched from other members when they can be reached; or remove the object: inos rm",
            )
        mark.add(layout.manifest.pages)
        for page in layout.pages(self._home.get):
            if placement is None:
                for stripe in page.stripes():
                    mark.add(stripe.shards())
            else:
                groups = (group for _, group in layout.page_groups(placement, page))
                mark.add([address for group in groups for address in assigned_to(group, self._me)])

    def _mark_used(self, mark: Mark, cid: Cid) -> None:
        """Mark what there is of an object that is not held but used here. Blocks."""
        mark.add([cid.address])
        layout = self._layout(cid)
        if layout is None:
            return
        mark.add(layout.manifest.pages)
        with suppress(InosError):
            for page in layout.pages(self._home.get):
                for stripe in page.stripes():
                    mark.add(stripe.shards())

    def _layout(self, cid: Cid) -> Layout | None:
        try:
            return read_layout(cid, self._home.get)
        except InosError:
            return None
