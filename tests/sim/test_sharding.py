"""What one node keeps of a fixed number of objects falls as the mesh grows (decision 0012)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.replication.placement import TABLE as PLACEMENT
from inos.sim.cluster import ClusterNode, ClusterSettings, fixed_bytes, open_cluster
from inos.state.sectors import replica_count
from inos.testing.run import sim_test
from inos.vault.catalogue import TABLE as CATALOGUE

KIB: Final = 1 << 10
OBJECTS: Final = 40
SIZE: Final = 12 * KIB
SETTINGS: Final = ClusterSettings(tick_s=0.01)


@dataclass(frozen=True)
class Share:
    """What the nodes keep: records of placements, of names, rows of chunks and their bytes, on average and at most."""

    placements: float
    most_placements: int
    names: int
    chunk_bytes: float
    most_chunk_bytes: int


async def shares(nodes: int) -> Share:
    """Node 0 puts all objects; the others belong to somebody else each."""
    async with open_cluster(1, SETTINGS) as cluster:
        for owner in range(1, nodes):
            await cluster.add(owner=owner)
        await cluster.connected()
        for number in range(OBJECTS):
            await cluster.nodes[0].put(fixed_bytes(SIZE, number), f"/{number}")
        await cluster.passes(60)
        placements = [count(node, PLACEMENT) for node in cluster.nodes]
        names = [count(node, CATALOGUE) for node in cluster.nodes]
        sizes = [node.core.disk.chunks.usage().bytes for node in cluster.nodes]
        assert names[0] == OBJECTS
        return Share(
            sum(placements) / nodes, max(placements), sum(1 for each in names if each), sum(sizes) / nodes, max(sizes)
        )


def count(node: ClusterNode, table: str) -> int:
    return len(node.core.disk.records.scan(table, b"", b"", 10_000))


@sim_test
async def test_what_a_node_keeps_falls_as_the_mesh_grows() -> None:
    small, large = await shares(5), await shares(24)
    assert small.placements == OBJECTS and small.chunk_bytes == small.most_chunk_bytes
    assert large.chunk_bytes <= small.chunk_bytes * 5 / 24 * 1.05
    # On the seven replicas of a sector, and on the five that hold the object; up to 20 members everybody has them all.
    assert large.placements <= OBJECTS * (replica_count(24) + 5) / 24
    # The names of one owner are one sector: on its replicas, and on the nodes of the owner.
    assert large.names <= replica_count(24) + 1
