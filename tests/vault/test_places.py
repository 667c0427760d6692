"""Files and folders under one name: refused where it would come to that, and a way out where it has."""

from __future__ import annotations

import pytest

from inos.core.errors import BadInput, Conflict, NotFound
from inos.core.reports import BatchItem, PutOptions
from inos.sim.cluster import ClusterNode, open_cluster, stream
from inos.testing.run import sim_test
from inos.vault.catalogue import Entry, Kind
from inos.vault.places import check_apart, folders_above
from inos.vault.vault import Vault


def vault_of(node: ClusterNode) -> Vault:
    return node.core.keeping.vault


async def names(node: ClusterNode) -> list[str]:
    return [item.name for item in (await vault_of(node).list("", "", 1000)).items]


def small(*names: str) -> list[BatchItem]:
    return [BatchItem(name, 0o644, 0, name.encode()) for name in names]


def test_what_lies_above_a_name() -> None:
    assert list(folders_above("/a/b/c")) == ["/a", "/a/b"] and list(folders_above("/a")) == []


def test_files_of_one_request_have_places_of_their_own() -> None:
    check_apart(["/a", "/b/a", "/b/c", "/ab"])
    with pytest.raises(BadInput, match="2 files of one request have the name '/a'"):
        check_apart(["/a", "/b", "/a"])
    with pytest.raises(BadInput, match="'/a/b/c' lies below '/a'"):
        check_apart(["/a/b/c", "/a"])


@sim_test
async def test_no_file_takes_a_folders_name_nor_a_folder_a_files() -> None:
    async with open_cluster(1) as cluster:
        node = cluster.nodes[0]
        vault = vault_of(node)
        await node.put(b"1", "/photos/2024/a")
        await vault.put_entry(Entry("/link", Kind.LINK, target="photos"))
        await vault.put_entry(Entry("/empty", Kind.FOLDER))
        before = await names(node)

        async def refused(hint: str, match: str, name: str) -> None:
            for put in (
                lambda: node.put(b"x", name),
                lambda: vault.put_batch(small("/fine", name), ""),
                lambda: vault.put_entry(Entry(name, Kind.LINK, target="x")),
            ):
                with pytest.raises(Conflict, match=match) as error:
                    await put()
                assert hint in error.value.hint

        await refused("inos rm /photos", "/photos is a folder", "/photos")
        await refused("inos rm /photos/2024", "/photos/2024 is a folder", "/photos/2024")
        await refused("inos rm /photos/2024/a", "/photos/2024/a is a file", "/photos/2024/a/b")
        await refused("inos rm /photos/2024/a", "/photos/2024/a is a file", "/photos/2024/a/b/c")
        await refused("inos rm /link", "/link is a link", "/link/x")
        for name in ("/photos/2024/a", "/link", "/photos/2024/a/b"):
            with pytest.raises(Conflict, match=r"is a (file|link)"):
                await vault.put_entry(Entry(name, Kind.FOLDER))
        for twice in (small("/n/a", "/n/b", "n/a"), small("/n", "/n/b"), small("/n/e\u0301", "/n/\u00e9")):
            with pytest.raises(BadInput, match=r"of (one|the same) request"):
                await vault.put_batch(twice, "")
        assert await names(node) == before

        # What is no contradiction stays possible.
        await node.put(b"2", "/photos/2024/a")
        await vault.put_entry(Entry("/photos/2024", Kind.FOLDER))
        await vault.put_entry(Entry("/link", Kind.LINK, target="elsewhere"))
        await node.put(b"3", "/photos 2")
        await node.put(b"4", "/empty")
        assert await node.get("/photos/2024/a") == b"2"
        await vault.remove("/photos")
        await node.put(b"5", "/photos")
        assert await node.get("/photos") == b"5"


@sim_test
async def test_a_put_is_refused_before_it_is_read() -> None:
    async with open_cluster(1) as cluster:
        node = cluster.nodes[0]
        await node.put(b"1", "/photos/a")
        source = stream(b"x" * 10_000_000)
        with pytest.raises(Conflict):
            await vault_of(node).put(source, PutOptions(name="/photos"))
        assert len(await anext(source)) == 1 << 20  # its first
        await source.aclose()  # type: ignore[attr-defined]


@sim_test
async def test_what_two_sides_of_a_cut_made_of_a_name_can_be_taken_apart() -> None:
    async with open_cluster(3) as cluster:
        here, there = cluster.nodes[0], cluster.nodes[1]
        cluster.cut_off(there)
        await here.put(b"file", "/photos")
        await there.put(b"below", "/photos/a")
        await there.put(b"far below", "/photos/b/c")
        cluster.fabric.heal()
        await cluster.connected()
        await cluster.passes(30)
        assert await names(here) == await names(there) == ["/photos", "/photos/a", "/photos/b/c"]
        assert (await here.get("/photos"), await there.get("/photos/b/c")) == (b"file", b"far below")
        with pytest.raises(Conflict):
            await here.put(b"more", "/photos/d")
        report = await vault_of(here).remove("/photos")
        assert (report.names, report.removed, report.below) == (("/photos",), 1, 2)
        assert await here.get("/photos/a") == b"below"
        with pytest.raises(NotFound):
            await here.get("/photos")
        report = await vault_of(here).remove("/photos")
        assert (report.names, report.below) == (("/photos/a", "/photos/b/c"), 0)


@sim_test
async def test_a_link_has_a_target() -> None:
    async with open_cluster(1) as cluster:
        vault = vault_of(cluster.nodes[0])
        for target in ("", "a\0b", "\ud800", "x" * 4096):
            with pytest.raises(BadInput, match="no link can point to"):
                await vault.put_entry(Entry("/link", Kind.LINK, target=target))
        await vault.put_entry(Entry("/link", Kind.LINK, target="x" * 4095))
        assert await names(cluster.nodes[0]) == ["/link"]
