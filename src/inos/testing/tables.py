"""The conformance suite of replicated tables: the promises of `inos.replication.tables`, on any record store.

class TestOnDisk(TablesSuite):
    @contextlib.contextmanager
    def stores(self, tmp_path) -> Iterator[StoreFactory]: ...
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from itertools import combinations
from pathlib import Path

import pytest
import trio

from inos.core import codec
from inos.core.errors import BadInput, NotEnoughNodes, Refused, Unavailable
from inos.replication import anti_entropy
from inos.replication import table_wire as wire
from inos.replication.anti_entropy import IN_STEP_S
from inos.replication.table_view import Place
from inos.replication.table_writes import Level
from inos.state.lamport import LAMPORT_LIMIT, derived
from inos.state.record import Record
from inos.state.records import CONTEXT, MAX_RECORD_BYTES, MAX_VALUE_BYTES, sign_record
from inos.testing.members import fixed_key
from inos.testing.table_mesh import MAX_NOTE_BYTES, NOTES, ROSTER, SPECS, Node, StoreFactory, TableMesh, key_of, virtual


class TablesSuite(ABC):
    """Every store passes all of it."""

    @abstractmethod
    def stores(self, tmp_path: Path) -> AbstractContextManager[StoreFactory]:
        """Makes empty stores, closed on leaving."""

    def mesh(self, tmp_path: Path, size: int, seed: int = 0) -> AbstractAsyncContextManager[TableMesh]:
        """A mesh of `size` members."""

        @asynccontextmanager
        async def running() -> AsyncIterator[TableMesh]:
            with self.stores(tmp_path) as stores:
                async with TableMesh(stores, seed).running() as mesh:
                    for _ in range(size):
                        await mesh.add()
                    yield mesh

        return running()

    # -- writing

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

    # -- reading

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

    # -- what is let in

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

    # -- becoming equal

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
    async def test_a_summary_that_differs_leads_the_next_round(self, tmp_path: Path) -> None:
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
            assert woken
            await late.tables.step()
            assert late.has(record)
            late.tables.heard(writer.me, writer.tables.summary())
            assert len(woken) == 1

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
            await writer.tables.write([writer.note(f"same{n:04}", b"x" * 12_000) for n in range(2000)], deadline_s=1)
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


def sector_of(record: Record) -> int:
    """The sector of a note."""
    return SPECS[0].sector_of(record.key)


def _with_lamport(node: Node, lamport: int) -> bytes:
    """A signed record that `sign_record` would not make."""
    fields = {"version": 1, "table": NOTES, "key": key_of("end", node.key), "value": b"v", "lamport": lamport}
    body = codec.encode("p2p/tables.capnp:RecordBody", **fields, author=node.me)
    return codec.encode("p2p/tables.capnp:Record", version=1, body=body, signature=node.key.sign(CONTEXT, body))
