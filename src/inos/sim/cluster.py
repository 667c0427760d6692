"""A mesh of complete nodes in one process: real stores, memory for disks and network, and a clock that jumps.

    @sim_test
    async def test_something():
        async with open_cluster(5) as cluster:
            reference = await cluster.nodes[0].put(b"content")
            await cluster.nodes[1].crash()
            await cluster.passes(120)

Each node is what `inos up` runs, opened by `open_core` on a disk of its own; only the disks (`SimDisk`), the wires
(`MemoryFabric`), the clock and chance (`SimEnv`) are simulated, so that minutes of repair pass in milliseconds and a
seed repeats a run. A node keeps its disk over `crash` and `start`. `crash` ends everything the node does at the nearest
point where it waits, and takes the power from its disk: what was not synced by then may be gone, or half there.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from inos.core.crew import open_tasks
from inos.core.errors import InosError, NotFound
from inos.core.ids import Address, Cid, OwnerId, PeerId
from inos.core.options import Compression
from inos.core.reports import PutOptions, PutReport
from inos.crypto.derive import NODE_NONCE_BYTES, Keyring, MasterSecret
from inos.crypto.hashing import address_of, blake3_digest
from inos.mesh.network import Admission, Network
from inos.messages.hub_config import DEFAULT_SNAPSHOT_S
from inos.messages.office import Wish
from inos.node.core import Core, NodeSettings, Parts, open_core
from inos.node.disk import BLOBS, Disk, offered, open_disk
from inos.node.identity import Identity, load_identity, remember_mesh
from inos.node.messaging import MessageSettings
from inos.replication.durability import UNREADABLE, Group, survivable_losses
from inos.replication.holder import HoldState
from inos.replication.layout import assigned_to, read_layout
from inos.replication.placement import Placement
from inos.replication.scheme import DEFAULT_RULES, PlanRules
from inos.replication.warm import KEEP_NOTHING, WarmRules
from inos.sim.disk import SimDisk
from inos.sim.fabric import MemoryFabric
from inos.sim.liar import Liar
from inos.sim.machine import MachineEnv
from inos.sim.wires import Distance
from inos.state.capability import Capability
from inos.state.certificates import SERIAL_BYTES, Certificate, Genesis, Grant, found_mesh, issue_certificate
from inos.state.record import Record
from inos.state.records import sign_record
from inos.state.revocation import MEMBERS, revoke_as_founder
from inos.state.tables import EVERYWHERE_SECTOR
from inos.store.chunk_files import SUFFIX
from inos.testing.env import EPOCH_S, SimEnv

if TYPE_CHECKING:
    from trio_typing import TaskStatus

PROFILE: Final = "heavy"
LATENCY_S: Final = 0.001
QUOTA_BYTES: Final = 10**9
DISK_BYTES: Final = 4 * QUOTA_BYTES
# What the stores of a node that keeps nothing yet take up of its disk, and more.
EMPTY_BYTES: Final = 1 << 20
REPAIR_AFTER_S: Final = 30.0
REMOVE_DELAY_S: Final = 600.0
# Longer than failing, the repair delay, a few rounds of repair and their backoff, and anti-entropy.
SETTLED_WITHIN_S: Final = 600.0
_LOOK_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What all nodes of a cluster have in common. Delays in seconds."""

    seed: int = 0
    repair_after_s: float = REPAIR_AFTER_S
    remove_delay_s: float = REMOVE_DELAY_S
    quota_bytes: int = QUOTA_BYTES
    rules: PlanRules = DEFAULT_RULES
    warm: WarmRules = KEEP_NOTHING
    disk_bytes: int = DISK_BYTES
    latency_s: float = LATENCY_S
    tick_s: float = 0.0
    regions: int = 1
    region_latency_s: float = LATENCY_S
    compression: Compression = "lz4"
    hubs: int = 0
    snapshot_s: float = DEFAULT_SNAPSHOT_S


