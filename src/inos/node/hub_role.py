"""The role of the hub on this node: who has it, taking it over, laying it down.

The record in table `hubs` alone decides. A node that finds itself in it opens its corpus and serves; one that finds
another there closes its own as soon as that one has everything. Knows nothing of who asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import trio

from inos.core.env import Env
from inos.core.errors import InosError, NotEnoughNodes
from inos.core.ids import OwnerId
from inos.crypto.signing import SigningKey
from inos.messages.corpus import Corpus
from inos.messages.hub import Hub, open_hub
from inos.messages.hub_memory import OWED, HubMemory, Settings
from inos.messages.hub_record import TABLE, HubRecord, decode_hub, key_of, sign_hub
from inos.messages.office import Seen, Wish, decide, following, knows_enough
from inos.messages.segment_store import SegmentStore
from inos.replication.table_gate import Verdict
from inos.replication.table_writes import WriteResult
from inos.state.capability import Member
from inos.state.lamport import LamportClock
from inos.state.record import Record
from inos.state.rendezvous import ranked_evenly


class Tables(Protocol):
    """The replicated tables, as far as the record of the hub needs them."""

    @property
    def clock(self) -> LamportClock: ...

    async def write(self, records: list[Record]) -> WriteResult: ...

    async def read(self, table: str, key: bytes, *, quorum: bool = False) -> Record | None: ...

    async def take(self, encoded: list[bytes]) -> list[Verdict]: ...

    def replicas(self, table: str, key: bytes) -> tuple[bytes, ...]: ...


class LocalRecords(Protocol):
    def get(self, table: str, key: bytes) -> Record | None: ...


class View(Protocol):
    def alive(self, node: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Mesh:
    """What the role needs to know of the mesh: its tables, who is in, who is there."""

    tables: Tables
    records: LocalRecords
    view: View
    members: Callable[[], Mapping[bytes, Member]]


@dataclass(frozen=True, slots=True)
class Desk:
    """Who this node is and what it wants."""

    me: bytes
    owner: OwnerId
    owner_key: SigningKey
    wish: Wish


HandOn = Callable[[Hub], Awaitable[None]]


class HubRole:
    """The role on one node. `open_corpus` blocks; `hand_on` brings what a corpus has and the mesh has not to the hub
    there is now, and raises while that is not possible."""

    def __init__(
        self,
        desk: Desk,
        mesh: Mesh,
        segments: SegmentStore,
        settings: Settings,
        open_corpus: Callable[[], Corpus],
        env: Env,
    ) -> None:
        self._desk = desk
        self._mesh = mesh
        self._segments = segments
        self._settings = settings
        self._open_corpus = open_corpus
        self._env = env
        self._acting = trio.Lock()
        self._served = trio.Event()
        self._started_s = env.monotonic_s()
        self._answered_s = env.monotonic_s()
        self._decoded: tuple[bytes, HubRecord] | None = None
        self._turn_of: tuple[int, frozenset[bytes]] | None = None
        self._its_turn = 0
        self._owed: bool | None = None
        self.hub: Hub | None = None
        """Open on this node; look at `serving` for whether it serves."""
        self.hand_on: HandOn
        self.opened: Callable[[Hub], None] = lambda _hub: None
        """Told of every hub that is opened to serve."""
        self.wake: Callable[[], None] = lambda: None

    # Who it is

    @property
    def encoded(self) -> bytes:
        """The record this node goes by; empty where there is none."""
        known = self._mesh.records.get(TABLE, key_of(self._desk.owner))
        return known.encoded if known is not None else b""

    def record(self) -> HubRecord | None:
        """Who the hub is, as far as this node knows."""
        known = self._mesh.records.get(TABLE, key_of(self._desk.owner))
        if known is None:
            return None
        if self._decoded is None or self._decoded[0] != known.encoded:
            self._decoded = known.encoded, decode_hub(known.value)
        return self._decoded[1]

    @property
    def serving(self) -> Hub | None:
        """The hub, when it is this node and its term is not over."""
        record, hub = self.record(), self.hub
        if hub is None or record is None or record.node != self._desk.me or record.term != hub.term:
            return None
        return hub

    def is_mine(self) -> bool:
        """Whether the record names this node."""
        record = self.record()
        return record is not None and record.node == self._desk.me

    def only_node(self) -> bool:
        """Whether the owner has no other node in this mesh."""
        return len(self._owners_nodes()) <= 1

    async def learn(self, encoded: bytes) -> None:
        """Somebody says who the hub is; believed only with the owner's signature."""
        if encoded and encoded != self.encoded:
            await self._mesh.tables.take([encoded])

    async def ask(self) -> None:
        """Ask the mesh who the hub is, where this node does not know."""
        with suppress(InosError):
            found = await self._mesh.tables.read(TABLE, key_of(self._desk.owner))
            if found is not None:
                await self.learn(found.encoded)

    def _owners_nodes(self) -> set[bytes]:
        members = self._mesh.members()
        return {node for node, member in members.items() if member.owner == self._desk.owner} | {self._desk.me}

    # What to do

    async def step(self) -> None:
        """One look at who it should be, and what follows from it."""
        async with self._acting:
            if decide(self._seen()) == "take":
                await self._make_sure()
                if decide(self._seen()) == "take":
                    await self._take()
            if self.is_mine():
                await self._serve()
            else:
                await self._lay_down()

    async def take(self) -> None:
        """Make this node the hub, whoever was. Raises NotEnoughNodes where too little of the mesh can be reached to
        know what the one before had."""
        async with self._acting:
            seen = self._seen()
            if not seen.majority:
                raise NotEnoughNodes(
                    "this node reaches too few others to know what the hub before it had",
                    hint="start more nodes; those that are gone for good: inos revoke NAME",
                )
            await self._make_sure()
            if not self.is_mine():
                await self._take()
        self.wake()

    async def _make_sure(self) -> None:
        """Know the latest record that a majority ever had. Raises NotEnoughNodes where that cannot be known."""
        key = key_of(self._desk.owner)
        try:
            found = await self._mesh.tables.read(TABLE, key, quorum=True)
        except NotEnoughNodes:
            if knows_enough(len(self._mesh.tables.replicas(TABLE, key)), 1):
                return
            raise
        if found is not None:
            await self.learn(found.encoded)

    def _seen(self) -> Seen:
        record, now_s = self.record(), self._env.monotonic_s()
        if record is None or self._mesh.view.alive(record.node):
            self._answered_s = now_s
        replicas = self._mesh.tables.replicas(TABLE, key_of(self._desk.owner))
        alive = sum(map(self._mesh.view.alive, replicas))
        return Seen(
            me=self._desk.me, wish=self._desk.wish, record=record, silent_s=now_s - self._answered_s,
            running_s=now_s - self._started_s, turn=self._turn(record), majority=knows_enough(len(replicas), alive),
        )  # fmt: skip

    def _turn(self, record: HubRecord | None) -> int:
        """This node's place among those of the owner that are there; another one in each term."""
        term = record.term if record else 0
        there = frozenset(filter(self._mesh.view.alive, self._owners_nodes()))
        if (term, there) != self._turn_of:
            item = b"inos hub " + bytes(self._desk.owner) + term.to_bytes(8, "big")
            self._turn_of, self._its_turn = (term, there), ranked_evenly(item, there).index(self._desk.me)
        return self._its_turn

    async def _take(self, after: int = 0) -> None:
        known = self._mesh.records.get(TABLE, key_of(self._desk.owner))
        record = following(self.record(), self._desk.me, int(self._env.now_s() * 1000), after=after)
        lamport = self._mesh.tables.clock.tick(after=known.lamport if known is not None else 0)
        await self._mesh.tables.write([sign_hub(self._desk.owner_key, record, lamport)])

    async def _serve(self) -> None:
        """Open the corpus of this term, take in what the mesh has. Raises what keeps it from that."""
        record = self.record()
        assert record is not None
        if self.hub is not None and self.hub.term != record.term:
            await self._close()
        if self.hub is None:
            await self._owe(True)
            self.hub = await self._opened(record.term)
            self.opened(self.hub)
        if self.hub.ready:
            return
        if later := await self.hub.restore():
            await self._make_sure()
            if self.serving is self.hub:  # and not one that has not heard of the hub there is now
                await self._take(after=later)
            self.wake()
            return
        self._served.set()

    async def until_serving(self, timeout_s: float) -> bool:
        """Wait until this node serves as the hub; whether it does."""
        with trio.move_on_after(timeout_s):
            while (hub := self.serving) is None or not hub.ready:
                self._served = trio.Event()
                await self._served.wait()
        return self.serving is not None

    async def _lay_down(self) -> None:
        """Serve no more; when another hub has everything, forget the corpus."""
        if self._owed is None:
            self._owed = await self._env.in_thread(self._settings.get, OWED) == b"1"
        if self.hub is not None:
            self.hub.retire()
        if not self._owed or self.record() is None:
            return
        if self.hub is None:
            self.hub = await self._opened(0)
            self.hub.retire()
        await self.hub.quiet()
        await self.hand_on(self.hub)
        self.hub.memory.covered.handed_on = True
        await self.hub.memory.save()
        await self._close()
        await self._owe(False)

    async def _opened(self, term: int) -> Hub:
        with trio.CancelScope(shield=True):  # one that nobody holds would never be closed
            corpus = await self._env.in_thread(self._open_corpus)
        try:
            memory = HubMemory(self._settings, corpus.identity, self._env)
            return await open_hub(corpus, self._segments, memory, term, self._env)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._env.in_thread(corpus.close)
            raise

    async def _owe(self, owed: bool) -> None:
        await self._env.in_thread(self._settings.put, {OWED: b"1" if owed else b"0"})
        self._owed = owed

    async def _close(self) -> None:
        hub, self.hub = self.hub, None
        if hub is not None:
            await hub.close()

    async def close(self) -> None:
        """The node ends."""
        with trio.CancelScope(shield=True):
            await self._close()
