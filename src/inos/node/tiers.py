"""The tiers of one node: how much of the disk its database (hot) and its chunk files (cold) take up, what is done when
that nears what they may, and what is kept beyond what is owed. The mesh is the archive. Decision 0009 says why.

    hot at 90 %    small chunks go to files from now on, old ones are moved there, the database gives pages back
    cold at 90 %   surplus goes, the least worthy first, down to 80 %
    cold at 100 %  writes are refused; what is owed is handed over to other members
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.ids import Cid
from inos.core.reports import TierReport
from inos.node.profiles import Quotas
from inos.replication.placement import Placement
from inos.replication.warm import Surplus, WarmRules, kept, used_again
from inos.store.database_care import PAGE_BYTES
from inos.store.local_objects import LocalObject

TIERS_EVERY_S: Final = 10.0
PRESSED_SHARE: Final = 0.9
EASED_SHARE: Final = 0.8
# Where nothing could go, collection looks for something again only now and then.
LOOK_AGAIN_S: Final = 60.0
# Chunks moved from the database to files in one step: a second on a slow disk.
DEMOTE_CHUNKS: Final = 256
_PAGE: Final = 1000


class Pressure(StrEnum):
    OK = "ok"
    PRESSED = "pressed"
    FULL = "full"


def pressure(used_bytes: int, quota_bytes: int, *, before: Pressure = Pressure.OK) -> Pressure:
    """How a tier stands; once pressed, it is so until it has eased."""
    if used_bytes >= quota_bytes:
        return Pressure.FULL
    limit = PRESSED_SHARE if before is Pressure.OK else EASED_SHARE
    return Pressure.PRESSED if used_bytes >= limit * quota_bytes else Pressure.OK


class PageRoom(Protocol):
    @property
    def pages(self) -> int: ...

    @property
    def free(self) -> int: ...


class TieredDisk(Protocol):
    """The disk of a node, as far as its tiers go. Calls block."""

    surplus_bytes: int

    def small_as_files(self, value: bool) -> None: ...

    def measure(self) -> None: ...

    def hot_bytes(self) -> int: ...

    def cold_bytes(self) -> int: ...

    def page_room(self) -> PageRoom: ...

    def demote(self, limit: int) -> object: ...


class Uses(Protocol):
    def get(self, cid: Cid) -> LocalObject | None: ...

    def page(self, after: Cid | None, limit: int, *, pinned: bool = False) -> list[LocalObject]: ...

    def used(self, uses: Mapping[Cid, tuple[int, float]]) -> None: ...

    def forget(self, cids: Sequence[Cid]) -> None: ...


class Placements(Protocol):
    def known(self, cid: Cid) -> Placement | None: ...


class Liveness(Protocol):
    def alive(self, member: bytes) -> bool: ...


class Shedding(Protocol):
    async def shed(self, excess_bytes: int) -> int: ...


@dataclass(slots=True)
class _Tier:
    used_bytes: int = 0
    pressure: Pressure = Pressure.OK
    hits: int = 0


class Tiers:
    """The tiers worker of one node, and what collection asks it (`collect.Warmth`). `me` is its public key."""

    def __init__(
        self,
        me: bytes,
        disk: TieredDisk,
        quotas: Quotas,
        rules: WarmRules,
        uses: Uses,
        placements: Placements,
        view: Liveness,
        handover: Shedding,
        env: Env,
    ) -> None:
        self._me = me
        self._disk = disk
        self._quotas = quotas
        self._rules = rules
        self._uses = uses
        self._placements = placements
        self._view = view
        self._handover = handover
        self._env = env
        self._noted: dict[Cid, int] = {}
        self._writing: dict[Cid, int] = {}
        self._measured = False
        self._asked_s = -LOOK_AGAIN_S
        self._hot = _Tier()
        self._cold = _Tier()
        self.make_room: Callable[[], None] = lambda: None
        """Called when surplus is to go now: the collection worker's poke."""
        self._heard: list[Callable[[TierReport], None]] = []

    def on_change(self, heard: Callable[[TierReport], None]) -> None:
        """`heard` is told whenever a tier comes under pressure, fills up or eases."""
        self._heard.append(heard)

    # Use

    def note(self, cid: Cid) -> None:
        """An object was put or read here."""
        self._noted[cid] = self._noted.get(cid, 0) + 1

    def keeps_reads(self) -> bool:
        """Whether what is read from others is worth keeping here now."""
        return self._rules.keeps_reads and self._cold.pressure is Pressure.OK

    async def step(self) -> None:
        """Write down what was used, look at both tiers, and do what their pressure asks for."""
        self._writing, self._noted = self._noted, {}
        if self._writing:
            await self._env.in_thread(self._write_down, self._writing)
            self._writing = {}
        if not self._measured:
            await self._env.in_thread(self._disk.measure)
            self._measured = True
        await self._look()
        await self._ease_hot()
        await self._ease_cold()

    def _write_down(self, noted: Mapping[Cid, int]) -> None:
        now_s, uses = int(self._env.now_s()), {}
        for cid, count in noted.items():
            known = self._uses.get(cid)
            value = 0.0 if known is None else known.uses
            value = used_again(value, 0.0 if known is None else now_s - known.used_at_s) + count - 1
            uses[cid] = (now_s, value)
        self._uses.used(uses)

    # Pressure

    async def _look(self) -> None:
        hot_bytes, cold_bytes = await self._env.in_thread(lambda: (self._disk.hot_bytes(), self._disk.cold_bytes()))
        self._changed(self._hot, hot_bytes, self._quotas.hot_bytes, "hot")
        self._changed(self._cold, cold_bytes, self._quotas.cold_bytes, "cold")

    def _changed(self, tier: _Tier, used_bytes: int, quota_bytes: int, name: str) -> None:
        before, tier.used_bytes = tier.pressure, used_bytes
        tier.pressure = pressure(used_bytes, quota_bytes, before=before)
        tier.hits += tier.pressure is Pressure.FULL and before is not Pressure.FULL
        if tier.pressure is not before:
            for heard in self._heard:
                heard(next(report for report in self.reports() if report.name == name))

    async def _ease_hot(self) -> None:
        pressed = self._hot.pressure is not Pressure.OK
        self._disk.small_as_files(pressed)
        if pressed:
            room = await self._env.in_thread(self._disk.page_room)
            if (room.pages - room.free) * PAGE_BYTES > EASED_SHARE * self._quotas.hot_bytes:
                await self._env.in_thread(self._disk.demote, DEMOTE_CHUNKS)

    async def _ease_cold(self) -> None:
        if self._cold.pressure is Pressure.OK:
            return
        now_s = self._env.monotonic_s()
        if self._disk.surplus_bytes or now_s - self._asked_s >= LOOK_AGAIN_S:
            self._asked_s = now_s
            self.make_room()
        excess_bytes = self._cold.used_bytes - self._disk.surplus_bytes - self._quotas.cold_bytes
        if excess_bytes > 0:
            await self._handover.shed(excess_bytes)

    def hot_pressed(self) -> bool:
        """Whether the database is to give pages back."""
        return self._hot.pressure is not Pressure.OK

    def reports(self) -> list[TierReport]:
        """Both tiers, as they were last looked at."""
        return [
            self._report("hot", self._hot, self._quotas.hot_bytes, 0),
            self._report("cold", self._cold, self._quotas.cold_bytes, self._disk.surplus_bytes),
        ]

    def _report(self, name: str, tier: _Tier, quota_bytes: int, surplus_bytes: int) -> TierReport:
        return TierReport(name, tier.used_bytes, quota_bytes, surplus_bytes, tier.pressure.value, tier.hits)

    # What collection asks

    def cids(self) -> Iterator[Cid]:
        after: Cid | None = None
        while page := self._uses.page(after, _PAGE):
            yield from (one.cid for one in page)
            after = page[-1].cid
        # Put or read a moment ago: not written down yet, and the last to be given up.
        yield from [*self._noted, *self._writing]

    def wants_room(self) -> bool:
        return self._cold.pressure is not Pressure.OK

    def kept(self, surplus_bytes: Mapping[Cid, int]) -> Collection[Cid]:
        surplus = {cid: self._surplus(cid, size) for cid, size in surplus_bytes.items()}
        room_bytes = None
        if self.wants_room():
            over_bytes = self._cold.used_bytes - int(EASED_SHARE * self._quotas.cold_bytes)
            room_bytes = max(0, sum(surplus_bytes.values()) - over_bytes)
        return kept(surplus, self._rules, room_bytes, self._env.now_s())

    def _surplus(self, cid: Cid, size_bytes: int) -> Surplus:
        one, placement = self._uses.get(cid), self._placements.known(cid)
        just_used = cid in self._noted or cid in self._writing
        members = () if placement is None else placement.members
        return Surplus(
            size_bytes=size_bytes,
            used_at_s=self._env.now_s() if just_used else 0.0 if one is None else one.used_at_s,
            uses=0.0 if one is None else one.uses,
            holders=sum(member != self._me and self._view.alive(member) for member in members),
            shards=placement is not None and not placement.scheme.is_copies,
            pinned=one is not None and one.pinned,
        )

    def settled(self, kept_bytes: int, gone: Sequence[Cid]) -> None:
        self._disk.surplus_bytes = kept_bytes
        self._uses.forget(gone)
