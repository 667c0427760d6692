"""What a kill leaves between an object and its name is finished; what was acknowledged without a name stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import Conflict, Corrupt, NotFound
from inos.core.file_times import MAX_MODIFIED_MS
from inos.core.ids import Cid
from inos.sim.cluster import Cluster, ClusterNode, fixed_bytes, open_cluster
from inos.testing.run import sim_test
from inos.vault.catalogue import Entry, Kind
from inos.vault.namer import Namer
from inos.vault.unfinished import Naming, Note, Object

MIB = 1 << 20
SIZES = pytest.mark.parametrize("data", [b"small", fixed_bytes(2 * MIB, "large")], ids=["small", "large"])


async def nameless(node: ClusterNode) -> list[str]:
    return [item.cid for item in (await node.core.keeping.vault.list_nameless("", 1000)).items]


async def cut_off_before_its_name(node: ClusterNode, data: bytes, name: str) -> None:
    """A put whose node is killed right before it writes the name: that waits for a turn, which somebody else has."""
    async with trio.open_nursery() as nursery, node.core.keeping.namer.turns.alone():
        nursery.start_soon(node.put, data, name)
        await trio.sleep(60)
        await node.crash()
        nursery.cancel_scope.cancel()


async def again(cluster: Cluster, node: ClusterNode) -> None:
    await node.start()
    await cluster.connected()
    await cluster.passes(5)


@SIZES
def test_a_put_cut_off_before_its_name_is_finished(data: bytes) -> None:
    @sim_test
    async def run() -> None:
        async with open_cluster(3) as cluster:
            node = cluster.nodes[0]
            await cut_off_before_its_name(node, data, "/cut off")
            (cid,) = await nameless(cluster.nodes[1])
            await again(cluster, node)
            assert await nameless(node) == []
            for each in cluster.nodes:
                assert await each.get("/cut off") == data
            assert cid in [str(one) for one in await node.core.keeping.vault.objects_of("/cut off")]

    run()


@SIZES
def test_when_the_name_has_been_given_to_something_else_the_object_goes(data: bytes) -> None:
    @sim_test
    async def run() -> None:
        async with open_cluster(3) as cluster:
            node, other = cluster.nodes[:2]
            await cut_off_before_its_name(node, data, "/cut off")
            await other.put(b"what it stands for now", "/cut off")
            await again(cluster, node)
            assert await nameless(node) == []
            assert await node.get("/cut off") == b"what it stands for now"

    run()


def test_one_that_cannot_be_finished_holds_up_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    finish_naming = Namer._finish_naming

    async def refusing(namer: Namer, note: Note) -> None:
        if note.names[0].entry.name == "/refused":
            raise Conflict("not this one")
        await finish_naming(namer, note)

    @sim_test
    async def run() -> None:
        async with open_cluster(3) as cluster:
            node = cluster.nodes[0]
            for name in ("/refused", "/a", "/b", "/c"):
                await cut_off_before_its_name(node, name.encode(), name)
                await node.start()
            await cluster.connected()
            await cluster.passes(90)
            assert [await node.get(name) for name in ("/a", "/b", "/c")] == [b"/a", b"/b", b"/c"]
            (worker,) = [one for one in node.core.workers.statuses() if one.name == "unfinished"]
            assert "not this one" in worker.last_error

    monkeypatch.setattr(Namer, "_finish_naming", refusing)
    run()


@pytest.mark.parametrize("when", ["before", "meanwhile by another", "meanwhile here"])
@SIZES
def test_what_was_put_without_a_name_stays(data: bytes, when: str) -> None:
    @sim_test
    async def run() -> None:
        async with open_cluster(3) as cluster:
            node, other = cluster.nodes[:2]
            if when == "before":
                await node.put(data)
            await cut_off_before_its_name(node, data, "/cut off")
            await other.put(b"what it stands for now", "/cut off")
            if when == "meanwhile by another":
                await other.put(data)
            if when == "meanwhile here":
                await node.start()
                await node.put(data)
            await again(cluster, node) if when != "meanwhile here" else await cluster.passes(60)
            (cid,) = await nameless(node)
            assert not any(each.core.keeping.placements.removed(Cid.parse(cid)) for each in cluster.nodes)

    run()


@sim_test
async def test_nothing_is_decided_while_nobody_can_be_asked() -> None:
    async with open_cluster(5) as cluster:
        node = cluster.nodes[0]
        await cut_off_before_its_name(node, b"kept", "/cut off")
        cluster.cut_off(node)
        await node.start()
        await trio.sleep(300)
        assert len(await nameless(cluster.nodes[1])) == 1
        with pytest.raises(NotFound):
            await cluster.nodes[1].get("/cut off")
        cluster.fabric.heal()
        await cluster.connected()
        await cluster.passes(60)
        assert await cluster.nodes[1].get("/cut off") == b"kept"
        assert await nameless(cluster.nodes[1]) == []


async def _remove(node: ClusterNode) -> None:
    await node.remove("inos:/gone")


async def _replace(node: ClusterNode) -> None:
    await node.put(b"new", "/gone")


@pytest.mark.parametrize("work", [_remove, _replace])
@pytest.mark.parametrize("named_anew", [False, True])
def test_an_object_whose_last_name_went_is_removed_unless_it_has_another(
    work: Callable[[ClusterNode], Awaitable[None]], named_anew: bool
) -> None:
    @sim_test
    async def run() -> None:
        async with open_cluster(3) as cluster:
            node = cluster.nodes[0]
            cid = Cid.parse((await node.put(b"old", "/gone")).cid)
            node.core.keeping.placements.remove = _never  # type: ignore[method-assign, assignment]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(work, node)
                await trio.sleep(60)
                await node.crash()
                nursery.cancel_scope.cancel()
            if named_anew:
                assert Cid.parse((await cluster.nodes[1].put(b"old", "/other/gone")).cid) == cid
            await again(cluster, node)
            assert node.core.keeping.placements.removed(cid) is not named_anew
            assert await nameless(node) == []
            if named_anew:
                assert await node.get("/other/gone") == b"old"

    run()


async def _never(_cids: object) -> bool:
    await trio.sleep_forever()
    return False


ENTRIES = st.builds(
    Entry,
    st.text(min_size=1),
    st.sampled_from(Kind),
    st.text(),
    st.integers(0, 2**63),
    st.integers(0, 0o7777),
    st.integers(-MAX_MODIFIED_MS, MAX_MODIFIED_MS),
    st.text(),
    st.binary(max_size=32),
)
OBJECTS = st.builds(Object, st.binary(min_size=32, max_size=32).map(Cid), st.integers(0, 2**48), st.booleans())


@given(st.lists(st.builds(Naming, ENTRIES, st.integers(0, 2**48))), st.lists(OBJECTS))
def test_a_note_comes_back(names: list[Naming], objects: list[Object]) -> None:
    note = Note(tuple(names), tuple(objects))
    assert Note.decode(note.encode()) == note


@given(st.binary() | st.sampled_from([b"{}", b"[]", b"null", b'{"v": 2}', b'{"v": 1, "names": [{}], "objects": []}']))
def test_what_is_no_note_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(Corrupt):
        Note.decode(data)
