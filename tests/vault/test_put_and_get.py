"""Putting and getting on a whole mesh: every size class, what is acknowledged, and every way a stream can end early."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
import trio

from inos.core.errors import NotEnoughNodes, NotFound, StorageFull, Unavailable
from inos.core.ids import Cid
from inos.core.options import COMPRESSIONS
from inos.core.reports import BatchItem, PutOptions
from inos.replication.scheme import PlanRules
from inos.sim.cluster import ClusterNode, ClusterSettings, fixed_bytes, open_cluster, stream
from inos.testing.run import sim_test

MIB = 1 << 20
STRIPES = ClusterSettings(rules=PlanRules(erasure_from_bytes=3 * MIB))


def background_tasks(node: ClusterNode) -> int:
    return node.core.crew.running


@sim_test
async def test_every_size_class_comes_back_from_every_member() -> None:
    sizes = [0, 1, 65_536, 65_537, MIB, MIB + 1, 3 * MIB - 1, 3 * MIB, 7 * MIB + 5]
    async with open_cluster(7, STRIPES) as cluster:
        for number, size in enumerate(sizes):
            data = fixed_bytes(size, number)
            for sized in (True, False):
                report = await cluster.nodes[number % 7].put(data, f"/f{size}{sized}", sized=sized)
                assert (report.size, report.level) == (size, "replicated")
                assert cluster.survives(Cid.parse(report.cid)) == report.survives == report.wanted_survives
                reader = cluster.nodes[(number + 3) % 7]
                assert await reader.get(report.ref) == data
                assert await reader.get(f"/f{size}{sized}") == data
        # The other half of a hedge ends some time after its get.
        await cluster.until(lambda: not any(map(background_tasks, cluster.nodes)), within_s=60)


@sim_test
async def test_what_was_packed_in_any_way_is_read_by_every_node() -> None:
    text = b"".join(b"%d: one line of a log\n" % (number * 7919) for number in range(80_000))
    sizes = {}
    async with open_cluster(3) as cluster:
        node = cluster.nodes[0]
        for compression in COMPRESSIONS:
            node.compression = compression
            await node.restart()
            await cluster.connected()
            report = await node.put(text, f"/{compression}")
            sizes[compression] = report.stored_bytes
            await node.put(text[:5000], f"/{compression}-small")
        node.compression = "none"
        await node.restart()
        await cluster.connected()
        for reader, compression in itertools.product(cluster.nodes[:2], COMPRESSIONS):
            assert await reader.get(f"/{compression}") == text
            assert await reader.get(f"/{compression}-small") == text[:5000]
    assert sizes["zstd"] < sizes["lz4"] < sizes["none"]


@sim_test
async def test_ranges_of_a_striped_object() -> None:
    data = fixed_bytes(7 * MIB + 5, "range")
    async with open_cluster(7, STRIPES) as cluster:
        report = await cluster.nodes[0].put(data)
        for start, end in ((0, 1), (MIB - 1, MIB + 1), (3 * MIB, 4 * MIB), (7 * MIB, None), (9, 9), (8 * MIB, None)):
            assert await cluster.nodes[4].get(report.ref, start, end) == data[start:end]


@sim_test
async def test_a_lone_node_stores_locally_and_completes_when_others_come() -> None:
    data = fixed_bytes(2 * MIB, "alone")
    async with open_cluster(1) as cluster:
        alone = cluster.nodes[0]
        report = await alone.put(data, "/alone")
        assert (report.level, report.survives, report.wanted_survives) == ("local", 0, 4)
        for level in ("quorum", "replicated", "2"):
            with pytest.raises(NotEnoughNodes):
                await alone.put(data, require=level)
        cid = Cid.parse(report.cid)
        for number in (1, 2, 3, 4):
            await cluster.add()
            await cluster.until(lambda: cluster.survives(cid) == len(cluster.nodes) - 1)
            assert len(cluster.nodes) == number + 1
        assert await cluster.nodes[4].get("/alone") == data
        await cluster.add()
        await cluster.passes(60)
        placement = cluster.placement(cid)
        assert placement is not None and len(placement.members) == 5


@sim_test
async def test_a_requirement_is_met_or_the_put_fails() -> None:
    data = fixed_bytes(2 * MIB, "required")
    async with open_cluster(3) as cluster:
        node = cluster.nodes[0]
        assert (await node.put(data, require="3")).level == "quorum"
        assert (await node.put(b"small", require="quorum")).level == "quorum"
        for wanted in ("replicated", "4"):
            for content in (fixed_bytes(2 * MIB, wanted), wanted.encode()):
                with pytest.raises(NotEnoughNodes):
                    await node.put(content, f"/refused/{wanted}", require=wanted)
                with pytest.raises(NotFound):
                    await node.get(f"/refused/{wanted}")


async def nameless(node: ClusterNode, limit: int = 1000) -> list[str]:
    """The cids that `ls --nameless` shows, asked for in pages of `limit`."""
    found: list[str] = []
    while True:
        page = await node.core.keeping.vault.list_nameless(found[-1] if found else "", limit)
        found += [item.cid for item in page.items]
        assert {(item.name, item.size >= 2 * MIB or not item.size) for item in page.items} <= {("", True)}
        if not page.next:
            return found


@sim_test
async def test_what_falls_short_is_told_shown_and_removed() -> None:
    async with open_cluster(3) as cluster:
        node, other = cluster.nodes[:2]
        await node.put(fixed_bytes(2 * MIB, "named"), "/named")
        kept = (await node.put(b"put without a name")).cid
        told = []
        for content in (fixed_bytes(2 * MIB, "short"), b"small and short"):
            with pytest.raises(NotEnoughNodes) as error:
                await node.put(content, "/short", require="replicated")
            told.append(error.value.hint.rpartition("inos rm ")[2])
        assert await nameless(node) == await nameless(node, 1) == sorted([kept, *told])
        assert await nameless(other) == await nameless(node)
        stranger = await cluster.add(owner=1)
        await cluster.connected()
        assert await nameless(stranger) == []
        for cid in told:
            assert (await node.core.keeping.vault.remove(cid)).removed == 1
        assert await nameless(node) == [kept]
        assert await node.get("/named") == fixed_bytes(2 * MIB, "named")


@sim_test
async def test_what_falls_short_is_gone_on_with_and_named_by_the_next_put() -> None:
    data = fixed_bytes(2 * MIB, "again")
    async with open_cluster(3) as cluster:
        node = cluster.nodes[0]
        with pytest.raises(NotEnoughNodes):
            await node.put(data, "/again", require="replicated")
        (cid,) = await nameless(node)
        assert (await node.put(data, "/again")).cid == cid
        assert await nameless(node) == []
        assert await cluster.nodes[1].get((await node.put(data, "/again")).ref) == data


@sim_test
async def test_many_small_files_in_one_batch() -> None:
    items = [BatchItem(f"/many/{index:03}", 0o644, 0, b"%d" % (index // 2)) for index in range(300)]
    async with open_cluster(3) as cluster:
        reports = await cluster.nodes[0].core.keeping.vault.put_batch(items, "")
        assert {report.level for report in reports} == {"quorum"}
        for item in items[::37]:
            assert await cluster.nodes[2].get(item.name) == item.data


@sim_test
async def test_a_failing_source_is_what_the_put_raises() -> None:
    class Gone(Exception):
        """The client hung up."""

    async def cut_short(size: int) -> AsyncIterator[bytes]:
        async for block in stream(fixed_bytes(size, "cut")):
            yield block
        raise Gone

    async with open_cluster(3, STRIPES) as cluster:
        node = cluster.nodes[0]
        for size in (10, 2 * MIB, 8 * MIB):
            for said in (None, 16 * MIB):
                with pytest.raises(Gone):
                    await node.core.keeping.vault.put(cut_short(size), PutOptions(name="/cut", size=said))
        with pytest.raises(NotFound):
            await node.get("/cut")
        assert not background_tasks(node)
        assert node.core.keeping.collector._busy_for_s() == 0


@sim_test
async def test_a_full_disk_is_said_as_such_and_leaves_no_object() -> None:
    async with open_cluster(2, ClusterSettings(rules=STRIPES.rules)) as cluster:
        full = await cluster.add(quota_bytes=3 * MIB)
        await cluster.connected()
        for sized in (True, False):
            with pytest.raises(StorageFull):
                await full.put(fixed_bytes(9 * MIB, "too much"), "/full", sized=sized)
        with pytest.raises(NotFound):
            await full.get("/full")
        assert (await full.put(b"still room for this", "/small")).level == "quorum"


@sim_test
async def test_a_disk_that_cannot_be_written_is_read_past() -> None:
    data = fixed_bytes(3 * MIB, "unwritable")
    async with open_cluster(3) as cluster:
        await cluster.connected()
        await cluster.nodes[0].put(data, "/a")
        node = cluster.nodes[1]
        await cluster.until(lambda: node.chunks() == 4)
        assert node.rot(None, 1) == 1
        node.disk.fail("write", times=100, where="staging")
        assert await node.get("/a") == data


@sim_test
async def test_a_put_that_fails_lets_go_of_its_source_at_once() -> None:
    let_go: list[str] = []

    async def endless(name: str) -> AsyncIterator[bytes]:
        try:
            for number in itertools.count():
                await trio.lowlevel.checkpoint()
                yield fixed_bytes(MIB // 2, name, number)
        finally:
            let_go.append(name)

    async with open_cluster(2, STRIPES) as cluster:
        full = await cluster.add(quota_bytes=3 * MIB)
        await cluster.connected()
        for name, size in (("sized", 1 << 40), ("unsized", None)):
            source = endless(name)  # kept, so that nothing but the put closes it
            with pytest.raises(StorageFull):
                await full.core.keeping.vault.put(source, PutOptions(size=size))
            assert let_go.pop() == name


@sim_test
async def test_a_full_member_is_not_counted() -> None:
    data = fixed_bytes(6 * MIB, "member is full")
    async with open_cluster(3) as cluster:
        full = await cluster.add(quota_bytes=3 * MIB)
        await cluster.connected()
        report = await cluster.nodes[0].put(data, "/a")
        assert (report.survives, report.level) == (2, "quorum")
        assert await full.get("/a") == data


@sim_test
async def test_a_put_cancelled_midway_leaves_nothing_running() -> None:
    async def endless() -> AsyncIterator[bytes]:
        number = 0
        while True:
            await trio.sleep(0.01)
            number += 1
            yield fixed_bytes(MIB // 2, number)

    async with open_cluster(3) as cluster:
        node = cluster.nodes[0]
        with trio.move_on_after(0.3):
            await node.core.keeping.vault.put(endless(), PutOptions(name="/endless", size=64 * MIB))
        assert not background_tasks(node)
        assert node.core.keeping.collector._busy_for_s() == 0
        with pytest.raises(NotFound):
            await node.get("/endless")


@sim_test
async def test_a_reader_may_stop_at_any_moment() -> None:
    data = fixed_bytes(20 * MIB, "stop")
    async with open_cluster(3) as cluster:
        report = await cluster.nodes[0].put(data)
        node = cluster.nodes[0]
        for taken in (0, 1, 3):
            reading = await node.core.keeping.vault.open(report.ref, 0, None)
            for _ in range(taken):
                await anext(reading.chunks)
            await reading.chunks.aclose()
            await cluster.passes(1)
            assert not background_tasks(node), f"after {taken} chunks"


@sim_test
async def test_content_that_cannot_be_read_to_its_end_is_an_error() -> None:
    data = fixed_bytes(20 * MIB, "lost in the middle")
    async with open_cluster(3) as cluster:
        report = await cluster.nodes[0].put(data)
        cid = Cid.parse(report.cid)
        placement = cluster.placement(cid)
        assert placement is not None
        lost = cluster.groups(placement)[12].addresses[0]
        for node in cluster.nodes:
            node.core.disk.chunks.remove_many([lost])
        for target in cluster.nodes:
            got = b""
            with pytest.raises(Unavailable):
                async for chunk in (await target.core.keeping.vault.open(report.ref, 0, None)).chunks:
                    got += chunk
            assert data.startswith(got)
            assert len(got) >= 10 * MIB
            await cluster.passes(1)
            assert not background_tasks(target)


@sim_test
async def test_a_lone_node_gives_all_that_is_before_what_it_lost() -> None:
    data = fixed_bytes(20 * MIB, "lost and alone")
    async with open_cluster(1) as cluster:
        (node,) = cluster.nodes
        report = await node.put(data)
        placement = cluster.placement(Cid.parse(report.cid))
        assert placement is not None
        groups = [group for group in cluster.groups(placement) if max(group.sizes) >= MIB]
        assert len(groups) == 20
        for number in (19, 17, 10):
            node.core.disk.chunks.remove_many([groups[number].addresses[0]])
            got = b""
            with pytest.raises(Unavailable):
                async for chunk in (await node.core.keeping.vault.open(report.ref, 0, None)).chunks:
                    got += chunk
            assert got == data[: number * MIB]


@sim_test
async def test_what_inos_keeps_for_itself_is_listed_only_when_asked_for() -> None:
    names = [f"/.inos/messages/{number}" for number in range(7)]
    others = ["/.hidden", "/.inos2", "/a", "/b"]
    async with open_cluster(1) as cluster:
        node = cluster.nodes[0]
        for name in names + others:
            await node.put(name.encode(), name)
        vault = node.core.keeping.vault
        for limit in range(1, 13):
            found: list[str] = []
            after = ""
            while True:
                page = await vault.list("", after, limit)
                found += [item.name for item in page.items]
                if not (after := page.next):
                    break
            assert found == others, limit
        assert [item.name for item in (await vault.list("/.inos/", "", 100)).items] == names
