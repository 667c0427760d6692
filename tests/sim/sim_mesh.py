"""A few members on one fabric, for tests of the simulated network."""

from __future__ import annotations

from itertools import combinations

import trio

from inos.core.errors import InosError
from inos.core.ids import PeerId
from inos.mesh.network import Message
from inos.sim.fabric import MemoryFabric
from inos.sim.network import MemoryNetwork
from inos.testing.env import SimEnv
from inos.testing.roster import Roster, RosterAdmission, echo

LATENCY_S = 0.01


def peer(number: int) -> PeerId:
    return PeerId.from_public_key(number.to_bytes(32, "big"))


class Town:
    """`count` members that serve `echo`, all connected with each other."""

    def __init__(self, count: int, *, seed: int = 0, jitter_s: float = 0.0, tick_s: float = 0.0) -> None:
        self.fabric = MemoryFabric(SimEnv(seed), latency_s=LATENCY_S, jitter_s=jitter_s, tick_s=tick_s)
        self.roster = Roster()
        self.nodes = [self.join(peer(number)) for number in range(1, count + 1)]

    def join(self, me: PeerId) -> MemoryNetwork:
        self.roster.members.add(me)
        node = self.fabric.join(me, RosterAdmission(me, self.roster))
        node.serve("echo", echo)
        return node

    async def connect(self) -> Town:
        for a, b in combinations(self.nodes, 2):
            await a.connect(b.addresses(), timeout_s=5)
        return self


async def took_s(a: MemoryNetwork, b: MemoryNetwork, size_bytes: int = 0, timeout_s: float = 60) -> float | None:
    """How long an echo of so many bytes takes; None when none comes."""
    start_s = trio.current_time()
    try:
        await a.call(b.me, "echo", Message(b"", bytes(size_bytes)), timeout_s=timeout_s)
    except InosError:
        return None
    return trio.current_time() - start_s