def fixed_bytes(size: int, *labels: object) -> bytes:
    """`size` bytes that do not compress, the same for the same labels in every run."""
    seed = int.from_bytes(blake3_digest(repr(labels).encode())[:8])
    return SimEnv(seed).token_bytes(size)


async def stream(data: bytes, step: int = 1 << 20) -> AsyncIterator[bytes]:
    """`data` as a source for a put."""
    for start in range(0, len(data), step):
        await trio.lowlevel.checkpoint()
        yield data[start : start + step]


class ClusterNode:
    """One machine: its disk, and the node on it while it runs. `env.skew_s` sets its wall clock wrong."""

    def __init__(self, cluster: Cluster, number: int, owner: int, quota_bytes: int, region: str) -> None:
        self.cluster = cluster
        self.number = number
        self.quota_bytes = quota_bytes
        self.region = region
        self.compression = cluster.settings.compression
        self.disk = self._new_disk()
        self.env = MachineEnv(cluster.settings.seed * 1000 + number, self.disk, cluster.fabric.schedule)
        self.started_s = 0.0
        """Virtual time of its last start."""
        self._clients: dict[trio.CancelScope, None] = {}
        self.keyring = Keyring(MasterSecret(blake3_digest(b"owner %d" % owner)))
        self.node_key = self.keyring.node_key(blake3_digest(b"node %d" % number)[:NODE_NONCE_BYTES])
        self.peer = PeerId.from_public_key(self.node_key.public_key)
        self._core: Core | None = None
        self._scope: trio.CancelScope | None = None
        self._ended = trio.Event()

    # Its life

    @property
    def running(self) -> bool:
        return self._core is not None

    @property
    def core(self) -> Core:
        """The running node."""
        assert self._core is not None, f"node {self.number} does not run"
        return self._core

    @property
    def key(self) -> bytes:
        """The node's public key."""
        return self.node_key.public_key

    async def start(self) -> None:
        """Open the node on its disk; it finds the others by itself."""
        await self.cluster.run_node(self._run)

    async def crash(self, *, power_lost: bool = True) -> None:
        """End it at once, whatever it is doing; the others see their connections break. With the power goes what its
        disk had not synced; without `power_lost` it is the process alone that ends."""
        assert self._scope is not None
        if self.cluster.fabric.node(self.peer) is not None:
            self.cluster.fabric.stop(self.peer)
        if power_lost:
            self.disk.crash()
        else:
            self.disk.kill()
        for client in list(self._clients):
            client.cancel()
        self.env.wake()
        self._scope.cancel()
        await self._ended.wait()

    async def restart(self) -> None:
        """Crash and start again on the same disk."""
        await self.crash()
        await self.start()

    def lose_disk(self) -> None:
        """Forget everything but who the node is, as after a restore from its phrase. Only while it does not run."""
        assert not self.running
        self.disk = self.env.disk = self._new_disk()
        self.prepare()

    def _new_disk(self) -> SimDisk:
        chance = random.Random(self.cluster.settings.seed * 1000 + self.number)  # noqa: S311 - repeatable by intent
        return SimDisk(chance, capacity_bytes=self.cluster.settings.disk_bytes)

    def prepare(self) -> None:
        """Fill the disk of a node that has just joined: it knows the members so far, and nothing else."""
        with self._opened_disk() as disk:
            remember_mesh(disk.settings, self.cluster.genesis, self.cluster.certify(self))
            known = self.cluster.member_records()
            disk.records.apply(known, [EVERYWHERE_SECTOR] * len(known))

    def _opened_disk(self) -> AbstractContextManager[Disk]:
        key = self.keyring.database_key()
        return open_disk(self.disk.root, key, self.quota_bytes, self.env, files=self.disk.files)

    async def _run(self, task_status: TaskStatus[None]) -> None:
        self._ended = trio.Event()
        try:
            with self._opened_disk() as disk, trio.CancelScope() as self._scope:
                identity = load_identity(self.keyring, self.node_key, disk.settings, self.env)
                async with open_core(self._parts(identity, disk), self.env) as self._core:
                    self.started_s = trio.current_time()
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._core = self._scope = None
            self._ended.set()

    def _parts(self, identity: Identity, disk: Disk) -> Parts:
        common = self.cluster.settings
        settings = NodeSettings(
            name=f"node{self.number}",
            profile=PROFILE,
            region=self.region,
            compression=self.compression,
            repair_after_s=common.repair_after_s,
            remove_delay_s=common.remove_delay_s,
            rules=common.rules,
            warm=common.warm,
            messages=self._messages(),
        )
        return Parts(identity, settings, disk, self._network)

    def _messages(self) -> MessageSettings:
        hubs = self.cluster.settings.hubs
        wish: Wish = "none" if self.number >= hubs else "standby" if self.number else "hub"
        return MessageSettings(wish, snapshot_s=self.cluster.settings.snapshot_s)

    @asynccontextmanager
    async def _network(self, admission: Admission) -> AsyncGenerator[Network, None]:
        fabric = self.cluster.fabric
        network = fabric.join(self.peer, admission)
        try:
            yield network
        finally:
            if fabric.node(self.peer) is network:
                fabric.stop(self.peer)

    # What happens to it

    @contextmanager
    def client(self, scope: trio.CancelScope) -> Iterator[None]:
        """What a user does inside ends with the node, by `scope`."""
        self._clients[scope] = None
        try:
            yield
        finally:
            del self._clients[scope]

    def fall_asleep(self) -> None:
        """Close its lid; fine when it is closed."""
        self.cluster.fabric.asleep(self.peer)
        self.env.fall_asleep()

    def wake(self) -> None:
        """Open its lid."""
        self.cluster.fabric.awake(self.peer)
        self.env.wake()

    def rot(self, addresses: Sequence[Address] | None, chunks: int) -> int:
        """Flip a bit in each of `chunks` of its chunk files, of `addresses` where given; how many were damaged."""
        wanted = None if addresses is None else {address.hex() for address in addresses}
        files = [path for path in self.disk.paths() if path.endswith(SUFFIX)]
        if wanted is not None:
            files = [path for path in files if path.rpartition("/")[2].removesuffix(SUFFIX) in wanted]
        for path in (chosen := self.env.random.sample(files, min(chunks, len(files)))):
            self.disk.rot(path)
        return len(chosen)

    def is_sound(self, address: Address) -> bool:
        """Whether the chunk's file, if it has one, has the right bytes, looked at without the node noticing."""
        name = address.hex()
        file = self.disk.peek(f"{self.disk.root}/{BLOBS}/{name[:2]}/{name}{SUFFIX}")
        return file is None or address_of(file) == address

    def turn(self, chance: random.Random) -> None:
        """Make it lie from now on, and lose what it says it has."""
        self.cluster.fabric.tamper(self.peer, Liar(chance))
        self.rot(None, 1 << 30)

    async def revoke(self, other: ClusterNode) -> None:
        """Take `other`'s membership away; this node's owner must have founded the mesh."""
        core = self.core
        keeps, lamport = core.membership.certified_by(other.key), core.tables.clock.tick()
        record = revoke_as_founder(
            self.keyring.owner_key(), other.key, keeps=keeps, lamport=lamport, reason="", now_s=self.env.now_s()
        )
        await core.tables.write([record])
        await core.network.disconnect(other.peer)

    # What its user does

    async def put(self, data: bytes, name: str | None = None, *, require: str = "", sized: bool = True) -> PutReport:
        """Put `data`; with `sized` its size is said beforehand."""
        options = PutOptions(name=name, size=len(data) if sized else None, require=require)
        return await self.core.keeping.vault.put(stream(data), options)

    async def get(self, target: str, start: int = 0, end: int | None = None) -> bytes:
        """The content of a reference or name."""
        reading = await self.core.keeping.vault.open(target, start, end)
        return b"".join([chunk async for chunk in reading.chunks])

    async def remove(self, target: str) -> None:
        await self.core.keeping.vault.remove(target)

    # What is so

    def placement(self, cid: Cid) -> Placement | None:
        """The object's placement as this node knows it."""
        return self.core.keeping.placements.known(cid)

    def verified(self, placement: Placement) -> HoldState:
        """What of the node's pieces really is on its disk, by reading all of them."""
        found = 0
        wanted = self.cluster.assigned(placement, self.key)
        for address in wanted:
            with suppress(InosError):
                self.core.disk.chunks.get(address)
                found += 1
        return HoldState(placement.cid, found, len(wanted), epoch=placement.epoch)

    def chunks(self) -> int:
        """Chunks on its disk."""
        return self.core.disk.chunks.usage().chunks


