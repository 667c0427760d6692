"""Tiers and quotas on whole nodes: what is kept beyond what is owed, what goes when room is wanted, what never does."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from inos.core.errors import StorageFull
from inos.core.ids import Cid
from inos.core.reports import TierReport
from inos.node.tiers import Pressure, pressure
from inos.replication import pins
from inos.replication.warm import WarmRules
from inos.sim.cluster import Cluster, ClusterNode, ClusterSettings, fixed_bytes, open_cluster
from inos.testing.run import sim_test

MIB = 1 << 20
# The day after which light nodes let go; nine nodes that idle for a simulated day take real minutes. Several rounds of
# everything that could let go earlier: 10 s for tiers, at most 60 s for collecting.
UNUSED_S = 300.0
LIGHT = ClusterSettings(remove_delay_s=60, warm=WarmRules(UNUSED_S))
DEDICATED = replace(LIGHT, warm=WarmRules(None, keeps_reads=True))


def mesh(nodes: int, settings: ClusterSettings) -> AbstractAsyncContextManager[Cluster]:
    return open_cluster(nodes, settings)


async def put(node: ClusterNode, label: str, mib: int = 6) -> bytes:
    """An object of which the node that put it owes a part only, where there are more nodes than copies."""
    data = fixed_bytes(mib * MIB, label)
    await node.put(data, f"/{label}")
    return data


def cold(node: ClusterNode) -> TierReport:
    return next(tier for tier in node.core.keeping.tiers.reports() if tier.name == "cold")


def test_pressure_comes_at_nine_tenths_and_goes_at_eight() -> None:
    assert pressure(89, 100) is Pressure.OK and pressure(90, 100) is Pressure.PRESSED
    assert pressure(100, 100) is Pressure.FULL
    assert pressure(80, 100, before=Pressure.FULL) is Pressure.PRESSED
    assert pressure(79, 100, before=Pressure.PRESSED) is Pressure.OK


@sim_test
async def test_surplus_goes_some_time_after_its_last_use() -> None:
    async with mesh(9, LIGHT) as cluster:
        await cluster.connected()
        node = cluster.nodes[0]
        data = await put(node, "used")
        await cluster.passes(UNUSED_S / 2)
        full = node.chunks()
        assert full == 7, "six chunks and their manifest"
        assert await node.get("/used") == data
        await cluster.passes(UNUSED_S * 0.6)
        assert node.chunks() == full, "it was used not long ago"
        await cluster.until(lambda: node.chunks() < full, within_s=UNUSED_S)
        assert await node.get("/used") == data
        assert node.core.keeping.collector.counts.evicted == 1


@sim_test
async def test_surplus_goes_at_once_where_room_is_wanted_the_least_worthy_first() -> None:
    async with mesh(9, replace(DEDICATED, quota_bytes=40 * MIB)) as cluster:
        await cluster.connected()
        node = cluster.nodes[0]
        heard: list[TierReport] = []
        node.core.keeping.tiers.on_change(heard.append)
        for number in range(5):
            await put(node, f"a{number}")
            await cluster.passes(30)
        for _ in range(3):
            await node.get("/a0")  # popular, though old
        assert not heard
        await put(node, "last", 7)
        await cluster.until(lambda: cold(node).used_bytes < 36 * MIB and len(heard) >= 2, within_s=600)
        assert [report.state for report in heard[:2]] == ["pressed", "ok"]
        for name in ("/a0", "/last", "/a1"):
            assert len(await node.get(name)) >= 6 * MIB
        local = node.core.disk.local
        kept = {one.cid for one in local.page(None, 100)}
        named = {item.name: item.cid for item in (await node.core.keeping.vault.list("", "", 100)).items}
        assert named["/a0"] in set(map(str, kept)) and named["/last"] in set(map(str, kept))


@sim_test
async def test_the_last_known_copy_stays_whatever_the_quota_says() -> None:
    async with mesh(9, replace(LIGHT, warm=WarmRules(0.0), quota_bytes=8 * MIB)) as cluster:
        await cluster.connected()
        node = cluster.nodes[0]
        cluster.cut_off(node)
        await cluster.passes(20)
        data = fixed_bytes(6 * MIB, "alone")
        assert (await node.put(data, "/alone")).level == "local"
        await node.put(fixed_bytes(MIB, "more"), "/more")
        with pytest.raises(StorageFull):
            await node.put(fixed_bytes(4 * MIB, "too much"), "/none")
        await cluster.passes(UNUSED_S)
        assert await node.get("/alone") == data
        cluster.fabric.heal()
        await cluster.connected()
        await cluster.passes(300)
        assert await cluster.nodes[5].get("/alone") == data
        assert await node.get("/alone") == data


@sim_test
async def test_a_node_with_more_than_it_may_have_hands_over_what_it_owes() -> None:
    async with mesh(7, replace(LIGHT, warm=WarmRules(0.0))) as cluster:
        await cluster.connected()
        node = cluster.nodes[0]
        for number in range(6):
            await node.put(fixed_bytes(2 * MIB, number), f"/{number}")
        await cluster.passes(UNUSED_S)
        owed = cold(node).used_bytes
        assert owed > 8 * MIB
        await node.crash()
        node.quota_bytes = 5 * MIB
        await node.start()
        await cluster.connected()
        await cluster.until(lambda: node.core.keeping.handover.counts.handed_over > 0)
        await cluster.until(lambda: cold(node).used_bytes < 5 * MIB, within_s=3600)
        assert cold(node).hits == 1
        for number in range(6):
            assert await node.get(f"/{number}") == fixed_bytes(2 * MIB, number)
        named = (await node.core.keeping.vault.list("", "", 100)).items
        cids = [Cid.parse(item.cid) for item in named]
        await cluster.until(lambda: all(cluster.survives(cid) >= 4 for cid in cids))


@sim_test
async def test_a_dedicated_node_keeps_what_it_reads() -> None:
    async with mesh(9, DEDICATED) as cluster:
        await cluster.connected()
        data = await put(cluster.nodes[0], "read")
        reader = next(node for node in cluster.nodes[1:] if node.chunks() < 7)
        before = reader.chunks()
        assert await reader.get("/read") == data
        assert reader.chunks() > before
        await cluster.passes(UNUSED_S)
        assert reader.chunks() >= 6, "nobody wanted the room"


@sim_test
async def test_a_full_database_moves_small_chunks_into_files() -> None:
    async with mesh(1, replace(LIGHT, quota_bytes=4 * MIB)) as cluster:
        node = cluster.nodes[0]
        data = {f"/{number}": fixed_bytes(50_000, number) for number in range(70)}
        for name, content in data.items():
            await node.put(content, name)
        await cluster.passes(600)
        hot = node.core.keeping.tiers.reports()[0]
        assert hot.used_bytes < 4 * MIB and node.core.disk.chunks.cold_bytes() > 0
        assert {name: await node.get(name) for name in data} == data
        await node.restart()
        assert {name: await node.get(name) for name in data} == data
        assert node.core.disk.chunks.rebuild_index().deleted == 0


@sim_test
async def test_what_is_pinned_comes_here_and_stays() -> None:
    async with mesh(9, replace(LIGHT, quota_bytes=20 * MIB, warm=WarmRules(0.0))) as cluster:
        await cluster.connected()
        data = await put(cluster.nodes[0], "pinned")
        await cluster.passes(5)
        node = next(node for node in cluster.nodes[1:] if node.chunks() < 7)
        cids = await node.core.keeping.vault.objects_of("/pinned")
        assert await node.core.keeping.pinning.pin(cids, True) == 1
        assert await node.core.keeping.pinning.pin(cids, True) == 0
        await cluster.until(lambda: node.chunks() >= 7)
        await node.restart()
        await cluster.connected()
        await cluster.passes(300)
        assert node.chunks() >= 7
        cluster.cut_off(node)
        await cluster.passes(20)
        assert await node.get("/pinned") == data
        cluster.fabric.heal()
        await cluster.connected()
        await node.core.keeping.pinning.pin(cids, False)
        await cluster.until(lambda: node.chunks() < 7)
        assert await node.get("/pinned") == data


@sim_test
async def test_what_is_pinned_and_damaged_is_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "LOOK_AGAIN_S", 60.0)
    async with mesh(9, replace(LIGHT, quota_bytes=20 * MIB)) as cluster:
        await cluster.connected()
        data = await put(cluster.nodes[0], "pinned")
        await cluster.passes(5)
        node = next(node for node in cluster.nodes[1:] if node.chunks() < 7)
        cids = await node.core.keeping.vault.objects_of("/pinned")
        await node.core.keeping.pinning.pin(cids, True)
        await cluster.until(lambda: node.chunks() >= 7)
        placement = cluster.placement(cids[0])
        assert placement is not None
        owed = cluster.assigned(placement, node.key)  # of which a read would keep what it fetches
        groups = cluster.groups(placement)
        kept = [each for group in groups for each in group.addresses if each not in owed and each != cids[0].address]
        assert node.rot(kept[:1], 1) == 1
        assert await node.get("/pinned") == data  # which notices it
        assert node.chunks() == 6
        await cluster.until(lambda: node.chunks() >= 7)


@sim_test
async def test_a_pin_goes_with_its_object() -> None:
    async with mesh(3, LIGHT) as cluster:
        await cluster.connected()
        node = cluster.nodes[1]
        await put(cluster.nodes[0], "gone")
        await cluster.passes(10)
        await node.core.keeping.pinning.pin(await node.core.keeping.vault.objects_of("/gone"), True)
        await node.remove("/gone")
        await cluster.until(lambda: node.chunks() == 0)
        assert await node.core.keeping.pinning.page(None, 10) == []
