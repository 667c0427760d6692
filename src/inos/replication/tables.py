"""Replicated tables: signed records on this node's disk and on the other replicas of their sectors.

    async with trio.open_nursery() as nursery:
        await nursery.start(tables.run)
        workers.add("tables", tables.step, interval_s=5)
        record = sign_record(key, "placement", cid, value, tables.clock.open_generation(after=seen))
        result = await tables.write([record])       # result.level: quorum, or local

This is the one object others use; it owns no rule itself. How a write spreads is in `table_writes.py`, what a read
promises in `table_reads.py`, what is let in in `table_gate.py`, how replicas become equal in `anti_entropy.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import trio

from inos.core.env import Env
from inos.core.errors import InosError, NotEnoughNodes, StorageFull
from inos.replication.anti_entropy import AntiEntropy
from inos.replication.quorum import Lanes, Push
from inos.replication.table_client import TableClient
from inos.replication.table_gate import Gate, Verdict
from inos.replication.table_intake import Intake, RecordHandler
from inos.replication.table_reads import Page, TableReader
from inos.replication.table_server import TableServer
from inos.replication.table_view import AllHold, AlsoHold, Assignment, MembersView, Place
from inos.replication.table_writes import TOPIC, WRITE_DEADLINE_S, TableNetwork, TableWriter, WriteResult
from inos.state.lamport import LamportClock
from inos.state.record import Record
from inos.state.tables import TableSpec
from inos.store.replica import Replica

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = logging.getLogger(__name__)

# Between two looks at all that this node has, for what its beats say: where records come all the time that is work.
_LOOK_S: Final = 1.0
# Beats in a row that differ, each time in another way, after which somebody is asked all the same: 6 s.
_MOVING_BEATS: Final = 3


class _Differing:
    """Peers whose summary is not ours. A write is on its way to everybody for a moment; only what is still the same at
    the next beat, or does not come to rest, is worth an exchange."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[bytes, bytes, int]] = {}

    def lasts(self, node: bytes, theirs: bytes, ours: bytes) -> bool:
        """Note what a beat said."""
        if not theirs or not ours or theirs == ours:
            self._seen.pop(node, None)
            return False
        *before, beats = self._seen.get(node, (b"", b"", 0))
        self._seen[node] = (theirs, ours, beats + 1)
        return before == [theirs, ours] or beats + 1 >= _MOVING_BEATS


def _hold_no_more(_table: str, _sector: int) -> bool:
    return False


def _not_all(_table: str) -> bool:
    return False