class Cluster:
    """The nodes, the wires between them, and the mesh they are in."""

    def __init__(self, settings: ClusterSettings, nursery: trio.Nursery) -> None:
        self.settings = settings
        self.fabric = MemoryFabric(SimEnv(settings.seed), latency_s=settings.latency_s, tick_s=settings.tick_s)
        for one, other in itertools.combinations(range(settings.regions), 2):
            self.fabric.set_distance(str(one), str(other), Distance(settings.region_latency_s))
        self.nodes: list[ClusterNode] = []
        self._numbered = 0
        self._records: dict[int, Record] = {}
        self._nursery = nursery
        founder = self._founder = Keyring(MasterSecret(blake3_digest(b"owner 0"))).owner_key()
        self.genesis: Genesis = found_mesh(OwnerId(founder.public_key), blake3_digest(b"mesh")[:16])

    # Nodes

    async def add(self, *, owner: int = 0, quota_bytes: int | None = None) -> ClusterNode:
        """One more node, started. Owner 0 founded the mesh."""
        node = self.include(owner=owner, quota_bytes=quota_bytes)
        await node.start()
        return node

    def include(self, *, owner: int = 0, quota_bytes: int | None = None) -> ClusterNode:
        """One more node, still to be started."""
        node = self._new_node(owner, quota_bytes)
        node.prepare()
        self.nodes.append(node)
        return node

    async def add_all(self, count: int) -> None:
        """`count` nodes of the founder's that know each other from the start, all started."""
        new = [self._new_node() for _ in range(count)]
        self.nodes += new
        for node in new:
            node.prepare()
        async with trio.open_nursery() as nursery:
            for node in new:
                nursery.start_soon(node.start)

    def _new_node(self, owner: int = 0, quota_bytes: int | None = None) -> ClusterNode:
        number = self._numbered
        self._numbered += 1
        region = str(number % self.settings.regions) if self.settings.regions > 1 else ""
        node = ClusterNode(self, number, owner, quota_bytes or self.settings.quota_bytes, region)
        self.fabric.place(node.peer, region)
        return node

    async def run_node(self, run: Callable[..., Awaitable[object]]) -> None:
        """Run a node in the background until it ends."""
        await self._nursery.start(run)

    def certify(self, node: ClusterNode) -> Certificate:
        """The founder's certificate for a node of any owner."""
        owner = OwnerId(node.keyring.owner_key().public_key)
        grant = Grant(self.genesis.mesh, node.key, owner, True, int(EPOCH_S * 1000), node.key[:SERIAL_BYTES])
        return issue_certificate(self._founder, grant)

    def member_records(self) -> list[Record]:
        """What a joining node is told of the members."""
        return [self._member_record(node) for node in self.nodes]

    def _member_record(self, node: ClusterNode) -> Record:
        known = self._records.get(node.number)
        if known is None:
            known = self._records[node.number] = self._sign_member(node)
        return known

    def _sign_member(self, node: ClusterNode) -> Record:
        address = f"/memory/{node.peer}/p2p/{node.peer}"
        # What the node will say of itself, so that hundreds that start at once need not tell each other anew.
        machine, room_bytes = node.env.machine(), min(node.quota_bytes, self.settings.disk_bytes - EMPTY_BYTES)
        said = Capability(
            certificate=self.certify(node).encode(),
            addresses=(address,),
            region=node.region,
            profile=PROFILE,
            storage_bytes=offered(room_bytes),
            cores=machine.cores,
            memory_bytes=machine.memory_bytes,
            name=f"node{node.number}",
        )
        return sign_record(node.node_key, MEMBERS, node.key, said.encode(), 1)

    def by_peer(self, peer: PeerId) -> ClusterNode | None:
        """The machine of that name."""
        return next((node for node in self.nodes if node.peer == peer), None)

    def running(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.running]

    def holders(self, placement: Placement) -> list[ClusterNode]:
        """The running nodes among the members of an object."""
        return [node for node in self.running() if node.key in placement.members]

    def cut_off(self, node: ClusterNode) -> None:
        """Pull the cables of a node."""
        for other in self.nodes:
            if other is not node:
                self.fabric.cut(node.peer, other.peer)

    # Time

    async def passes(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def until(self, holds: Callable[[], bool], within_s: float = SETTLED_WITHIN_S) -> float:
        """Wait until `holds()`; how many seconds that took. Raises AssertionError when it does not come true."""
        start_s = trio.current_time()
        while not holds():
            if trio.current_time() - start_s > within_s:
                raise AssertionError(f"not so within {within_s:g} s")
            await trio.sleep(_LOOK_EVERY_S)
        return trio.current_time() - start_s

    async def connected(self) -> None:
        """Wait until every running node knows every other and sees those it keeps a link to: in a small mesh all."""
        await self.until(lambda: all(self._sees_all(node) for node in self.running()))

    def _sees_all(self, node: ClusterNode) -> bool:
        meeting, running = node.core.meeting, {other.key for other in self.running()}
        linked = running & {peer.public_key() for peer in meeting.links.targets()}
        if not linked | {node.key} <= {candidate.key for candidate in meeting.view.candidates()}:
            return False
        return running <= node.core.membership.members().keys()

    # The truth about objects, which no node knows: read from all disks

    def placement(self, cid: Cid) -> Placement | None:
        """The latest placement that any running node knows."""
        known = [found for node in self.running() if (found := node.placement(cid)) is not None]
        return max(known, key=lambda placement: placement.epoch, default=None)

    def is_removed(self, cid: Cid) -> bool:
        """Whether any running node takes the object for removed."""
        return any(node.core.keeping.placements.removed(cid) for node in self.running())

    def assigned(self, placement: Placement, member: bytes) -> list[Address]:
        """Every piece that `placement` assigns to `member`."""
        return [address for group in self.groups(placement) for address in assigned_to(group, member)]

    def groups(self, placement: Placement) -> list[Group]:
        """All groups of an object, its manifest and pages read from whichever running node has them."""
        return list(read_layout(placement.cid, self._read).groups(placement, self._read))

    def _read(self, address: Address) -> bytes:
        for node in self.running():
            with suppress(InosError):
                return node.core.disk.chunks.get(address)
        raise NotFound(f"no running node has {address!r}")

    def survives(self, cid: Cid) -> int:
        """How many more nodes the object can lose, judged by what is really on the disks of running nodes; -1 when it
        cannot be read."""
        placement = self.placement(cid)
        if placement is None:
            return UNREADABLE
        try:
            groups = self.groups(placement)
        except InosError:
            return UNREADABLE
        good = [node.key for node in self.holders(placement) if node.verified(placement).completes(placement)]
        return survivable_losses(groups, good)


@asynccontextmanager
async def open_cluster(nodes: int, settings: ClusterSettings | None = None) -> AsyncGenerator[Cluster, None]:
    """A cluster of `nodes` started nodes of one owner that see each other; all end with the block."""
    async with open_tasks() as nursery:
        cluster = Cluster(settings or ClusterSettings(), nursery)
        await cluster.add_all(nodes)
        await cluster.connected()
        try:
            yield cluster
        finally:
            nursery.cancel_scope.cancel()
