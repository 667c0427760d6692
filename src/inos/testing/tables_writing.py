"""Replicated tables: what a write promises. Part of `inos.testing.tables`."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import trio

from inos.core.errors import BadInput, Refused
from inos.replication import table_wire as wire
from inos.replication.table_writes import Level
from inos.state.record import Record
from inos.state.records import sign_record
from inos.testing.table_mesh import (
    MAX_NOTE_BYTES,
    NOTES,
    ROSTER,
    MeshSuite,
    key_of,
    virtual,
)


class WritingSuite(MeshSuite):
    """Levels, majorities, batches, who hears."""

    @virtual
    async def test_a_write_reaches_its_majority_and_then_all_replicas(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 7) as mesh:
            writer = mesh.nodes[0]
            records = [writer.note(f"{n:04}") for n in range(40)]
            result = await writer.tables.write(records)
            assert (result.level, result.wanted, result.applied) == (Level.QUORUM, 3, 40)
            assert result.acks >= 3
            await trio.sleep(1)
            assert all(node.has(record) for record in records for node in mesh.replicas(record))
            assert all(len(mesh.replicas(record)) == 5 for record in records)
            assert writer.tables.pending == 0

    @virtual
    async def test_seven_replicas_from_twenty_members_on(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 20) as mesh:
            record = mesh.nodes[3].note("note")
            result = await mesh.nodes[3].tables.write([record])
            assert (result.level, result.wanted) == (Level.QUORUM, 4)
            await trio.sleep(1)
            assert sum(node.has(record) for node in mesh.replicas(record)) == 7

    @virtual
    async def test_alone_is_local_until_others_come(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 1) as mesh:
            (alone,) = mesh.nodes
            record = alone.note("note")
            result = await alone.tables.write([record])
            assert (result.level, result.acks, alone.tables.pending) == (Level.LOCAL, 1, 1)
            assert await alone.tables.read(NOTES, record.key) == record
            other = await mesh.add()
            await alone.tables.step()
            assert alone.tables.pending == 0
            assert other.has(record)

    @virtual
    async def test_without_a_majority_it_is_local_and_completes_later(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 7) as mesh:
            writer = mesh.nodes[0]
            mesh.part([writer, mesh.nodes[1]])
            records = [writer.note(f"{n:04}") for n in range(20)]
            result = await writer.tables.write(records)
            assert result.level is Level.LOCAL
            assert result.acks < result.wanted
            assert all(writer.has(record) for record in records)
            mesh.fabric.heal()
            await writer.tables.step()
            assert writer.tables.pending == 0
            await mesh.settle()
            assert all(node.has(record) for record in records for node in mesh.replicas(record))

    @virtual
    async def test_silent_replicas_cost_the_deadline_and_no_more(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 7) as mesh:
            writer = mesh.nodes[0]
            writer.blind = True
            mesh.part([writer])
            started_s = trio.current_time()
            result = await writer.tables.write([writer.note("note")], deadline_s=2)
            assert result.level is Level.LOCAL
            assert trio.current_time() - started_s == pytest.approx(2, abs=0.1)

    @virtual
    async def test_an_acknowledged_write_survives_any_minority(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 5) as mesh:
            writer = mesh.nodes[0]
            mesh.part(mesh.nodes[3:])  # two of the five never hear of it
            record = writer.note("note")
            assert (await writer.tables.write([record])).level is Level.QUORUM
            mesh.fabric.heal()
            for lost in combinations(mesh.nodes, 2):
                mesh.part(lost)
                for reader in mesh.nodes:
                    if reader not in lost:
                        assert await reader.tables.read(NOTES, record.key, quorum=True) == record
                mesh.fabric.heal()

    @virtual
    async def test_a_batch_larger_than_a_call(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 3) as mesh:
            writer = mesh.nodes[0]
            records = [writer.note(f"{n:04}", b"x" * 8000) for n in range(300)]
            assert (await writer.tables.write(records)).level is Level.QUORUM
            await trio.sleep(1)
            assert writer.network.calls[wire.PUSH] == 2 * 3
            assert all(node.has(record) for record in records for node in mesh.nodes)

    @virtual
    async def test_writes_that_meet_share_calls(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 5) as mesh:
            writer = mesh.nodes[0]

            async def write(n: int) -> None:
                assert (await writer.tables.write([writer.note(f"{n:04}")])).level is Level.QUORUM

            async with trio.open_nursery() as nursery:
                for n in range(200):
                    nursery.start_soon(write, n)
            assert writer.network.calls[wire.PUSH] < 40

    @virtual
    async def test_what_a_table_forbids_is_not_written_at_all(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 3) as mesh:
            writer, other = mesh.nodes[:2]
            good = writer.note("note")
            alien = sign_record(writer.key, NOTES, key_of("note", other.key), b"v", 1)
            with pytest.raises(Refused):
                await writer.tables.write([good, alien])
            with pytest.raises(BadInput):
                await writer.tables.write([writer.note("long", b"x" * (MAX_NOTE_BYTES + 1))])
            with pytest.raises(BadInput):
                await writer.tables.write([sign_record(writer.key, "nowhere", b"k", b"v", 1)])
            assert not writer.has(good)

    @virtual
    async def test_everybody_hears_of_what_is_kept_everywhere(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 9) as mesh:
            heard: list[Record] = []
            mesh.nodes[8].tables.on_applied(ROSTER, heard.append)
            record = mesh.nodes[2].note("me", table=ROSTER)
            assert (await mesh.nodes[2].tables.write([record])).level is Level.QUORUM
            await trio.sleep(1)
            assert all(node.has(record) for node in mesh.nodes)
            assert heard == [record]
            assert len({node.tables.summary() for node in mesh.nodes}) == 1

    @virtual
    async def test_gossip_reaches_a_mesh_too_large_to_call(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 24) as mesh:
            record = mesh.nodes[2].note("me", table=ROSTER)
            await mesh.nodes[2].tables.write([record])
            await trio.sleep(1)
            assert all(node.has(record) for node in mesh.nodes)
            assert mesh.nodes[2].network.calls[wire.PUSH] <= 7