class Tables:
    """The tables of one node. Owned by the event loop."""

    def __init__(
        self,
        store: Replica,
        network: TableNetwork,
        members: MembersView,
        env: Env,
        specs: Sequence[TableSpec],
        *,
        also_hold: AlsoHold = _hold_no_more,
        all_hold: AllHold = _not_all,
    ) -> None:
        """Serves the table calls of `network` from now on. `also_hold(table, sector)` names sectors this node keeps
        beside those it is a replica of: its owner's catalogue, so that it reads it when cut off. `all_hold(table)`
        says that every member does so with all sectors, and is told of each write at once."""
        named = {spec.name: spec for spec in specs}
        self.clock = LamportClock()
        self._network = network
        self._assignment = Assignment(members, named, also_hold, all_hold)
        self._gate = Gate(store, named, self.clock)
        self._intake = Intake(self._gate, store, named, env)
        client = TableClient(network, env)
        self._store, self._env = store, env
        self._differing = _Differing()
        self._equaliser = AntiEntropy(store, named, self._assignment, client, self._intake, env)
        self._likeness = self._equaliser.likeness
        self._intake.changed = self._likeness.changed
        self._looks_after_s = 0.0
        self._looking = False
        self._met: dict[bytes, None] = {}
        self._lanes = Lanes(client.push, self._equaliser.suspect)
        self._writer = TableWriter(self._intake, self._assignment, self._lanes, network)
        self._reader = TableReader(
            store,
            self._gate,
            self._intake,
            client,
            self._assignment,
            in_step=self._equaliser.in_step,
            repair=self._repair,
            spawn=self._lanes.spawn,
            env=env,
        )
        TableServer(store, self._gate, self._intake, self._equaliser.in_step, env).register(network)

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry what is written to others and hear what they write, until cancelled. Start it before the first write;
        a write without it stays `local`."""
        self._assignment.refresh()
        await self._intake.refresh()
        await self._network.subscribe(TOPIC, self._writer.hear)
        await self._lanes.run(task_status)

    async def write(self, records: Sequence[Record], *, deadline_s: float = WRITE_DEADLINE_S) -> WriteResult:
        """Keep records signed here (by this node or its owner), of any tables, synced, and bring them to a majority of
        their replicas. Returns as soon as all have their majority, or as `local` when they cannot get it or not within
        `deadline_s`; then later rounds go on trying. Raises what a table's rules say of a record; then nothing was
        written."""
        return await self._writer.write(records, deadline_s)

    async def take(self, encoded: Sequence[bytes]) -> list[Verdict]:
        """Records that came with something else (a join, a hold): checked like a push; one verdict each."""
        return await self._intake.take(encoded)

    async def read(self, table: str, key: bytes, *, quorum: bool = False) -> Record | None:
        """The version that holds, a removal included (look at `removed`); None when there is none. With `quorum` it
        is the newest acknowledged one or NotEnoughNodes; without, see `table_reads.py`. Raises Unavailable when no
        replica can be reached and this node has nothing."""
        return await self._reader.read(table, key, quorum=quorum)

    async def scan(
        self, table: str, prefix: bytes, *, after: bytes = b"", limit: int = 500, quorum: bool = False
    ) -> Page:
        """A page, removals included, of the keys under `prefix` greater than `after`; `prefix` must name the whole
        partition of a table in sectors. Raises as `read` does."""
        return await self._reader.scan(table, prefix, after=after, limit=limit, quorum=quorum)

    async def learn(self, table: str, keys: Sequence[bytes]) -> None:
        """Take over what the replicas of these keys have that this node has not, of those that answer: one call to each
        of them for all of its keys. Meant for keys that this node is not kept up to date about."""
        await self._reader.learn(table, keys)

    async def catch_up(self, table: str, prefix: bytes, *, quorum: bool = False) -> None:
        """Learn what a majority of the replicas has under `prefix` (see `scan`), unless this node has compared itself
        with one of them lately. With `quorum` that does not count: everything that was acknowledged at quorum before
        this began is here when it returns. Raises NotEnoughNodes without a majority."""
        self._assignment.refresh()
        place = self._assignment.place_of(table, prefix)
        if quorum and self._assignment.holds(self._assignment.me, place):
            await self._meet_majority(place)
            return
        if self._equaliser.in_step(place) and not quorum:
            return
        after: bytes | None = b""
        while after is not None:
            page = await self.scan(table, prefix, after=after, quorum=True)
            await self.take([record.encoded for record in page.records])
            after = page.after

    async def _meet_majority(self, place: Place) -> None:
        """Exchange what differs with a majority: digests where nothing does."""
        roots = await self._env.in_thread(self._store.roots, place.table)
        for node in await self._reader.unlike(place, roots.get(place.sector, b"")):
            try:
                await self._equaliser.meet(node, place)
            except StorageFull:
                raise
            except InosError as error:
                raise NotEnoughNodes(f"a replica went silent: {error}", hint="try again in a moment") from None

    async def step(self) -> None:
        """One round of background work, for a Worker."""
        self._assignment.refresh()
        await self._writer.retry()
        await self._equaliser.step()

    def on_wake(self, wake: Callable[[], None]) -> None:
        """`wake` is called when a round is worth more than waiting for the next: the worker's poke."""
        self._equaliser.wake = wake

    def on_applied(self, table: str, handler: RecordHandler) -> None:
        """`handler` hears, on the event loop, of every record that changes this node's replica of `table`."""
        self._intake.on_applied(table, handler)

    def met(self, node: bytes) -> None:
        """`node` has just connected, and may have missed something: its first beat will tell."""
        self._likeness.doubt(node)
        self._met[node] = None

    def returned(self, node: bytes) -> None:
        """`node` was silent, and on its own perhaps: what either wrote meanwhile is news to the other."""
        if not self._likeness.alike(node):
            self._equaliser.suspect(node)

    def heard(self, node: bytes, summary: bytes, everything: bytes = b"") -> None:
        """What a heartbeat of `node` carried: when its tables stay unlike ours, the next round begins with it; while
        it has all that we have, there is nothing to compare."""
        self._likeness.hear(node, everything)
        if node in self._met:
            del self._met[node]
            if not self._likeness.alike(node):
                self._equaliser.suspect(node)
        if self._differing.lasts(node, summary, self._intake.summary):
            self._equaliser.suspect(node)

    def summary(self) -> bytes:
        """32 bytes over the tables every member has, for heartbeats; empty until `run`."""
        return self._intake.summary

    def everything(self) -> bytes:
        """32 bytes over all that this node has, for heartbeats; empty while that changes. Cheap to ask."""
        if not (ours := self._likeness.ours) and (now_s := self._env.monotonic_s()) >= self._looks_after_s:
            self._looks_after_s = now_s + _LOOK_S
            self._lanes.spawn(self._look)
        return ours

    async def _look(self) -> None:
        """Before a round does, for the next beat. What is wrong with the disk the worker's rounds say."""
        if self._looking:
            return
        self._looking = True
        try:
            await self._equaliser.look()
        except InosError as error:
            log.info("cannot tell what the tables hold: %s", error.message)
        finally:
            self._looking = False

    def replicas(self, table: str, key: bytes) -> tuple[bytes, ...]:
        """The members whose majority makes a write of `key` durable."""
        self._assignment.refresh()
        return self._assignment.replicas(self._assignment.place_of(table, key))

    def holds(self, table: str, key: bytes) -> bool:
        """Whether this node is kept up to date about `key` without asking."""
        self._assignment.refresh()
        return self._assignment.holds(self._assignment.me, self._assignment.place_of(table, key))

    def keeps(self, table: str, sector: int) -> bool:
        """Whether this node is to have every record of a sector."""
        self._assignment.refresh()
        return self._assignment.holds(self._assignment.me, Place(table, sector))

    @property
    def pending(self) -> int:
        """Records written here that are not known to have reached a majority yet."""
        return self._writer.pending

    @property
    def behind(self) -> int:
        """Places (sectors of tables) this node should hold and has not compared with another replica lately."""
        self._assignment.refresh()
        return len(self._equaliser.lagging())

    @property
    def exchanged(self) -> int:
        """Records moved by anti-entropy since the start."""
        return self._equaliser.moved

    def _repair(self, node: bytes, record: Record) -> None:
        self._lanes.offer(node, [Push(record.encoded, lambda _acked: None)])
