"""The network seam in memory: many nodes in one process, with latency, cuts and sudden stops on demand.

A `MemoryFabric` stands for the wires; each node that joins gets a `MemoryNetwork`. Nothing here draws on time or chance
beyond trio's clock and the Env, and all iteration is in a fixed order, so a run under a seeded scheduler repeats.

Faults: `cut` is a pulled cable (frames vanish, connections stay until somebody gives up on them), `stop` is a killed
process (peers see the connection break at once). What a node is doing for others dies with it.

Handlers run as trio system tasks: they belong to the answering node, must outlive the caller's cancel scope, and plain
objects have no nursery to give. Each runs under a scope its node keeps, and nothing but cancellation leaves it.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from inos.core.env import Env
from inos.core.errors import BadInput, InosError, NotAMember, PeerUnavailable, TooLarge
from inos.core.ids import PeerId
from inos.mesh.methods import MethodTable, check_size, deliver
from inos.mesh.network import MAX_GOSSIP_BYTES, Admission, GossipHandler, Handler, Message, PeerHandler

log = logging.getLogger(__name__)

# The same queue the libp2p host keeps for one subscription; beyond it gossip is dropped, as it may be.
SUBSCRIPTION_QUEUE: Final = 1024


@dataclass(slots=True, eq=False)
class _Waiting:
    """One call on its way: set once, by the answer or by the connection breaking."""

    done: trio.Event = field(default_factory=trio.Event)
    answer: Message | InosError | None = None

    def settle(self, answer: Message | InosError) -> None:
        if not self.done.is_set():
            self.answer = answer
            self.done.set()


class MemoryFabric:
    """The wires between the nodes of one process."""

    def __init__(self, env: Env, *, latency_s: float = 0.0) -> None:
        self.env = env
        self._latency_s = latency_s
        self._link_latency_s: dict[frozenset[PeerId], float] = {}
        self._cuts: set[frozenset[PeerId]] = set()
        self._nodes: dict[PeerId, MemoryNetwork] = {}
        self._announced: dict[bytes, dict[PeerId, None]] = {}

    def join(self, peer: PeerId, admission: Admission) -> MemoryNetwork:
        """A network for `peer`, alone until it connects. A stopped peer may join again."""
        if peer in self._nodes:
            raise BadInput(f"{peer.short()} has joined already")
        node = self._nodes[peer] = MemoryNetwork(self, peer, admission)
        return node

    def cut(self, a: PeerId, b: PeerId) -> None:
        """From now on nothing passes between `a` and `b`; neither is told."""
        self._cuts.add(frozenset((a, b)))

    def heal(self) -> None:
        """Mend every cut."""
        self._cuts.clear()

    def stop(self, peer: PeerId) -> None:
        """Kill `peer`: its work ends, its connections break, its address is dead."""
        self._nodes.pop(peer).shut()

    def set_latency(self, a: PeerId, b: PeerId, latency_s: float) -> None:
        """One-way delay between `a` and `b`, instead of the fabric's default."""
        self._link_latency_s[frozenset((a, b))] = latency_s

    def node(self, peer: PeerId) -> MemoryNetwork | None:
        """The running node of that name."""
        return self._nodes.get(peer)

    def passes(self, a: PeerId, b: PeerId) -> bool:
        """Whether a frame sent now from `a` would arrive at `b`."""
        return frozenset((a, b)) not in self._cuts and a in self._nodes and b in self._nodes

    def is_cut(self, a: PeerId, b: PeerId) -> bool:
        return frozenset((a, b)) in self._cuts

    async def travel(self, a: PeerId, b: PeerId) -> None:
        """Take as long as a frame from `a` to `b` does."""
        await trio.sleep(self._link_latency_s.get(frozenset((a, b)), self._latency_s))

    def announce(self, key: bytes, peer: PeerId) -> None:
        self._announced.setdefault(key, {})[peer] = None

    def announced(self, key: bytes, seeker: PeerId) -> list[PeerId]:
        """Who announced `key` on this side of every cut; the dead stay listed, as they do in a real directory."""
        return [peer for peer in self._announced.get(key, ()) if not self.is_cut(peer, seeker)]


