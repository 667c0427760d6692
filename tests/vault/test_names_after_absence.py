"""Removing by name on a node that was away while the name was written: it asks the others before it acts."""

from __future__ import annotations

import pytest

from inos.core.errors import NotEnoughNodes, NotFound
from inos.core.ids import Cid
from inos.replication.placement import TABLE as PLACEMENT
from inos.sim.cluster import ClusterSettings, fixed_bytes, open_cluster
from inos.testing.run import sim_test


@sim_test
async def test_a_name_written_meanwhile_can_be_removed_at_once() -> None:
    async with open_cluster(5) as cluster:
        late = cluster.nodes[4]
        await late.crash()
        await cluster.nodes[0].put(fixed_bytes(1000, "new"), "/new")
        await late.start()
        await cluster.connected()
        await late.remove("inos:/new")
        with pytest.raises(NotFound):
            await cluster.nodes[0].get("inos:/new")


@sim_test
async def test_an_object_keeps_living_for_a_name_written_meanwhile() -> None:
    """One content under two names is one object: removing the first must not take the second's content away."""
    data = fixed_bytes(100_000, "shared")
    async with open_cluster(5) as cluster:
        late = cluster.nodes[4]
        first = await cluster.nodes[0].put(data, "/one/same")
        await cluster.passes(10)
        await late.crash()
        second = await cluster.nodes[1].put(data, "/two/same")
        assert Cid.parse(first.cid) == Cid.parse(second.cid)
        await late.start()
        await cluster.connected()
        await late.remove("inos:/one/same")
        await cluster.passes(10)
        for node in cluster.nodes:
            assert await node.get("inos:/two/same") == data


@sim_test
async def test_a_node_that_was_away_and_is_cut_off_removes_nothing() -> None:
    data = fixed_bytes(1000, "kept")
    async with open_cluster(5) as cluster:
        late = cluster.nodes[4]
        await late.put(data, "/kept")
        await late.crash()
        cluster.cut_off(late)
        await late.start()
        with pytest.raises(NotEnoughNodes):
            await late.remove("inos:/kept")
        assert (await late.put(data + b"new", "/kept")).level == "local"
        cluster.fabric.heal()
        await cluster.connected()
        await cluster.passes(30)
        for node in cluster.nodes:
            assert await node.get("inos:/kept") == data + b"new"


@sim_test
async def test_a_name_whose_removal_is_on_its_way_takes_no_removal_back() -> None:
    """A node that has heard of an object's removal before that of its name kept the object for ever, nameless."""
    async with open_cluster(5) as cluster:
        late = cluster.nodes[4]
        cid = Cid.parse((await cluster.nodes[0].put(fixed_bytes(1000, "gone"), "/gone")).cid)
        await cluster.passes(10)
        cluster.cut_off(late)
        await cluster.nodes[0].remove("inos:/gone")
        removal = cluster.nodes[0].core.disk.records.get(PLACEMENT, bytes(cid))
        assert removal is not None and removal.removed
        await late.core.tables.take([removal.encoded])
        vault = late.core.keeping.vault
        assert await vault.revive(cid)  # nobody to ask: the object stays for now, and nothing is said to others
        assert late.core.keeping.placements.removed(cid)
        cluster.fabric.heal()
        await cluster.passes(1)
        assert not await vault.revive(cid)
        await cluster.passes(60)
        assert all(node.core.keeping.placements.removed(cid) for node in cluster.nodes)


@sim_test
async def test_a_name_given_anew_is_read_though_only_the_old_object_s_removal_was_heard_of() -> None:
    """The node said that the object was removed, and never asked what the name stands for by now."""
    async with open_cluster(5) as cluster:
        late = cluster.nodes[4]
        old = await cluster.nodes[0].put(fixed_bytes(200_000, "old"), "/named")
        cid = Cid.parse(old.cid)
        await cluster.passes(10)
        cluster.cut_off(late)
        data = fixed_bytes(200_000, "new")
        await cluster.nodes[0].put(data, "/named")
        removal = cluster.nodes[0].core.disk.records.get(PLACEMENT, bytes(cid))
        assert removal is not None and removal.removed
        await late.core.tables.take([removal.encoded])
        cluster.fabric.heal()
        await cluster.connected()  # whoever reaches nobody can only go by what it knows
        assert await late.get("inos:/named") == data
        placement, *_ = await late.core.keeping.vault.locate("inos:/named")
        assert placement.cid != cid
        with pytest.raises(NotFound):
            await late.get(old.ref)  # whoever asks for that object, and not for the name, is told


@sim_test
async def test_removing_a_name_removes_what_it_stands_for_by_now() -> None:
    """A node that had not heard yet that a name was given anew removed the name, and left its object for ever."""
    # Whether it hears first of its neighbours or of the name is a matter of the seed; the object goes in either case.
    heard_before = [await hears_before_it_removes(seed) for seed in range(3)]
    while all(heard_before) and len(heard_before) < 12:
        heard_before.append(await hears_before_it_removes(len(heard_before)))
    assert not all(heard_before)


async def hears_before_it_removes(seed: int) -> bool:
    """A node comes back and removes a name as soon as it sees members; whether it had heard that it was given anew."""
    async with open_cluster(5, ClusterSettings(seed=seed)) as cluster:
        late = cluster.nodes[4]
        await cluster.nodes[0].put(fixed_bytes(1000, "first"), "/name")
        await cluster.passes(20)
        cluster.cut_off(late)
        second = Cid.parse((await cluster.nodes[0].put(fixed_bytes(1000, "second"), "/name")).cid)
        cluster.fabric.heal()
        while len(late.core.meeting.view.alive_members()) < 3:
            await cluster.passes(0.01)
        known = await late.core.keeping.catalogue.objects_named(["/name"])
        await late.remove("inos:/name")
        await cluster.passes(30)
        assert all(node.core.keeping.placements.removed(second) for node in cluster.nodes)
        return second in known
