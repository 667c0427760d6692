"""Reading on a node that has only just started and is not connected to anybody yet."""

from __future__ import annotations

import pytest
import trio

from inos.core.errors import NotFound
from inos.sim.cluster import ClusterNode, fixed_bytes, open_cluster
from inos.testing.run import sim_test

DATA = fixed_bytes(300_000, "written meanwhile")


@sim_test
async def test_what_others_have_is_read_at_once() -> None:
    async with open_cluster(3) as cluster:
        late = cluster.nodes[2]
        await late.crash()
        report = await cluster.nodes[0].put(DATA, "/meanwhile")
        late.lose_disk()
        await late.start()
        assert await late.get(report.ref) == DATA


@sim_test
async def test_who_is_away_is_not_waited_for_long() -> None:
    async with open_cluster(3) as cluster:
        first, _, late = cluster.nodes
        report = await first.put(fixed_bytes(300_000, "gone"), "/gone")
        await late.crash()
        late.lose_disk()
        cluster.cut_off(late)
        await late.start()
        assert await _seconds_until_refused(late, report.ref) < 5
        assert await _seconds_until_refused(late, report.ref) < 5


async def _seconds_until_refused(node: ClusterNode, reference: str) -> float:
    began_s = trio.current_time()
    with pytest.raises(NotFound, match="no node that can be reached"):
        await node.get(reference)
    return trio.current_time() - began_s
