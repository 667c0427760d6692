"""Replicated tables: how replicas become and stay equal. Part of `inos.testing.tables`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from inos.core.errors import StorageFull
from inos.replication import anti_entropy
from inos.replication import table_wire as wire
from inos.replication.table_view import Place
from inos.replication.table_writes import Level
from inos.state.lamport import derived
from inos.state.record import Record
from inos.state.records import sign_record
from inos.state.tables import EVERYWHERE_SECTOR
from inos.testing.members import fixed_key
from inos.testing.table_mesh import (
    NOTES,
    ROSTER,
    MeshSuite,
    TableMesh,
    key_of,
    sector_of,
    virtual,
)


class EqualSuite(MeshSuite):
    """Anti-entropy, removals, hand-over, random schedules."""

    @virtual
    async def test_both_sides_of_a_partition_become_equal(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 7) as mesh:
            left, right = mesh.nodes[:3], mesh.nodes[3:]
            mesh.part(left)
            shared = fixed_key("one owner on both sides")
            for at, node in enumerate(mesh.nodes):
                notes = [node.note(f"{at}{n:03}") for n in range(30)]
                lamport = node.tables.clock.tick()
                both = sign_record(shared, NOTES, key_of("both", shared), bytes([at]), lamport)
                await node.tables.write([*notes, both, node.note("me", table=ROSTER)])
            mesh.fabric.heal()
            assert await mesh.settle() <= 8
            assert len({node.store.get(NOTES, key_of("both", shared)) for node in mesh.replicas(both)}) == 1
            assert left[0].tables.summary() == right[0].tables.summary()

    @virtual
    async def test_equal_replicas_cost_one_call_a_round(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 5) as mesh:
            await mesh.nodes[0].tables.write([mesh.nodes[0].note(f"{n:04}") for n in range(50)])
            await mesh.settle()
            for _ in range(3):
                await mesh.round()
            for node in mesh.nodes:
                node.network.calls.clear()
            await mesh.round()
            assert all(node.network.calls == {wire.DIGESTS: 1} for node in mesh.nodes)

    @virtual
    async def test_what_was_removed_does_not_come_back(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 5) as mesh:
            owner, away = mesh.nodes[0], mesh.nodes[4]
            created = sign_record(
                owner.key, NOTES, key_of("note", owner.key), b"v", owner.tables.clock.open_generation()
            )
            await owner.tables.write([created])
            await mesh.settle()
            mesh.part([away])
            removal = sign_record(
                owner.key, NOTES, created.key, b"", owner.tables.clock.open_generation(created.lamport), True
            )
            assert (await owner.tables.write([removal])).level is Level.QUORUM
            lamport = created.lamport
            for _ in range(50):  # the node that was away goes on changing what it still believes in
                lamport = derived(lamport)
            stale = sign_record(owner.key, NOTES, created.key, b"w", lamport)
            await away.tables.write([stale])
            mesh.fabric.heal()
            await mesh.settle()
            assert all(node.store.get(NOTES, created.key) == removal for node in mesh.nodes)
            again = sign_record(
                owner.key, NOTES, created.key, b"v", owner.tables.clock.open_generation(removal.lamport)
            )
            assert (await owner.tables.write([again])).level is Level.QUORUM

    @virtual
    async def test_a_summary_that_stays_different_leads_the_next_round(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 12) as mesh:
            late, writer = mesh.nodes[0], mesh.nodes[11]
            mesh.part([late])
            record = writer.note("me", table=ROSTER)
            await writer.tables.write([record])
            await trio.sleep(1)
            mesh.fabric.heal()
            woken: list[None] = []
            late.tables.on_wake(lambda: woken.append(None))
            late.tables.heard(writer.me, writer.tables.summary())
            assert not woken  # it may be on its way
            late.tables.heard(writer.me, writer.tables.summary())
            assert woken
            await late.tables.step()
            assert late.has(record)
            late.tables.heard(writer.me, writer.tables.summary())
            assert len(woken) == 1

    @virtual
    async def test_replicas_that_say_the_same_are_not_compared(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 4) as mesh:
            one, other = mesh.nodes[:2]
            record = one.note("me", table=ROSTER)
            await one.tables.write([record])
            await mesh.settle()
            await one.tables.step()
            one.network.calls.clear()
            one.tables.heard(other.me, one.tables.summary(), one.tables.everything())
            mesh.part(mesh.nodes[2:])
            await one.tables.step()
            assert one.tables.everything() and not one.network.calls
            lost = other.note("you", table=ROSTER)
            other.store.apply([lost], [EVERYWHERE_SECTOR])
            await other.tables.step()
            one.network.calls.clear()
            one.tables.heard(other.me, one.tables.summary(), other.tables.everything())
            await one.tables.step()
            assert one.has(lost)

    @virtual
    async def test_whoever_comes_back_is_compared_with_unless_its_first_beat_says_the_same(
        self, tmp_path: Path
    ) -> None:
        async with self.mesh(tmp_path, 4) as mesh:
            one, other = mesh.nodes[:2]
            woken: list[None] = []
            one.tables.on_wake(lambda: woken.append(None))
            await one.tables.step()
            one.tables.met(other.me)
            one.tables.heard(other.me, one.tables.summary(), one.tables.everything())
            assert not woken
            one.tables.met(other.me)
            one.tables.heard(other.me, one.tables.summary(), bytes(32))
            assert len(woken) == 1
            one.tables.heard(other.me, one.tables.summary(), bytes(32))
            assert len(woken) == 1
            await one.tables.step()
            one.tables.heard(other.me, one.tables.summary(), one.tables.everything())
            one.tables.returned(other.me)
            assert len(woken) == 1
            one.tables.heard(other.me, one.tables.summary(), b"")
            one.tables.returned(other.me)
            assert len(woken) == 2

    @virtual
    async def test_summaries_that_never_come_to_rest_are_looked_into(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 12) as mesh:
            late, writer = mesh.nodes[0], mesh.nodes[11]
            woken: list[None] = []
            late.tables.on_wake(lambda: woken.append(None))
            beats = 0
            while not woken:
                beats += 1
                late.tables.heard(writer.me, bytes([beats]) * 32)
            assert 2 < beats < 10

    @virtual
    async def test_a_new_replica_fetches_its_sectors_and_old_ones_hand_over(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 6) as mesh:
            writer = mesh.nodes[0]
            records = [writer.note(f"{n:04}") for n in range(200)]
            await writer.tables.write(records)
            for _ in range(6):
                await mesh.add()
            await mesh.settle(60)
            assert all(node.has(record) for record in records for node in mesh.replicas(record))
            assert any(node in mesh.nodes[6:] for record in records for node in mesh.replicas(record))

    @virtual
    async def test_handing_over_ends(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 9) as mesh:
            writer = mesh.nodes[0]
            await writer.tables.write([writer.note(f"{n:04}") for n in range(200)])
            for _ in range(40):
                await writer.tables.step()
            moved = writer.tables.exchanged
            writer.network.calls.clear()
            for _ in range(10):
                await writer.tables.step()
            assert writer.tables.exchanged == moved
            assert set(writer.network.calls) == {wire.DIGESTS}

    @virtual
    async def test_what_others_wrote_in_a_place_handed_over_is_not_fetched(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 9) as mesh:
            mine = next(n for n in mesh.nodes if n not in mesh.replicas(n.note("same")))
            other = next(n for n in mesh.nodes if n is not mine)
            record, alien = mine.note("same1"), other.note("same2")
            await mine.tables.write([record])
            await other.tables.write([alien])
            for _ in range(10):
                await mine.tables.step()
            assert mine.has(record)
            assert not mine.has(alien)
            mine.network.calls.clear()
            for _ in range(10):
                await mine.tables.step()
            assert set(mine.network.calls) == {wire.DIGESTS}

    @virtual
    async def test_a_newer_version_travels_one_way(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 2) as mesh:
            writer, late = mesh.nodes
            await writer.tables.write([writer.note(f"{n:04}", b"old") for n in range(50)])
            mesh.part([late])
            await writer.tables.write([writer.note(f"{n:04}", b"new") for n in range(50)])
            mesh.fabric.heal()
            await late.tables.step()
            assert mesh.is_settled()
            assert late.network.calls[wire.PUSH] == 0

    @virtual
    async def test_one_round_catches_up_with_more_than_a_message(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 2) as mesh:
            writer, late = mesh.nodes
            mesh.part([late])
            await writer.tables.write([writer.note(f"same{n:04}", b"x" * 16_000) for n in range(1200)], deadline_s=1)
            mesh.fabric.heal()
            await late.tables.step()
            assert mesh.is_settled()

    @virtual
    async def test_a_round_is_bounded_and_says_when_it_is_not_done(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(anti_entropy, "MAX_ROUND_RECORDS", 40)
        async with self.mesh(tmp_path, 2) as mesh:
            writer, late = mesh.nodes
            mesh.part([late])
            await writer.tables.write([writer.note(f"same{n:04}") for n in range(400)], deadline_s=1)
            mesh.fabric.heal()
            woken: list[None] = []
            late.tables.on_wake(lambda: woken.append(None))
            await late.tables.step()
            assert woken
            assert late.tables.exchanged < 200
            assert late.tables.behind > 0
            while woken:
                woken.clear()
                await late.tables.step()
            assert mesh.is_settled()

    @virtual
    async def test_a_newcomer_compares_what_it_should_hold_first(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 30) as mesh:
            newcomer = await mesh.add()
            behind = [newcomer.tables.behind]
            while behind[-1]:
                await newcomer.tables.step()
                behind.append(newcomer.tables.behind)
                assert behind[-1] < behind[-2]

    @virtual
    async def test_an_observer_keeps_what_it_asked_for(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 9) as mesh:
            writer = mesh.nodes[0]
            records = [writer.note(f"same{n:02}") for n in range(20)]
            await writer.tables.write(records)
            place = Place(NOTES, sector_of(records[0]))
            observer = await mesh.add(member=False, also_hold=[place])
            for _ in range(5):
                await observer.tables.step()
            assert all(observer.has(record) for record in records)
            mesh.part([observer])
            assert (await observer.tables.scan(NOTES, b"same")).records == records

    @virtual
    async def test_what_everybody_keeps_is_told_to_everybody(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 0) as mesh:
            mesh.all_hold.add(NOTES)
            writer, *others = [await mesh.add() for _ in range(12)]
            record = writer.note("told")
            await writer.tables.write([record])
            await trio.sleep(1)
            assert len(mesh.replicas(record)) < len(mesh.nodes)
            assert all(other.has(record) for other in others)
            assert sum(other.network.calls.total() for other in others) == 0

    @virtual
    async def test_a_look_that_fails_ends_nothing_and_is_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with self.mesh(tmp_path, 2) as mesh:
            node, other = mesh.nodes
            await node.tables.write([node.note("0001")])
            looks: list[None] = []

            def full(_table: str) -> Mapping[int, bytes]:
                looks.append(None)
                raise StorageFull("no room")

            with monkeypatch.context() as broken:
                broken.setattr(node.store, "roots", full)
                assert node.tables.everything() == b""
                await trio.sleep(2)
                assert node.tables.everything() == b""
                await trio.sleep(2)
            assert len(looks) == 2
            assert node.tables.everything() == b""
            await trio.sleep(2)
            assert node.tables.everything()
            record = other.note("0002")
            await other.tables.write([record])
            await trio.sleep(1)
            assert node.has(record)

    @virtual
    async def test_many_keys_are_learned_with_one_call_a_replica(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 12) as mesh:
            writer = mesh.nodes[0]
            records = [writer.note(f"{number:04}") for number in range(40)]
            await writer.tables.write(records)
            reader = await mesh.add()
            silent = mesh.nodes[3]
            mesh.part([silent])
            await reader.tables.learn(NOTES, [record.key for record in records])
            assert all(reader.has(record) for record in records)
            assert reader.network.calls == {wire.FETCH: len(mesh.nodes) - 2}
            mesh.part(mesh.nodes)
            await reader.tables.learn(NOTES, [records[0].key])

    @virtual
    async def test_a_refused_record_is_not_asked_for_again_and_again(self, tmp_path: Path) -> None:
        async with self.mesh(tmp_path, 2) as mesh:
            honest, hostile = mesh.nodes
            alien = sign_record(hostile.key, NOTES, key_of("note", honest.key), b"v", 5)
            hostile.store.apply([alien], [sector_of(alien)])
            for _ in range(5):
                await honest.tables.step()
            assert honest.store.get(NOTES, alien.key) is None
            assert honest.network.calls[wire.FETCH] == 1

    @pytest.mark.parametrize("seed", range(4))
    @virtual
    async def test_any_schedule_of_cuts_and_writes_ends_equal(self, tmp_path: Path, seed: int) -> None:
        async with self.mesh(tmp_path, 6, seed) as mesh:
            chance = random.Random(seed)  # noqa: S311 - a schedule that can be repeated
            acknowledged: dict[bytes, Record] = {}
            for _ in range(40):
                await _act(mesh, chance, acknowledged)
            mesh.fabric.heal()
            await mesh.settle(40)
            for record in acknowledged.values():
                for node in mesh.replicas(record):
                    held = node.store.get(record.table, record.key)
                    assert held is not None
                    assert held.lamport >= record.lamport


async def _act(mesh: TableMesh, chance: random.Random, acknowledged: dict[bytes, Record]) -> None:
    """One random thing that happens to a mesh."""
    node = chance.choice(mesh.nodes)
    what = chance.random()
    if what < 0.1:
        mesh.part(chance.sample(mesh.nodes, chance.randint(1, 5)))
    elif what < 0.2:
        mesh.fabric.heal()
    elif what < 0.35:
        await mesh.round(chance.sample(mesh.nodes, 2))
    else:
        records = [node.note(f"{chance.randrange(30):04}", removed=chance.random() < 0.2) for _ in range(4)]
        records = list({record.key: record for record in records}.values())
        if (await node.tables.write(records, deadline_s=1)).level is Level.QUORUM:
            acknowledged |= {record.key: record for record in records}
