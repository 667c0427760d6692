"""Collection on whole nodes: what was removed goes everywhere and stays gone, what is referenced stays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from inos.core.errors import InosError, NotFound
from inos.core.ids import Cid
from inos.core.reports import PutOptions
from inos.objects.chunks import CHUNK_BYTES
from inos.objects.layout import COPIES
from inos.replication.placement import Placement
from inos.replication.scheme import PlanRules
from inos.sim.cluster import Cluster, ClusterSettings, fixed_bytes, open_cluster, stream
from inos.testing.run import sim_test

MIB = 1 << 20
DAY_S = 86_400.0
SOON = ClusterSettings(rules=PlanRules(erasure_from_bytes=3 * MIB), remove_delay_s=30)


def is_empty(cluster: Cluster) -> bool:
    return not any(node.chunks() for node in cluster.running())


@sim_test
async def test_what_is_removed_frees_its_space_everywhere_after_the_delay() -> None:
    async with open_cluster(7, SOON) as cluster:
        for number, size in enumerate((10_000, 2 * MIB, 4 * MIB)):
            await cluster.nodes[number].put(fixed_bytes(size, number), f"/f/{number}")
        await cluster.passes(20)  # until every node of the owner has the names
        await cluster.nodes[4].remove("/f")
        await cluster.passes(15)
        assert not is_empty(cluster)
        await cluster.until(lambda: is_empty(cluster), within_s=200)
        with pytest.raises(NotFound):
            await cluster.nodes[1].get("/f/0")


@sim_test
async def test_an_absent_node_does_not_bring_back_what_was_removed() -> None:
    async with open_cluster(4, SOON) as cluster:
        report = await cluster.nodes[0].put(fixed_bytes(2 * MIB, "gone"), "/gone")
        await cluster.passes(10)
        absent = cluster.nodes[2]
        await absent.crash()
        await cluster.nodes[1].remove("/gone")
        await cluster.until(lambda: is_empty(cluster), within_s=200)
        await absent.start()
        await cluster.until(lambda: is_empty(cluster), within_s=300)
        for node in cluster.nodes:
            with pytest.raises(NotFound):
                await node.get("/gone")
            with pytest.raises(InosError):
                await node.get(report.ref)


@sim_test
async def test_content_put_again_after_its_removal_stays() -> None:
    data = fixed_bytes(2 * MIB, "again")
    async with open_cluster(4, SOON) as cluster:
        first = await cluster.nodes[0].put(data, "/first")
        await cluster.nodes[0].remove("/first")
        await cluster.passes(20)
        second = await cluster.nodes[1].put(data, "/first")
        assert first.cid == second.cid
        await cluster.passes(300)
        assert cluster.survives(Cid.parse(second.cid)) == 3
        assert await cluster.nodes[3].get("/first") == data


@sim_test
async def test_a_node_that_missed_the_removal_may_put_the_content_again() -> None:
    async with open_cluster(4, SOON) as cluster:
        late = cluster.nodes[3]
        for number, data in enumerate((b"small", fixed_bytes(2 * MIB, "missed"))):
            name = f"/again{number}"
            report = await cluster.nodes[0].put(data, name)
            await cluster.passes(10)
            cluster.cut_off(late)
            await cluster.passes(10)
            await cluster.nodes[0].remove(name)
            cluster.fabric.heal()
            await cluster.until(lambda: len(late.core.meeting.view.alive_members()) == 4)
            again = await late.put(data, name)
            assert again.cid == report.cid
            await cluster.passes(200)
            assert cluster.survives(Cid.parse(again.cid)) == 3
            assert await cluster.nodes[1].get(name) == data


@sim_test
async def test_one_of_two_names_keeps_the_object() -> None:
    data = fixed_bytes(MIB + 5, "two names")
    async with open_cluster(3, SOON) as cluster:
        await cluster.nodes[0].put(data, "/a/file")
        await cluster.nodes[1].put(data, "/b/file")
        await cluster.nodes[2].remove("/a")
        await cluster.passes(200)
        assert await cluster.nodes[0].get("/b/file") == data


@sim_test
async def test_two_nodes_put_the_same_content_at_once() -> None:
    async with open_cluster(6, SOON) as cluster:
        for data in (b"the same", fixed_bytes(2 * MIB, "same")):
            async with trio.open_nursery() as nursery:
                for node in cluster.nodes[:3]:
                    nursery.start_soon(node.put, data, "/same")
            report = await cluster.nodes[0].put(data, "/same")
            await cluster.passes(200)
            assert cluster.survives(Cid.parse(report.cid)) == 4
            assert await cluster.nodes[5].get("/same") == data


@sim_test
async def test_what_an_interrupted_put_left_is_freed_after_the_grace() -> None:
    settings = ClusterSettings(remove_delay_s=60)
    async with open_cluster(3, settings) as cluster:
        kept = await cluster.nodes[1].put(fixed_bytes(MIB, "kept"), "/kept")

        async def never_ending() -> None:
            source = stream(fixed_bytes(13 * MIB, "left"))

            async def stuck() -> AsyncIterator[bytes]:
                async for block in source:
                    yield block
                await trio.sleep_forever()

            await cluster.nodes[0].core.keeping.vault.put(stuck(), PutOptions(name="/left", size=64 * MIB))

        with trio.move_on_after(20):
            await never_ending()
        await cluster.nodes[0].restart()
        left = sum(node.chunks() for node in cluster.nodes)
        assert left > 20
        await cluster.passes(120)
        for node in cluster.nodes:  # every start begins with a full collection; else there is one an hour
            await node.restart()
        await cluster.until(lambda: all(node.chunks() <= 2 for node in cluster.nodes), within_s=120)
        assert cluster.survives(Cid.parse(kept.cid)) == 2


@sim_test
async def test_setting_a_clock_loses_nothing() -> None:
    async with open_cluster(3, SOON) as cluster:
        node = cluster.nodes[0]
        contents = {f"/{number}": fixed_bytes(MIB + number, "clock", number) for number in range(4)}
        for (name, data), jump_s in zip(contents.items(), (2 * DAY_S, -5 * DAY_S, 9 * DAY_S, -DAY_S), strict=True):

            async def slowly(data: bytes = data, jump_s: float = jump_s) -> AsyncIterator[bytes]:
                yield data[:CHUNK_BYTES]
                await trio.sleep(40)
                node.env.skew_s += jump_s
                await trio.sleep(40)
                yield data[CHUNK_BYTES:]

            report = await node.core.keeping.vault.put(slowly(), PutOptions(name=name, size=len(data)))
            assert report.level == "quorum"
        await cluster.passes(300)
        for name, data in contents.items():
            assert await node.get(name) == data
            cid = Cid.parse((await node.core.keeping.vault.list(name, "", 1)).items[0].cid)
            assert cluster.survives(cid) == 2


@sim_test
async def test_nothing_is_freed_while_a_manifest_cannot_be_read() -> None:
    async with open_cluster(1, SOON) as cluster:
        node = cluster.nodes[0]
        report = await node.put(fixed_bytes(3 * MIB, "manifest"), "/m")
        cid = Cid.parse(report.cid)
        manifest = node.core.disk.chunks.get(cid.address)
        chunks = node.chunks()
        node.core.disk.chunks.remove_many([cid.address])
        await cluster.passes(100)
        await node.restart()
        await cluster.passes(30)
        assert node.chunks() == chunks - 1
        status = next(one for one in node.core.workers.statuses() if one.name == "collect")
        assert str(cid) in status.last_error
        node.core.disk.chunks.put_many([(cid.address, manifest)])
        assert await node.get("/m") == fixed_bytes(3 * MIB, "manifest")


@sim_test
async def test_a_placement_of_which_nobody_has_anything_keeps_nobody_from_freeing() -> None:
    """Whoever may write placements could fill the disks of the others for good."""
    async with open_cluster(3, SOON) as cluster:
        writer, other = cluster.nodes[:2]
        members = tuple(node.key for node in cluster.nodes)
        nothing = Placement(Cid(bytes(range(32))), writer.core.identity.owner, COPIES, 3, members, 1000)
        await writer.core.keeping.placements.found([nothing])
        await cluster.passes(60)
        assert all(node.core.keeping.book.holds(nothing.cid) for node in cluster.nodes)
        await other.put(fixed_bytes(3 * MIB, "freed"), "/freed")
        await cluster.passes(10)
        await other.remove("/freed")
        await cluster.until(lambda: is_empty(cluster), within_s=200)


@sim_test
async def test_an_object_named_elsewhere_while_it_was_removed_is_kept() -> None:
    settings = ClusterSettings(remove_delay_s=60)
    async with open_cluster(5, settings) as cluster:
        for number, data in enumerate((b"small", fixed_bytes(2 * MIB, "named twice"))):
            report = await cluster.nodes[0].put(data, f"/one/{number}")
            await cluster.passes(20)
            cluster.cut_off(cluster.nodes[4])
            await cluster.nodes[4].put(data, f"/two/{number}")
            await cluster.nodes[1].remove(f"/one/{number}")
            await cluster.passes(10)
            cluster.fabric.heal()
            await cluster.passes(300)
            assert cluster.survives(Cid.parse(report.cid)) == 4
            for node in cluster.nodes:
                assert await node.get(f"/two/{number}") == data
                with pytest.raises(NotFound):
                    await node.get(f"/one/{number}")


@sim_test
async def test_whoever_reads_it_by_name_takes_its_removal_back_at_once() -> None:
    """However long the delay, and before any collection asks."""
    async with open_cluster(5, ClusterSettings(remove_delay_s=3600)) as cluster:
        larger, smaller = cluster.nodes[:3], cluster.nodes[3:]
        await larger[0].put(b"small", "/one/x")
        await cluster.passes(20)
        for node in larger:
            for other in smaller:
                cluster.fabric.cut(node.peer, other.peer)
        await cluster.passes(10)
        await larger[1].put(b"small", "/two/x")
        for name in ("/note", "/note2"):  # so that the removal is the later one
            await smaller[0].put(b"note", name)
        await smaller[0].remove("/one/x")
        await cluster.passes(10)
        cluster.fabric.heal()
        await cluster.connected()
        await cluster.passes(5)
        for node in cluster.nodes:
            (item,) = (await node.core.keeping.vault.list("/two/x", "", 1)).items
            assert node.core.keeping.placements.removed(Cid.parse(item.cid))
        placement, *_ = await larger[1].core.keeping.vault.locate("/two/x")
        assert placement.members
        assert await smaller[0].get("/two/x") == b"small"


@sim_test
async def test_the_last_put_under_a_name_holds_wherever_it_was_made() -> None:
    async with open_cluster(7, SOON) as cluster:
        for turn in range(14):
            data = b"version %d" % turn
            assert (await cluster.nodes[turn % 7].put(data, "/name")).level == "replicated"
        await cluster.passes(60)
        for node in cluster.nodes:
            assert await node.get("/name") == b"version 13"


@sim_test
async def test_a_removal_that_came_just_before_a_crash_is_not_forgotten() -> None:
    async with open_cluster(3, SOON) as cluster:
        late = cluster.nodes[2]
        await cluster.nodes[0].put(b"soon gone", "/name")
        assert await late.get("/name") == b"soon gone"
        await cluster.nodes[0].remove("/name")
        await late.restart()
        with pytest.raises(NotFound):
            await late.get("/name")
        assert (await late.core.keeping.vault.list("", "", 10)).items == ()
