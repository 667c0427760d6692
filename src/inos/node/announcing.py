"""Telling the directory what this node has: a hint for whoever cannot reach the replicas of an object's placement.

Objects and the mesh itself are announced, never chunks: one announcement costs a walk through the DHT, some 35 ms of
processor time in a small mesh. Each object is announced by its steward, a little at a time, and again before it
expires.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.ids import Cid, MeshId
from inos.replication.placement import Placement
from inos.replication.steward import steward_of

# One at a time: 0.2 % of a core. A hint for rare cases need not be quick.
ANNOUNCE_EVERY_S: Final = 20.0
# Kademlia keeps a provider for a day or two.
_AGAIN_AFTER_S: Final = 12 * 3600.0


class Directory(Protocol):
    async def announce(self, key: bytes) -> None: ...


class HeldObjects(Protocol):
    def cids(self) -> Iterator[Cid]: ...


class KnownPlacements(Protocol):
    def known(self, cid: Cid) -> Placement | None: ...


class MeshView(Protocol):
    @property
    def me(self) -> bytes: ...

    def alive_members(self) -> Collection[bytes]: ...


class Announcer:
    """The announcing worker of one node."""

    def __init__(
        self,
        mesh: MeshId,
        directory: Directory,
        held: HeldObjects,
        placements: KnownPlacements,
        view: MeshView,
        env: Env,
    ) -> None:
        self._mesh = mesh
        self._directory = directory
        self._held = held
        self._placements = placements
        self._view = view
        self._env = env
        self._announced_s: dict[bytes, float] = {}
        self._queue: Iterator[Cid] = iter(())

    async def step(self) -> None:
        """Announce one thing that is due, if anything is and anybody is there to tell."""
        if len(self._view.alive_members()) < 2:
            return
        key = bytes(self._mesh) if self._due(bytes(self._mesh)) else await self._env.in_thread(self._next_object)
        if key is not None:
            await self._directory.announce(key)
            self._announced_s[key] = self._env.monotonic_s()

    def _due(self, key: bytes) -> bool:
        last_s = self._announced_s.get(key)
        return last_s is None or self._env.monotonic_s() - last_s >= _AGAIN_AFTER_S

    def _next_object(self) -> bytes | None:
        """The next object in this node's care that is due; None at the end of a round over all of them. Blocks."""
        alive = frozenset(self._view.alive_members())
        for cid in self._queue:
            placement = self._placements.known(cid)
            if placement is None:
                self._announced_s.pop(bytes(cid), None)
            elif self._due(bytes(cid)) and steward_of(cid, placement.members, alive) == self._view.me:
                return bytes(cid)
        self._queue = self._held.cids()
        return None
