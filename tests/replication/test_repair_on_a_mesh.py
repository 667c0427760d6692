"""Repair on whole nodes: after every kind of loss redundancy comes back by itself, and what is not lost stays put."""

from __future__ import annotations

import pytest
import trio

from inos.core.errors import Unavailable
from inos.core.ids import Cid
from inos.replication.hold_calls import HOLD
from inos.replication.scheme import PlanRules
from inos.sim.cluster import Cluster, ClusterSettings, fixed_bytes, open_cluster
from inos.sim.frames import Frame, Kind
from inos.testing.run import sim_test

MIB = 1 << 20
STRIPES = ClusterSettings(rules=PlanRules(erasure_from_bytes=3 * MIB))


def moved(cluster: Cluster) -> int:
    return sum(node.core.keeping.repair.counts.moved for node in cluster.running())


async def put_some(cluster: Cluster) -> dict[Cid, tuple[str, bytes]]:
    """An inline, a copied and a striped object, put on different nodes: cid -> reference and content."""
    found = {}
    for number, size in enumerate((10_000, 2 * MIB, 6 * MIB)):
        data = fixed_bytes(size, "some", number)
        report = await cluster.nodes[number].put(data, f"/some/{number}")
        found[Cid.parse(report.cid)] = (report.ref, data)
    return found


async def check_readable(cluster: Cluster, objects: dict[Cid, tuple[str, bytes]]) -> None:
    for reference, data in objects.values():
        for node in cluster.running()[:3]:
            assert await node.get(reference) == data


@sim_test
async def test_one_loss_after_another_with_time_between() -> None:
    async with open_cluster(8, STRIPES) as cluster:
        objects = await put_some(cluster)
        wanted = {cid: cluster.survives(cid) for cid in objects}
        assert list(wanted.values()) == [4, 4, 2]
        for lost in (1, 5):
            await cluster.nodes[lost].crash()
            await check_readable(cluster, objects)
            await cluster.until(lambda: all(cluster.survives(cid) == wanted[cid] for cid in objects))
        await cluster.nodes[0].crash()  # five are left: as many copies as before, and six shards on five members
        await cluster.until(lambda: [cluster.survives(cid) for cid in objects] == [4, 4, 1])
        await check_readable(cluster, objects)


@sim_test
async def test_two_losses_at_once() -> None:
    async with open_cluster(7, STRIPES) as cluster:
        objects = await put_some(cluster)
        wanted = {cid: cluster.survives(cid) for cid in objects}
        victims = [node for node in cluster.nodes if node.number in (2, 4)]
        for node in victims:
            await node.crash()
        await check_readable(cluster, objects)
        await cluster.until(lambda: all(cluster.survives(cid) == wanted[cid] for cid in objects))
        await check_readable(cluster, objects)
        before = moved(cluster)
        for node in victims:
            await node.start()
        await cluster.passes(300)
        assert moved(cluster) == before
        assert all(cluster.survives(cid) == wanted[cid] for cid in objects)


@sim_test
async def test_small_objects_are_brought_back_together() -> None:
    async with open_cluster(7) as cluster:
        files = {f"/many/{number}": fixed_bytes(2_000 + 1_000 * number, "many", number) for number in range(160)}
        reports = [await cluster.nodes[0].put(data, name) for name, data in files.items()]
        cids = [Cid.parse(report.cid) for report in reports]
        holds: list[Frame] = []
        cluster.fabric.watch(
            lambda _at_s, frame: holds.append(frame) if frame.kind is Kind.REQUEST and frame.name == HOLD else None
        )
        before = moved(cluster)
        await cluster.nodes[3].crash()
        await cluster.until(lambda: all(cluster.survives(cid) == 4 for cid in cids))
        objects = moved(cluster) - before
        assert objects > 80
        assert len(holds) < objects  # one by one each object takes five
        for report, data in zip(reports, files.values(), strict=True):
            assert await cluster.nodes[5].get(report.ref) == data


