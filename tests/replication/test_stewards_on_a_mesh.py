"""Stewards that know nothing of their object: the others tell them, and redundancy comes back all the same."""

from __future__ import annotations

from inos.core.ids import Cid
from inos.replication.steward import steward_of
from inos.sim.cluster import Cluster, ClusterNode, fixed_bytes, open_cluster
from inos.testing.run import sim_test

MIB = 1 << 20


def steward(cluster: Cluster, cid: Cid) -> ClusterNode:
    placement = cluster.placement(cid)
    assert placement is not None
    key = steward_of(cid, placement.members, [node.key for node in cluster.nodes])
    return next(node for node in cluster.nodes if node.key == key)


@sim_test
async def test_a_steward_that_lost_its_disk_is_told() -> None:
    async with open_cluster(5) as cluster:
        reports = [await cluster.nodes[0].put(fixed_bytes(2 * MIB, number)) for number in range(6)]
        cids = [Cid.parse(report.cid) for report in reports]
        await cluster.passes(60)
        victim = max(cluster.nodes[1:], key=lambda node: sum(steward(cluster, cid) is node for cid in cids))
        assert any(steward(cluster, cid) is victim for cid in cids)
        await victim.crash()
        victim.lose_disk()
        await victim.start()
        await cluster.until(lambda: all(cluster.survives(cid) == 4 for cid in cids))


@sim_test
async def test_members_that_died_during_the_put_are_told() -> None:
    """Killed while still thought alive, the steward among them: placed, never asked, and back before repair begins."""
    async with open_cluster(5) as cluster:
        cids = []
        for number in range(6):
            victims = [cluster.nodes[1 + number % 4], cluster.nodes[1 + (number + 1) % 4]]
            for victim in victims:
                await victim.crash()
            report = await cluster.nodes[0].put(fixed_bytes(2 * MIB, number))
            cids.append(Cid.parse(report.cid))
            for victim in victims:
                await victim.start()
            await cluster.passes(60)
        await cluster.until(lambda: all(cluster.survives(cid) == 4 for cid in cids))
