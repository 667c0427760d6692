"""A name given on two nodes at once stands for one content, and the other goes; what never had a name stays."""

from __future__ import annotations

import pytest
import trio

from inos.core.errors import Conflict
from inos.core.ids import Cid
from inos.sim.cluster import Cluster, ClusterNode, open_cluster
from inos.state.record import Record
from inos.testing.run import sim_test
from inos.vault.namer import FINISH_EVERY_S

ROUNDS = 6


async def settled(cluster: Cluster) -> None:
    await cluster.passes(3 * FINISH_EVERY_S)


async def nameless(node: ClusterNode) -> list[str]:
    return [item.cid for item in (await node.core.keeping.vault.list_nameless("", 1000)).items]


async def same_everywhere(cluster: Cluster, name: str) -> bytes:
    (content,) = {await node.get(name) for node in cluster.nodes}
    return content


@pytest.mark.parametrize("count", [3, 5])
def test_a_name_given_on_two_nodes_at_once_leaves_one_content(count: int) -> None:
    @sim_test
    async def run() -> None:
        async with open_cluster(count) as cluster:
            a, b = cluster.nodes[:2]
            kept = Cid.parse((await a.put(b"never named")).cid)
            for number in range(ROUNDS):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(a.put, b"%d of a" % number, "/state")
                    nursery.start_soon(b.put, b"%d of b" % number, "/state")
            await settled(cluster)
            assert [await nameless(node) for node in cluster.nodes] == [[str(kept)]] * count
            assert (await same_everywhere(cluster, "/state"))[:1] == b"%d" % (ROUNDS - 1)

    run()


@sim_test
async def test_a_name_given_on_two_sides_of_a_cut_leaves_one_content() -> None:
    async with open_cluster(3) as cluster:
        a, _, c = cluster.nodes
        await a.put(b"before", "/state")
        cluster.cut_off(c)
        await a.put(b"here", "/state")
        await c.put(b"there", "/state")
        await c.put(b"there again", "/state")
        await settled(cluster)
        cluster.fabric.heal()
        await cluster.connected()
        await settled(cluster)
        await settled(cluster)
        assert await same_everywhere(cluster, "/state") in (b"here", b"there again")
        assert [await nameless(node) for node in cluster.nodes] == [[]] * 3


@sim_test
async def test_what_is_stored_for_a_name_that_it_cannot_have_is_removed() -> None:
    async with open_cluster(3) as cluster:
        node, refused = cluster.nodes[0], []

        async def put(name: str) -> None:
            try:
                await node.put(name.encode(), name)
            except Conflict:
                refused.append(name)

        async with trio.open_nursery() as nursery:
            for name in ("/a", "/a/b", "/a/b/c"):
                nursery.start_soon(put, name)
        await settled(cluster)
        assert refused
        assert [await nameless(each) for each in cluster.nodes] == [[]] * 3


@sim_test
async def test_a_name_that_cannot_be_read_here_keeps_its_object() -> None:
    """A newer release may write entries that this one does not know."""
    async with open_cluster(3) as cluster:
        a, b, _ = cluster.nodes
        await a.put(b"content", "/name")
        await settled(cluster)
        for node in (a, b):
            node.core.keeping.catalogue._entry = _unreadable  # type: ignore[method-assign, assignment]
        await cluster.nodes[2].put(b"content", "/name")
        await settled(cluster)
        await settled(cluster)
        assert await cluster.nodes[2].get("/name") == b"content"
        cid = Cid.parse((await cluster.nodes[2].put(b"content", "/name")).cid)
        assert not any(node.core.keeping.placements.removed(cid) for node in cluster.nodes)


def _unreadable(_record: Record) -> None:
    return None


@sim_test
async def test_a_content_that_comes_back_under_its_name_stays() -> None:
    """Two contents take turns, on two nodes: what lost a round ago may stand for the name now."""
    async with open_cluster(3) as cluster:
        a, b, _ = cluster.nodes
        for number in range(12):
            await (a, b)[number % 2].put((b"one", b"two", b"three")[number % 3], "/state")
            await cluster.passes(FINISH_EVERY_S / 4)
        await settled(cluster)
        assert await same_everywhere(cluster, "/state") == b"three"
        assert [await nameless(node) for node in cluster.nodes] == [[]] * 3