@sim_test
async def test_a_blink_moves_nothing() -> None:
    async with open_cluster(6, STRIPES) as cluster:
        objects = await put_some(cluster)
        placements = {cid: cluster.placement(cid) for cid in objects}
        await cluster.passes(30)
        for number in (1, 3):
            await cluster.nodes[number].crash()
            await cluster.passes(20)
            await cluster.nodes[number].start()
            await cluster.passes(60)
        assert {cid: cluster.placement(cid) for cid in objects} == placements
        assert moved(cluster) == 0
        assert sum(node.core.keeping.repair.counts.waiting for node in cluster.nodes) == 0


@sim_test
async def test_a_node_back_with_an_empty_disk_is_filled_again() -> None:
    async with open_cluster(5, STRIPES) as cluster:
        objects = await put_some(cluster)
        await cluster.passes(60)
        victim = cluster.nodes[2]
        await victim.crash()
        victim.lose_disk()
        await victim.start()
        await cluster.until(lambda: all(cluster.survives(cid) == 4 for cid in objects))
        await check_readable(cluster, objects)


@sim_test
async def test_a_replaced_member_that_returns_gives_its_pieces_up_only_when_all_others_hold_theirs() -> None:
    settings = ClusterSettings(remove_delay_s=60)
    async with open_cluster(6, settings) as cluster:
        report = await cluster.nodes[0].put(fixed_bytes(2 * MIB, "returns"))
        cid = Cid.parse(report.cid)
        placement = cluster.placement(cid)
        assert placement is not None
        victim = next(node for node in cluster.holders(placement) if node.number)
        await victim.crash()
        await cluster.until(lambda: victim.key not in cluster.placement(cid).members)  # type: ignore[union-attr]
        await cluster.until(lambda: cluster.survives(cid) == 4)
        replaced = cluster.placement(cid)
        assert replaced is not None
        cut = next(node for node in cluster.holders(replaced) if node.number)
        cluster.cut_off(cut)
        await victim.start()
        await cluster.passes(25)
        assert victim.verified(placement).completes(placement)
        await cluster.passes(400)
        assert victim.verified(placement).completes(placement) or cluster.survives(cid) >= 4
        cluster.fabric.heal()
        await cluster.until(lambda: cluster.survives(cid) == 4)
        everywhere = [node for node in cluster.nodes if node.verified(placement).held]
        await cluster.until(
            lambda: sum(node.chunks() > 0 for node in cluster.nodes) == 5,
            within_s=1200,
        )
        assert len(everywhere) >= 5
        assert cluster.survives(cid) == 4


@sim_test
async def test_reading_goes_on_while_repair_moves_pieces() -> None:
    settings = ClusterSettings(rules=STRIPES.rules, repair_after_s=1, remove_delay_s=30)
    async with open_cluster(8, settings) as cluster:
        objects = await put_some(cluster)
        reads = 0

        async def read_on() -> None:
            nonlocal reads
            while True:
                await check_readable(cluster, objects)
                reads += 1
                await trio.sleep(2)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_on)
            for number in (6, 7):
                await cluster.nodes[number].crash()
                await cluster.passes(30)
                await cluster.nodes[number].start()
                await cluster.passes(30)
            nursery.cancel_scope.cancel()
        assert reads > 30


@sim_test
async def test_too_many_losses_are_said_and_healed_by_the_return_of_a_holder() -> None:
    data = fixed_bytes(6 * MIB, "many")
    async with open_cluster(7, STRIPES) as cluster:
        report = await cluster.nodes[0].put(data)
        cid = Cid.parse(report.cid)
        await cluster.passes(30)
        for node in cluster.nodes[:5]:
            await node.crash()
        await cluster.passes(10)
        assert cluster.survives(cid) == -1
        with pytest.raises(Unavailable):
            await cluster.nodes[5].get(report.ref)
        await cluster.passes(100)
        for node in cluster.nodes[1:4]:
            await node.start()
        await cluster.until(lambda: cluster.survives(cid) >= 1)
        assert await cluster.nodes[5].get(report.ref) == data
