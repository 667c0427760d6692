"""A mesh of nodes that keep tables, in one process and under trio's mock clock: what the table suite runs on.

Two tables: `notes` in sectors, `roster` everywhere. A key names who may write it (`key_of`), so a verdict never depends
on the order of arrival. Liveness is ideal by default (a cut peer is known to be cut); `blind` takes that away.
"""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import trio
import trio.testing

from inos.core.errors import BadInput, Refused
from inos.core.ids import PeerId
from inos.crypto.signing import SigningKey
from inos.mesh.network import Message
from inos.replication.table_client import TableClient
from inos.replication.table_view import Place
from inos.replication.tables import Tables
from inos.sim.fabric import MemoryFabric
from inos.sim.network import MemoryNetwork
from inos.state.record import Record
from inos.state.records import sign_record
from inos.state.sectors import replicas
from inos.state.tables import Scope, TableSpec
from inos.store.replica import BUCKETS, Replica
from inos.testing.env import SimEnv
from inos.testing.members import fixed_key

NOTES: Final = "notes"
ROSTER: Final = "roster"
PARTITION_BYTES: Final = 4
MAX_NOTE_BYTES: Final = 16 * 1024
VIRTUAL_DEADLINE_S: Final = 3600.0


def key_of(name: str, author: SigningKey) -> bytes:
    """The key `author` may write: four bytes of `name` (the partition), the author, the rest of the name."""
    text = name.encode().ljust(PARTITION_BYTES, b"-")
    return text[:PARTITION_BYTES] + author.public_key + text[PARTITION_BYTES:]


def _validate(record: Record) -> None:
    if len(record.key) < PARTITION_BYTES + 32:
        raise BadInput("a key names its author")
    if len(record.value) > MAX_NOTE_BYTES:
        raise BadInput("a note is short")


def _authorise(record: Record, _current: Record | None) -> None:
    if record.author != record.key[PARTITION_BYTES : PARTITION_BYTES + 32]:
        raise Refused("a note is changed by its author")


SPECS: Final = (
    TableSpec(NOTES, Scope.SECTORS, _validate, _authorise, partition_bytes=PARTITION_BYTES),
    TableSpec(ROSTER, Scope.EVERYWHERE, _validate, _authorise),
)


class _OpenAdmission:
    def admits(self, _peer: PeerId) -> bool:
        return True

    def hello(self) -> bytes:
        return b""

    def welcome(self, _peer: PeerId, _hello: bytes) -> None:
        """Everybody is a member here."""


class CountingNetwork:
    """A node's network that remembers how often each method was called."""

    def __init__(self, inner: MemoryNetwork) -> None:
        self._inner = inner
        self.calls: Counter[str] = Counter()
        self.serve = inner.serve
        self.publish = inner.publish
        self.subscribe = inner.subscribe

    async def call(self, peer: PeerId, method: str, request: Message, *, timeout_s: float) -> Message:
        self.calls[method] += 1
        return await self._inner.call(peer, method, request, timeout_s=timeout_s)


class Node:
    """One node with its tables."""

    def __init__(self, mesh: TableMesh, key: SigningKey, store: Replica, also_hold: Iterable[Place]) -> None:
        self._mesh = mesh
        self.key = key
        self.store = store
        self.peer = PeerId.from_public_key(key.public_key)
        self.inner = mesh.fabric.join(self.peer, _OpenAdmission())
        self.network = CountingNetwork(self.inner)
        self.client = TableClient(self.network, mesh.env)
        self.blind = False
        kept = frozenset(also_hold)
        self.tables = Tables(
            store, self.network, self, mesh.env, SPECS,
            also_hold=lambda table, sector: table in mesh.all_hold or Place(table, sector) in kept,
            all_hold=lambda table: table in mesh.all_hold,
        )  # fmt: skip

    @property
    def me(self) -> bytes:
        return self.key.public_key

    def members(self) -> Mapping[bytes, float]:
        return self._mesh.members

    def alive(self, node: bytes) -> bool:
        return self.blind or self._mesh.fabric.passes(self.peer, PeerId.from_public_key(node))

    def alive_members(self) -> Sequence[bytes]:
        return [self.me, *(node for node in self._mesh.members if node != self.me and self.alive(node))]

    def note(
        self, name: str, value: bytes = b"v", *, table: str = NOTES, removed: bool = False, after: int = 0
    ) -> Record:
        """A record of this node, later than everything it has seen."""
        lamport = self.tables.clock.tick(after)
        return sign_record(self.key, table, key_of(name, self.key), b"" if removed else value, lamport, removed)

    def keys(self, place: Place) -> set[bytes]:
        """The keys this node has of a place."""
        return {entry.key for entry in self.store.entries(*place, range(BUCKETS))}

    def has(self, record: Record) -> bool:
        return self.store.get(record.table, record.key) == record


