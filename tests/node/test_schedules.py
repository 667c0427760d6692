"""Random schedules on whole nodes: whatever is put, removed, crashed, cut off and restarted in whatever order, every
acknowledged name leads to its content in the end, what was removed is gone, and its space is free."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from inos.core.errors import InosError, NotFound
from inos.core.ids import Cid
from inos.replication.scheme import PlanRules
from inos.sim.cluster import Cluster, ClusterNode, ClusterSettings, fixed_bytes, open_cluster
from inos.testing.run import sim_test

MIB = 1 << 20
SETTINGS = ClusterSettings(rules=PlanRules(erasure_from_bytes=2 * MIB), repair_after_s=10, remove_delay_s=60)
CONTENTS = [
    b"",
    b"one",
    fixed_bytes(70_000, "a"),
    fixed_bytes(MIB + 1, "b"),
    fixed_bytes(2 * MIB + 9, "c"),
    fixed_bytes(70_000, "d"),
]


class User:
    """Somebody who puts the same few contents under ever new names, and removes some, on any node; and remembers what
    was acknowledged."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self._cluster = cluster
        self._chance = chance
        self._count = 0
        self.there: dict[str, bytes] = {}
        self.removed: set[str] = set()

    async def act(self) -> None:
        node = self._chance.choice(self._cluster.running())
        try:
            with trio.fail_after(60):
                if self._chance.random() < 0.6 or not self.there:
                    await self._put(node)
                else:
                    await self._remove(node, self._chance.choice(sorted(self.there)))
        except InosError:
            return  # it may or may not have happened

    async def _put(self, node: ClusterNode) -> None:
        self._count += 1
        name, data = f"/{self._count}/name", self._chance.choice(CONTENTS)
        await node.put(data, name, sized=self._chance.random() < 0.5)
        self.there[name] = data

    async def _remove(self, node: ClusterNode, name: str) -> None:
        data = self.there.pop(name)
        try:
            await node.remove(name)
            self.removed.add(name)
        except NotFound:
            self.there[name] = data  # the node has not heard of it yet


async def weather(cluster: Cluster, chance: random.Random) -> None:
    """One node at a time crashes in the middle of anything, or is cut off, for a moment or longer."""
    while True:
        await trio.sleep(chance.uniform(0.05, 15))
        node = chance.choice(cluster.nodes)
        if chance.random() < 0.3:
            cluster.cut_off(node)
            await trio.sleep(chance.uniform(0.1, 8))
            cluster.fabric.heal()
        else:
            await node.crash(power_lost=chance.random() < 0.7)
            await trio.sleep(chance.choice([0.0, 1.0, 12.0, 40.0]))
            await node.start()


def is_whole(cluster: Cluster, cids: list[Cid]) -> Callable[[], bool]:
    return lambda: all(cluster.survives(cid) >= 2 for cid in cids)


async def check(cluster: Cluster, user: User) -> None:
    for node in cluster.nodes:
        for name, data in user.there.items():
            assert await node.get(name) == data, f"{name} on node {node.number}"
        for name in user.removed:
            with pytest.raises(NotFound):
                await node.get(name)


def unwanted(cluster: Cluster) -> int:
    """Chunks on any disk that belong to no object there is. A put that failed may leave an object without a name."""
    cids = {cid for node in cluster.running() for cid in node.core.keeping.book.cids()}
    placements = [placement for cid in cids if (placement := cluster.placement(cid)) is not None]
    wanted = {address for placement in placements for group in cluster.groups(placement) for address in group.addresses}
    return sum(address not in wanted for node in cluster.running() for address in node.core.disk.chunks.addresses())


async def cids_named(node: ClusterNode) -> list[Cid]:
    page = await node.core.keeping.vault.list("", "", 100)
    return [Cid.parse(item.cid) for item in page.items]


@pytest.mark.parametrize("seed", range(3))
def test_nothing_acknowledged_is_lost(seed: int) -> None:
    @sim_test
    async def run() -> None:
        async with open_cluster(6, replace(SETTINGS, seed=seed)) as cluster:
            chance = random.Random(seed)
            user = User(cluster, chance)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(weather, cluster, chance)
                for _ in range(40):
                    await user.act()
                    await cluster.passes(chance.choice([0.0, 0.01, 1.0, 10.0]))
                nursery.cancel_scope.cancel()
            cluster.fabric.heal()
            for node in cluster.nodes:
                if not node.running:
                    await node.start()
            await cluster.connected()
            await cluster.passes(60)
            await check(cluster, user)
            cids = await cids_named(cluster.nodes[0])
            await cluster.until(is_whole(cluster, cids))
            await cluster.until(lambda: not unwanted(cluster))
            await check(cluster, user)

    run()
