"""A mesh in which not everybody is linked to everybody: objects on all of it, losses that only witnesses see."""

from __future__ import annotations

from inos.core.ids import Cid
from inos.mesh.links import FULL_MESH
from inos.replication.scheme import PlanRules
from inos.sim.cluster import ClusterSettings, fixed_bytes, open_cluster
from inos.testing.run import sim_test

KIB = 1 << 10
SETTINGS = ClusterSettings(rules=PlanRules(erasure_from_bytes=100 * KIB, chunk_bytes=KIB), tick_s=0.01)


@sim_test
async def test_an_object_is_put_on_members_without_a_link_and_outlives_their_loss() -> None:
    data = fixed_bytes(400 * KIB, "wide")
    async with open_cluster(FULL_MESH + 4, SETTINGS) as cluster:
        owner, reader = cluster.nodes[0], cluster.nodes[-1]
        await cluster.passes(10)
        report = await owner.put(data, "/wide")
        assert report.level == "replicated" and report.members == len(cluster.nodes)
        cid = Cid.parse(report.cid)
        linked = owner.core.network.connected()
        unlinked = [node for node in cluster.nodes[1:-1] if node.peer not in owner.core.meeting.links.targets()]
        assert len(linked) > 40 and len(unlinked) > 20
        lost = unlinked[:3]
        for node in lost:
            await node.crash()
        assert await reader.get(report.ref) == data

        def whole() -> bool:
            placement = cluster.placement(cid)
            assert placement is not None
            gone = {node.key for node in lost}
            return not gone & set(placement.members) and cluster.survives(cid) >= report.survives - len(lost)

        await cluster.until(whole)
        await cluster.passes(90)
        assert len(owner.core.network.connected()) < len(linked)  # parted from whom it had no more to say
        assert (
            not owner.core.meeting.links.watched()
            & {node.peer for node in unlinked[3:]} - owner.core.network.connected()
        )
        assert await reader.get(report.ref) == data