class MemoryNetwork:
    """One node's view of a MemoryFabric: the whole `inos.mesh.network.Network` contract."""

    def __init__(self, fabric: MemoryFabric, me: PeerId, admission: Admission) -> None:
        self._fabric = fabric
        self._me = me
        self._admission = admission
        self._methods = MethodTable()
        self._waiting: dict[PeerId, dict[_Waiting, None]] = {}
        self._topics: dict[str, trio.MemorySendChannel[tuple[PeerId, bytes]]] = {}
        self._on_connected: list[PeerHandler] = []
        self._on_disconnected: list[PeerHandler] = []
        self._heard_s: dict[PeerId, float] = {}
        self._scopes: dict[trio.CancelScope, None] = {}
        self.refused = 0

    # -- peers

    @property
    def me(self) -> PeerId:
        return self._me

    def addresses(self) -> Sequence[str]:
        return (f"/memory/{self._me}/p2p/{self._me}",)

    def connected(self) -> frozenset[PeerId]:
        return frozenset(self._waiting)

    def on_connected(self, handler: PeerHandler) -> None:
        self._on_connected.append(handler)

    def on_disconnected(self, handler: PeerHandler) -> None:
        self._on_disconnected.append(handler)

    def last_heard_s(self, peer: PeerId) -> float | None:
        return self._heard_s.get(peer)

    async def connect(self, addresses: Sequence[str], *, timeout_s: float) -> PeerId:
        other = await self._dial(addresses, timeout_s)
        if other.me in self._waiting and self._me in other._waiting:
            return other.me
        await self._fabric.travel(self._me, other.me)
        other._welcome(self)
        await self._fabric.travel(other.me, self._me)
        self._welcome(other)
        self._open(other.me)
        other._open(self._me)
        return other.me

    async def disconnect(self, peer: PeerId) -> None:
        self._drop(peer)
        if self._fabric.passes(self._me, peer) and (other := self._fabric.node(peer)) is not None:
            other._drop(self._me)
        await trio.lowlevel.checkpoint()

    async def ask(self, addresses: Sequence[str], method: str, request: Message, *, timeout_s: float) -> Message:
        check_size(request)
        other = await self._dial(addresses, timeout_s)
        return await self._exchange(other.me, method, request, _Waiting(), timeout_s)

    async def _dial(self, addresses: Sequence[str], timeout_s: float) -> MemoryNetwork:
        """The node behind the first live address. Over a cut cable it takes the whole `timeout_s`, as dialling does."""
        silent = False
        for address in addresses:
            _, _, named = address.rpartition("/p2p/")
            place = address.removeprefix("/memory/").partition("/")[0]
            node = self._fabric.node(PeerId(place))
            if node is None or node.me != named or node is self:
                continue
            if self._fabric.passes(self._me, node.me):
                await trio.lowlevel.checkpoint()
                return node
            silent = True
        await trio.sleep(timeout_s if silent else 0)
        raise PeerUnavailable("none of the addresses answers", hint="is that node running?")

    def _welcome(self, other: MemoryNetwork) -> None:
        try:
            self._admission.welcome(other.me, other._admission.hello())
            if not self._admission.admits(other.me):
                raise NotAMember(f"{other.me.short()} is not a member of this mesh")
        except NotAMember:
            self.refused += 1
            raise
        self._hear(other.me)

    def _open(self, peer: PeerId) -> None:
        if peer not in self._waiting:
            self._waiting[peer] = {}
            for handler in self._on_connected:
                handler(peer)

    def _drop(self, peer: PeerId) -> None:
        waiting = self._waiting.pop(peer, None)
        if waiting is None:
            return
        for call in waiting:
            call.settle(PeerUnavailable(f"{peer.short()} hung up"))
        for handler in self._on_disconnected:
            handler(peer)

    def _hear(self, peer: PeerId) -> None:
        self._heard_s[peer] = self._fabric.env.monotonic_s()

    def shut(self) -> None:
        """What the fabric does to a stopped node and to those it was connected with."""
        for scope in list(self._scopes):
            scope.cancel()
        for peer in sorted(self._waiting):
            other = self._fabric.node(peer)
            if other is not None and not self._fabric.is_cut(self._me, peer):
                other._drop(self._me)
        for peer in sorted(self._waiting):
            for call in self._waiting.pop(peer):
                call.settle(PeerUnavailable("this node has stopped"))

    # -- calls

    def serve(self, method: str, handler: Handler, *, strangers: bool = False) -> None:
        self._methods.serve(method, handler, strangers=strangers)

    async def call(self, peer: PeerId, method: str, request: Message, *, timeout_s: float) -> Message:
        check_size(request)
        calls = self._waiting.get(peer)
        if calls is None:
            await trio.lowlevel.checkpoint()
            raise PeerUnavailable(f"not connected to {peer.short()}")
        waiting = _Waiting()
        calls[waiting] = None
        try:
            return await self._exchange(peer, method, request, waiting, timeout_s)
        finally:
            calls.pop(waiting, None)

    async def _exchange(
        self, peer: PeerId, method: str, request: Message, waiting: _Waiting, timeout_s: float
    ) -> Message:
        with trio.move_on_after(timeout_s):
            await self._fabric.travel(self._me, peer)
            self._deliver(peer, method, request, waiting)
            await waiting.done.wait()
        if isinstance(waiting.answer, InosError):
            raise waiting.answer
        if waiting.answer is None:
            raise PeerUnavailable(f"{peer.short()} did not answer {method} within {timeout_s:g} s")
        return waiting.answer

    def _deliver(self, peer: PeerId, method: str, request: Message, waiting: _Waiting) -> None:
        if self._fabric.is_cut(self._me, peer):
            return
        node = self._fabric.node(peer)
        if node is None or (peer in self._waiting and self._me not in node._waiting):
            self._drop(peer)  # the other side has forgotten this connection: the frame is answered by a reset
            waiting.settle(PeerUnavailable(f"{peer.short()} hung up"))
            return
        node._spawn(node._answer, self, method, request, waiting)

    async def _answer(self, caller: MemoryNetwork, method: str, request: Message, waiting: _Waiting) -> None:
        self._hear(caller.me)
        member = self._admission.admits(caller.me)
        if not member and not self._methods.open_to_strangers(method):
            self.refused += 1
        answer: Message | InosError
        try:
            answer = await self._methods.answer(caller.me, method, request, member=member)
        except InosError as error:
            answer = error
        await self._fabric.travel(self._me, caller.me)
        if self._fabric.passes(self._me, caller.me):
            caller._hear(self._me)
            waiting.settle(answer)

    def _spawn(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        scope = trio.CancelScope()
        self._scopes[scope] = None

        async def run() -> None:
            try:
                with scope:
                    await work(*args)
            finally:
                self._scopes.pop(scope, None)

        trio.lowlevel.spawn_system_task(run)

    # -- gossip

    async def publish(self, topic: str, data: bytes) -> None:
        if len(data) > MAX_GOSSIP_BYTES:
            raise TooLarge(f"{len(data)} bytes of gossip are over the limit of {MAX_GOSSIP_BYTES}")
        for peer, hops in self._hearers(topic):
            node = self._fabric.node(peer)
            if node is not None:
                node._spawn(node._hear_gossip, hops, topic, data)
        await trio.lowlevel.checkpoint()

    def _hearers(self, topic: str) -> list[tuple[PeerId, tuple[PeerId, ...]]]:
        """Who a message reaches, and by which path: gossip is passed on by those who listen to the topic."""
        reached: dict[PeerId, tuple[PeerId, ...]] = {self._me: (self._me,)}
        for at in (queue := [self]):
            for peer in sorted(at._waiting):
                node = self._fabric.node(peer)
                if peer in reached or node is None or topic not in node._topics:
                    continue
                if self._fabric.passes(at.me, peer) and node._admission.admits(at.me):
                    reached[peer] = (*reached[at.me], peer)
                    queue.append(node)
        reached.pop(self._me)
        return list(reached.items())

    async def _hear_gossip(self, hops: tuple[PeerId, ...], topic: str, data: bytes) -> None:
        for a, b in itertools.pairwise(hops):
            await self._fabric.travel(a, b)
        self._hear(hops[-2])
        try:
            self._topics[topic].send_nowait((hops[0], data))
        except trio.WouldBlock:
            log.warning("%s: a slow listener loses gossip on %s", self._me.short(), topic)

    async def subscribe(self, topic: str, handler: GossipHandler) -> None:
        if topic in self._topics:
            raise ValueError(f"two handlers for topic {topic!r}")
        send, receive = trio.open_memory_channel[tuple[PeerId, bytes]](SUBSCRIPTION_QUEUE)
        self._topics[topic] = send
        self._spawn(self._listen, topic, receive, handler)
        await trio.lowlevel.checkpoint()

    async def _listen(
        self, topic: str, receive: trio.MemoryReceiveChannel[tuple[PeerId, bytes]], handler: GossipHandler
    ) -> None:
        async for origin, data in receive:
            await deliver(topic, handler, origin, data)

    # -- directory

    async def announce(self, key: bytes) -> None:
        self._fabric.announce(key, self._me)
        await trio.lowlevel.checkpoint()

    async def find(self, key: bytes, *, timeout_s: float) -> Sequence[PeerId]:
        with trio.move_on_after(timeout_s):
            await trio.lowlevel.checkpoint()
        return self._fabric.announced(key, self._me)
