"""Pins of one node: noted at once, made good in the background, dropped with the object they are on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.ids import Cid
from inos.store.local_objects import LocalObject

PINS_EVERY_S: Final = 60.0
_PAGE: Final = 1000


class Local(Protocol):
    def page(self, after: Cid | None, limit: int, *, pinned: bool = False) -> list[LocalObject]: ...

    def pin(self, cid: Cid, pinned: bool, now_s: float) -> bool: ...


class Placements(Protocol):
    def removed(self, cid: Cid) -> bool: ...


class Completing(Protocol):
    async def complete(self, cids: Sequence[Cid]) -> None: ...


class Pinning:
    """Pins and their worker."""

    def __init__(self, local: Local, pins: Completing, placements: Placements, env: Env) -> None:
        self._local = local
        self._pins = pins
        self._placements = placements
        self._env = env
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to fetch: the worker's poke."""

    async def pin(self, cids: Sequence[Cid], pinned: bool) -> int:
        """Pin these or let go of them; how many that changed. Noted durably when it returns."""
        changed = await self._env.in_thread(self._note, cids, pinned)
        if pinned and changed:
            self.wake()
        return changed

    def _note(self, cids: Sequence[Cid], pinned: bool) -> int:
        return sum(self._local.pin(cid, pinned, self._env.now_s()) for cid in cids)

    async def page(self, after: Cid | None, limit: int) -> list[Cid]:
        """Pinned objects, in order of cid."""
        found = await self._env.in_thread(lambda: self._local.page(after, limit, pinned=True))
        return [one.cid for one in found]

    async def step(self) -> None:
        """Bring here what is missing of pinned objects. Raises Unavailable or StorageFull when some stays away."""
        cids: list[Cid] = []
        while page := await self.page(cids[-1] if cids else None, _PAGE):
            cids += page
        removed = [cid for cid in cids if self._placements.removed(cid)]
        await self._env.in_thread(self._note, removed, False)
        await self._pins.complete([cid for cid in cids if cid not in removed])