class StoreFactory(Protocol):
    def __call__(self, name: str) -> Replica:
        """An empty store of that name."""


class TableMesh:
    """Nodes on one fabric, all connected, all members unless said otherwise."""

    def __init__(self, stores: StoreFactory, seed: int) -> None:
        self.env = SimEnv(seed)
        self.fabric = MemoryFabric(self.env, latency_s=0.001)
        self.members: dict[bytes, float] = {}
        self.nodes: list[Node] = []
        self.all_hold: set[str] = set()
        """Tables of which every member keeps all sectors. To be said before the nodes are added."""
        self._stores = stores
        self._nursery: trio.Nursery | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[TableMesh]:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            yield self
            nursery.cancel_scope.cancel()
        for node in self.nodes:
            if self.fabric.node(node.peer) is not None:
                self.fabric.stop(node.peer)

    async def add(self, *, member: bool = True, also_hold: Iterable[Place] = ()) -> Node:
        """One more node, connected with all that run."""
        assert self._nursery is not None
        key = fixed_key("table node", len(self.nodes))
        node = Node(self, key, self._stores(f"node{len(self.nodes)}"), also_hold)
        if member:
            self.members[node.me] = 1.0
        await self._nursery.start(node.tables.run)
        for other in self.nodes:
            if self.fabric.node(other.peer) is not None:
                await node.inner.connect(other.inner.addresses(), timeout_s=5)
        self.nodes.append(node)
        return node

    def node(self, public_key: bytes) -> Node:
        return next(node for node in self.nodes if node.me == public_key)

    def replicas(self, record: Record) -> list[Node]:
        """The nodes that answer for `record`, best first."""
        return [self.node(one) for one in self.nodes[0].tables.replicas(record.table, record.key)]

    def part(self, left: Iterable[Node]) -> None:
        """Cut the cables between `left` and everybody else."""
        inside = list(left)
        for node in inside:
            for other in self.nodes:
                if other not in inside:
                    self.fabric.cut(node.peer, other.peer)

    async def round(self, nodes: Iterable[Node] | None = None) -> None:
        """One step of each node's worker."""
        for node in list(nodes if nodes is not None else self.nodes):
            await node.tables.step()

    async def settle(self, rounds: int = 30) -> int:
        """Rounds until all replicas are equal; how many it took."""
        for count in range(rounds):
            if self.is_settled():
                return count
            await self.round()
        raise AssertionError(f"still different after {rounds} rounds")

    def is_settled(self) -> bool:
        """Whether all members have the same in every place they should hold, and all there is."""
        return all(self._agreed(place) for place in self._places())

    def _places(self) -> list[Place]:
        return sorted({Place(spec.name, s) for spec in SPECS for n in self.nodes for s in n.store.roots(spec.name)})

    def _agreed(self, place: Place) -> bool:
        if place.table == ROSTER:
            holders = [node for node in self.nodes if node.me in self.members]
        else:
            holders = [self.node(one) for one in replicas(*place, self.members)]
        roots = {node.store.roots(place.table).get(place.sector, b"") for node in holders}
        everything = {key for node in self.nodes for key in node.keys(place)}
        return len(roots) == 1 and everything == holders[0].keys(place)


MeshTest = Callable[..., Awaitable[None]]


def virtual(test: MeshTest) -> Callable[..., None]:
    """A coroutine test under a mock clock: waiting takes no time."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def main() -> None:
            with trio.fail_after(VIRTUAL_DEADLINE_S):
                await test(*args, **kwargs)

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    return run


def sector_of(record: Record) -> int:
    """The sector of a note."""
    return SPECS[0].sector_of(record.key)


class MeshSuite(ABC):
    """Tests on a mesh; what its nodes keep their records in is up to the implementation."""

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
