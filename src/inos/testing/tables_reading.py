"""Replicated tables: what a read promises, and what is let in. Part of `inos.testing.tables`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from inos.core import codec
from inos.core.errors import BadInput, NotEnoughNodes, Unavailable
from inos.replication import table_wire as wire
from inos.replication.anti_entropy import IN_STEP_S
from inos.replication.table_writes import Level
from inos.state.lamport import LAMPORT_LIMIT
from inos.state.record import Record
from inos.state.records import CONTEXT, MAX_RECORD_BYTES, MAX_VALUE_BYTES, sign_record
from inos.testing.table_mesh import (
    NOTES,
    MeshSuite,
    Node,
    key_of,
    sector_of,
    virtual,
)


class ReadingSuite(MeshSuite):
    """Any member reads; replicas are not believed."""

    @virtual
    async def test_any_member_reads_what_replicas_hold(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 9) as mesh:
            record = mesh.nodes[0].note("note")
            await mesh.nodes[0].tables.write([record])
            for node in mesh.nodes:
                assert await node.tables.read(NOTES, record.key) == record
                assert await node.tables.read(NOTES, record.key, quorum=True) == record
                assert await node.tables.read(NOTES, key_of("none", node.key)) is None

    @virtual
    async def test_a_quorum_read_needs_a_majority(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 5) as mesh:
            record = mesh.nodes[0].note("note")
            await mesh.nodes[0].tables.write([record])
            await trio.sleep(1)
            mesh.part(mesh.nodes[:2])
            with pytest.raises(NotEnoughNodes):
                await mesh.nodes[0].tables.read(NOTES, record.key, quorum=True)
            assert await mesh.nodes[0].tables.read(NOTES, record.key) == record

    @virtual
    async def test_catching_up_at_quorum_brings_what_a_majority_has(self, tmp_path: Path) -> None:
        """Also to one that has compared itself lately, with somebody who did not have it then; cheaply where there is
        nothing."""
        async with self.mesh(tmp_path, 5) as mesh:
            writer, reader = mesh.nodes[:2]
            while reader.tables.behind:
                await mesh.round()
            mesh.part([reader])
            record = writer.note("note")
            assert (await writer.tables.write([record])).level is Level.QUORUM
            with pytest.raises(NotEnoughNodes):
                await reader.tables.catch_up(NOTES, record.key, quorum=True)
            mesh.fabric.heal()
            mesh.part([writer])
            await reader.tables.catch_up(NOTES, record.key)
            assert not reader.has(record)
            await reader.tables.catch_up(NOTES, record.key, quorum=True)
            assert reader.has(record)
            before = reader.network.calls.total()
            await reader.tables.catch_up(NOTES, record.key, quorum=True)
            assert reader.network.calls.total() - before <= len(mesh.nodes)

    @virtual
    async def test_cut_off_a_node_reads_what_it_has(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 9) as mesh:
            writer = mesh.nodes[0]
            outside = next(r for r in (writer.note(f"{n:04}") for n in range(99)) if writer not in mesh.replicas(r))
            await writer.tables.write([outside])
            stranger = next(n for n in mesh.nodes if n is not writer and n not in mesh.replicas(outside))
            mesh.part([writer])
            assert await writer.tables.read(NOTES, outside.key) == outside
            mesh.part([stranger])
            with pytest.raises(Unavailable):
                await stranger.tables.read(NOTES, outside.key)

    @virtual
    async def test_reading_mends_replicas_that_are_behind(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 5) as mesh:
            writer = mesh.nodes[0]
            late = mesh.nodes[4]
            mesh.part([late])
            record = writer.note("note")
            await writer.tables.write([record])
            mesh.fabric.heal()
            assert await late.tables.read(NOTES, record.key) == record
            assert late.has(record)
            mesh.part([late])
            another = writer.note("another")
            await writer.tables.write([another])
            mesh.fabric.heal()
            reader = mesh.nodes[2]
            mesh.part(mesh.nodes[:2])  # without them the late one is needed for a majority
            assert await reader.tables.read(NOTES, another.key, quorum=True) == another
            await trio.sleep(1)
            assert late.has(another)

    @virtual
    async def test_the_nearest_is_not_believed_when_it_may_be_behind(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 9) as mesh:
            writer = mesh.nodes[0]
            old = writer.note("note", b"old")
            await writer.tables.write([old])
            await mesh.settle()
            late = next(node for node in mesh.replicas(old) if node is not writer)
            reader = next(node for node in mesh.nodes if node is not writer and node not in mesh.replicas(old))
            for node in mesh.replicas(old):
                mesh.fabric.set_latency(reader.peer, node.peer, 0.001 if node is late else 0.2)
            mesh.part([late])
            new = writer.note("note", b"new")
            assert (await writer.tables.write([new])).level is Level.QUORUM
            await trio.sleep(IN_STEP_S + 1)
            mesh.fabric.heal()
            for _ in range(8):  # until the reader knows who is near
                assert await reader.tables.read(NOTES, new.key) == new

    @virtual
    async def test_pages_of_several_replicas_merge(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 9) as mesh:
            writer = mesh.nodes[0]
            records = [writer.note(f"same{n:04}", b"x" * 8000) for n in range(400)]  # 130 of them fill an answer
            holders = mesh.replicas(records[0])
            for at, record in enumerate(records):  # each replica misses another fifth
                for number, node in enumerate(holders):
                    if at % 5 != number:
                        node.store.apply([record], [sector_of(record)])
            reader = next(node for node in mesh.nodes if node not in holders)
            found: list[Record] = []
            after: bytes | None = b""
            while after is not None:
                page = await reader.tables.scan(NOTES, b"same", after=after, limit=200, quorum=True)
                found += page.records
                after = page.after
            assert found == records
            with pytest.raises(BadInput):
                await reader.tables.scan(NOTES, b"sam")

    @virtual
    async def test_what_a_member_may_not_push(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 3) as mesh:
            hostile, victim = mesh.nodes[0], mesh.nodes[1]
            kept = victim.note("kept")
            await victim.tables.write([kept])
            forged = bytearray(hostile.note("mine").encoded)
            forged[-1] ^= 1
            pushed = {
                "forged": bytes(forged),
                "alien removal": sign_record(hostile.key, NOTES, kept.key, b"", kept.lamport + 5, True).encoded,
                "oversized": sign_record(
                    hostile.key, NOTES, key_of("big", hostile.key), b"x" * MAX_VALUE_BYTES, 9
                ).encoded,
                "too large to be a record": b"\0" * (MAX_RECORD_BYTES),
                "from the end of time": _with_lamport(hostile, LAMPORT_LIMIT),
                "unknown table": sign_record(hostile.key, "nowhere", b"k", b"v", 1).encoded,
                "garbage": b"\x07" * 100,
                "fine": hostile.note("fine").encoded,
            }
            refused = await hostile.client.push(victim.me, list(pushed.values()))
            assert [name for at, name in enumerate(pushed) if at not in refused] == ["fine"]
            assert set(refused.values()) <= {"refused", "bad_frame", "bad_input"}
            assert victim.has(kept)
            assert victim.store.get(NOTES, key_of("mine", hostile.key)) is None
            assert victim.tables.clock.now < LAMPORT_LIMIT // 2

    @virtual
    async def test_a_record_too_long_for_any_spoils_its_call(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 2) as mesh:
            hostile, victim = mesh.nodes
            with pytest.raises(Unavailable):
                await hostile.client.push(victim.me, [b"\0" * 500_000])
            with pytest.raises(Unavailable):
                await hostile.client.push(victim.me, [b"x"] * (wire.MAX_BATCH_RECORDS + 1))
            with pytest.raises(Unavailable):
                await hostile.client.fetch(victim.me, "nowhere", [b"k"])

    @virtual
    async def test_order_and_repetition_do_not_matter(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 3) as mesh:
            source, left, right = mesh.nodes
            versions = [source.note(f"{n % 7:04}", bytes([n]), removed=n % 5 == 4).encoded for n in range(60)]
            chance = random.Random(7)  # noqa: S311 - the same shuffle in every run
            for node in (left, right):
                for _ in range(3):
                    await source.client.push(node.me, chance.sample(versions, len(versions)))
            assert left.store.roots(NOTES) == right.store.roots(NOTES) != {}


def _with_lamport(node: Node, lamport: int) -> bytes:
    """A signed record that `sign_record` would not make."""
    fields = {"version": 1, "table": NOTES, "key": key_of("end", node.key), "value": b"v", "lamport": lamport}
    body = codec.encode("p2p/tables.capnp:RecordBody", **fields, author=node.me)
    return codec.encode("p2p/tables.capnp:Record", version=1, body=body, signature=node.key.sign(CONTEXT, body))
