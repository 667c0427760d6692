"""Objects by the SHA-256 of what they hold: on every node of the owner, and only as long as a name stands for them."""

from __future__ import annotations

import hashlib

import pytest

from inos.core.codec import encode
from inos.core.errors import BadReference, InosError, NotFound
from inos.core.ids import Cid, ContentDigest
from inos.core.reports import BatchItem, CatalogueItem, PutReport
from inos.crypto.sealing import seal
from inos.replication.scheme import PlanRules
from inos.sim.cluster import ClusterNode, ClusterSettings, fixed_bytes, open_cluster
from inos.state.records import sign_record
from inos.testing.run import sim_test
from inos.vault.catalogue import NONCE_BYTES, TABLE

MIB = 1 << 20
HEARD_S = 10.0  # by then every node has compared its records with another
STRIPES = ClusterSettings(rules=PlanRules(erasure_from_bytes=3 * MIB))


def digest_of(data: bytes) -> ContentDigest:
    return ContentDigest(hashlib.sha256(data).digest())


async def found(node: ClusterNode, data: bytes, limit: int = 1000) -> list[CatalogueItem]:
    """What a node finds by the content of `data`, asked for in pages of `limit`."""
    items: list[CatalogueItem] = []
    while True:
        page = await node.core.keeping.vault.find(digest_of(data), items[-1].name if items else "", limit)
        items += page.items
        if not page.next:
            assert all(item.sha256 == str(digest_of(data)) for item in items)
            return items


async def names(node: ClusterNode, data: bytes, limit: int = 1000) -> list[str]:
    return [item.name for item in await found(node, data, limit)]


@sim_test
async def test_every_size_class_is_found_and_read_on_every_node() -> None:
    sizes = [0, 1, 65_536, 65_537, MIB + 1, 3 * MIB + 5, 7 * MIB + 5]
    async with open_cluster(7, STRIPES) as cluster:
        cids: list[set[str]] = []
        for number, size in enumerate(sizes):
            data = fixed_bytes(size, number)
            puts: list[PutReport] = []
            for sized in (True, False):
                puts.append(await cluster.nodes[number].put(data, f"/f{size}/{sized}", sized=sized))
            assert {report.sha256 for report in puts} == {str(digest_of(data))}
            cids.append({report.cid for report in puts})
        await cluster.passes(HEARD_S)
        for number, size in enumerate(sizes):
            data, reader = fixed_bytes(size, number), cluster.nodes[(number + 3) % 7]
            assert await names(reader, data) == [f"/f{size}/False", f"/f{size}/True"]
            assert {item.cid for item in await found(reader, data, 1)} == cids[number]
            assert {item.size for item in await found(reader, data)} == {size}
            assert await reader.get(f"sha256:{digest_of(data)}") == data
        late = await cluster.add()
        await cluster.connected()
        await cluster.passes(HEARD_S)
        assert await names(late, fixed_bytes(sizes[-1], 6)) == [f"/f{sizes[-1]}/False", f"/f{sizes[-1]}/True"]
        stranger = await cluster.add(owner=1)
        await cluster.connected()
        assert await names(stranger, fixed_bytes(0, 0)) == []
        with pytest.raises(NotFound, match="SHA-256"):
            await stranger.get(f"sha256:{digest_of(b'')}")


@sim_test
async def test_what_a_name_holds_now_counts_and_a_removed_name_is_not_found() -> None:
    async with open_cluster(3) as cluster:
        node, other = cluster.nodes[:2]
        await node.core.keeping.vault.put_batch(
            [BatchItem("/a", 0o644, 0, b"one"), BatchItem("/b", 0o644, 0, b"one")], ""
        )
        await cluster.passes(HEARD_S)
        assert await names(other, b"one") == ["/a", "/b"]
        await other.put(b"two", "/a")
        await cluster.passes(HEARD_S)
        assert (await names(node, b"one"), await names(node, b"two")) == (["/b"], ["/a"])
        await node.remove("/b")
        await cluster.passes(HEARD_S)
        assert (await names(other, b"one"), await names(other, b"two")) == ([], ["/a"])
        await node.put(b"without a name")
        assert await names(node, b"without a name") == []


@sim_test
async def test_a_content_is_a_target_of_whatever_takes_one() -> None:
    data = fixed_bytes(2 * MIB, "target")
    target = f"sha256:{digest_of(data)}"
    async with open_cluster(3) as cluster:
        node, other = cluster.nodes[:2]
        vault = node.core.keeping.vault
        cids = {Cid.parse((await node.put(data, name)).cid) for name in ("/x", "/y/z")}
        placement, _, entry, _ = await vault.locate(target)
        assert entry is not None and entry.name == "/x" and placement.cid in cids
        for asked in (entry, await node.core.keeping.catalogue.find("/x")):
            assert await vault.sha256_of(asked) == str(digest_of(data))
        assert set(await vault.objects_of(target)) == cids and len(cids) == 2
        assert (await vault.remove(target)).names == ("/x", "/y/z")
        assert all(map(cluster.is_removed, cids))
        for attempt in (vault.remove, vault.objects_of, vault.locate, other.get):
            with pytest.raises(NotFound):
                await attempt(target)


@sim_test
async def test_the_index_comes_back_from_the_records_and_holds_no_digest() -> None:
    data = fixed_bytes(100_000, "kept")
    async with open_cluster(1) as cluster:
        node = cluster.nodes[0]
        await node.put(data, "/kept")
        index = node.core.disk.names
        row = index.get("/kept")
        assert row is not None and row.content is not None
        assert row.content != digest_of(data)
        index.clear()
        assert await names(node, data) == []
        await node.restart()
        assert await names(node, data) == ["/kept"]


@sim_test
async def test_an_entry_of_an_earlier_release_is_read_and_found_once_it_is_put_again() -> None:
    data = b"put long ago"
    async with open_cluster(1) as cluster:
        node = cluster.nodes[0]
        reference = (await node.put(data)).ref
        keyring, cipher = node.core.identity.keyring, node.core.keeping.catalogue._cipher
        key, nonce = cipher.key_of("/old"), node.env.token_bytes(NONCE_BYTES)
        text = encode("objects/object.capnp:CatalogueEntry", version=1, name="/old", kind="file", reference=reference)
        sealed = seal(keyring.catalogue_key(), text, key, nonce=nonce)
        value = encode("objects/object.capnp:SealedEntry", version=1, sealed=sealed)
        time = node.core.tables.clock.tick()
        await node.core.tables.write([sign_record(node.core.identity.owner_key, TABLE, key, value, time)])
        assert await node.get("/old") == data
        assert await names(node, data) == []
        assert await node.core.keeping.vault.sha256_of(await node.core.keeping.catalogue.find("/old")) == ""
        await node.put(data, "/old")
        assert await names(node, data) == ["/old"]


@sim_test
async def test_what_is_no_digest_is_refused() -> None:
    async with open_cluster(1) as cluster:
        for target in ("sha256:", "sha256:12", f"sha256:{'0' * 63}x"):
            with pytest.raises(InosError, match="not a SHA-256") as error:
                await cluster.nodes[0].get(target)
            assert not isinstance(error.value, BadReference | NotFound)
