"""Somebody who is no member and wants in: garbage, what members said before, and a hello that is somebody else's.

What it gets to see is looked at by `world.saw`: an answer to it that is neither an error nor from a method that is open
to strangers is a violation.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from inos.core.errors import InosError
from inos.core.ids import PeerId
from inos.crypto.derive import Keyring, MasterSecret
from inos.crypto.hashing import blake3_digest
from inos.mesh.network import Message
from inos.sim.cluster import ClusterNode
from inos.sim.network import address_of
from inos.sim.world import World

# Enough to meet every method some times over, not enough to be what a run spends its time on.
REQUESTS: Final = 60
GARBAGE_BYTES: Final = 200
_TIMEOUT_S: Final = 5.0


class Stranger:
    """One stranger at one machine's door."""

    def __init__(self, world: World, victim: ClusterNode) -> None:
        self._world = world
        self._victim = victim
        seed = world.chance.randbytes(32)
        key = Keyring(MasterSecret(blake3_digest(seed))).node_key(seed[:16])
        self.peer = PeerId.from_public_key(key.public_key)

    async def intrude(self) -> None:
        """Ask for everything, in every way, then go."""
        world, fabric = self._world, self._world.cluster.fabric
        world.strangers[self.peer] = None
        seat = fabric.join_hostile(self.peer, world.overheard_hello)
        try:
            with suppress(InosError):
                await seat.connect([address_of(self._victim.peer)], timeout_s=_TIMEOUT_S)
            for _ in range(REQUESTS):
                method, request = self._request()
                with suppress(InosError):
                    await seat.send(self._victim.peer, method, request, timeout_s=_TIMEOUT_S)
        finally:
            fabric.stop(self.peer)

    def _request(self) -> tuple[str, Message]:
        """Something a member said, or garbage for one of the methods."""
        chance, overheard = self._world.chance, self._world.overheard
        if not overheard:
            return "mesh.hello", Message(chance.randbytes(GARBAGE_BYTES))
        method = chance.choice(list(overheard))
        if chance.random() < 0.5:
            return method, overheard[method]
        return method, Message(
            chance.randbytes(chance.randrange(GARBAGE_BYTES)), chance.randbytes(chance.randrange(GARBAGE_BYTES))
        )
