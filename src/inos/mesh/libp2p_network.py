"""One node on libp2p: the whole `inos.mesh.network.Network` contract, over a swarm behind its gate.

Owns the life of a connection above the swarm: the call streams on it, who has been heard when, and telling others that
it came or went. Rule: nothing is served to, or started toward, a peer that is not proven, except calls to methods open
to strangers. Made by `inos.mesh.libp2p_host.open_libp2p`; knows libp2p only through swarm and streams.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from inos.core.env import Env
from inos.core.errors import BadFrame, BadInput, InosError, PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh.calls import (
    MAX_STREAMS_PER_PEER,
    MEMBER_LIMITS,
    ByteStream,
    CallPool,
    FrameLimits,
    StreamBroken,
    reset,
    serve_stream,
)
from inos.mesh.frames import Envelope
from inos.mesh.gate import GateLimits
from inos.mesh.methods import MethodTable, check_size
from inos.mesh.network import Admission, GossipHandler, Handler, Message, Outcome, PeerHandler, PlainHandler
from inos.mesh.proofs import HELLO, READY, Proofs
from inos.mesh.streams import BROKEN, Libp2pStream, negotiated
from inos.mesh.swarm import CALL_PROTOCOL, Link, MeshSwarm
from inos.mesh.topics import Topics

log = logging.getLogger(__name__)

ADDRESS_TTL_S: Final = 86_400
# Two connections to one peer happen when both dial at once; the lesser closes when its calls have had time to end.
SPARE_LINK_S: Final = 3.0
# What two pools of a peer (it may have dialled us and we it) can ask for at once.
MAX_HANDLERS_PER_PEER: Final = 2 * MAX_STREAMS_PER_PEER
CLOSE_DEADLINE_S: Final = 0.5
STOP_DEADLINE_S: Final = 3.0
ANNOUNCE_S: Final = 30.0
MAX_PROVIDERS: Final = 20


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """Where to listen and what to allow. Addresses are multiaddrs without /p2p; port 0 takes any free one."""

    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    announce: tuple[str, ...] = ()  # said to others instead of the listen addresses
    gate: GateLimits = field(default_factory=GateLimits)
    dial_timeout_s: float = 5.0


def parse_multiaddr(address: str) -> Multiaddr:
    """Raises BadInput."""
    try:
        return Multiaddr(address)
    except (MultiaddrError, ValueError):
        raise BadInput(f"not a multiaddr: {address[:120]!r}", hint="like /ip4/192.0.2.1/tcp/4001") from None


def split_address(address: str) -> tuple[str, PeerId]:
    """The dialling part of a multiaddr that ends in /p2p/<peer id>, and the peer id."""
    place, separator, peer = address.rpartition("/p2p/")
    if not separator or not place:
        raise BadInput(f"no /p2p/<peer id> at the end of {address[:120]!r}")
    return place, PeerId.parse(peer)


class Libp2pNetwork:
    """One node on libp2p: the whole `inos.mesh.network.Network` contract."""

    def __init__(
        self,
        config: MeshConfig,
        host: Any,
        dht: Any,
        pubsub: Any,
        admission: Admission,
        env: Env,
        nursery: trio.Nursery,
    ) -> None:
        self._config = config
        self._host = host
        self._swarm: MeshSwarm = host.get_network()
        self._dht = dht
        self._pubsub = pubsub
        self._admission = admission
        self._env = env
        self._nursery = nursery
        self._methods = MethodTable()
        self._pools: dict[PeerId, CallPool] = {}
        self._handlers: dict[PeerId, trio.Semaphore] = {}
        self._heard_s: dict[PeerId, float] = {}
        self._on_connected: list[PeerHandler] = []
        self._on_disconnected: list[PeerHandler] = []
        self._dialling: dict[PeerId, trio.Lock] = {}
        self._me = PeerId(str(host.get_id()))
        self._topics = Topics(pubsub, self._me, admission, nursery)
        self._proofs = Proofs(admission, self._swarm.gate.refused, self._proven, timeout_s=config.dial_timeout_s)
        self._wire()

    def _wire(self) -> None:
        swarm = self._swarm
        swarm.prove = self._prove
        swarm.lost = self._lost
        swarm.serve_member = self._serve_member
        swarm.strangers.add_handler(CALL_PROTOCOL, self._serve_calls)
        self._host.set_stream_handler(CALL_PROTOCOL, self._serve_calls)

    async def shut(self) -> None:
        """Close every connection and listener, and what runs on them."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_DEADLINE_S):
            async with trio.open_nursery() as closing:
                closing.cancel_scope.deadline = trio.current_time() + CLOSE_DEADLINE_S
                for link in list(self._swarm.links.values()):
                    closing.start_soon(self._swarm.close_link, link)
            await self._host.close()

    # -- peers

    @property
    def me(self) -> PeerId:
        return self._me

    @property
    def refused(self) -> dict[str, int]:
        """How often strangers were refused, by reason."""
        return dict(self._swarm.gate.refused)

    def addresses(self) -> Sequence[str]:
        own = self._config.announce or [str(address) for address in self._host.get_transport_addrs()]
        return tuple(f"{address.partition('/p2p/')[0]}/p2p/{self._me}" for address in own)

    def connected(self) -> frozenset[PeerId]:
        return frozenset(link.peer for link in self._swarm.links.values() if link.proven and link.open)

    def on_connected(self, handler: PeerHandler) -> None:
        self._on_connected.append(handler)

    def on_disconnected(self, handler: PeerHandler) -> None:
        self._on_disconnected.append(handler)

    def last_heard_s(self, peer: PeerId) -> float | None:
        return self._heard_s.get(peer)

    async def connect(self, addresses: Sequence[str], *, timeout_s: float) -> PeerId:
        reasons: list[str] = []
        try:
            with trio.fail_after(timeout_s):
                for peer, places in _by_peer(addresses).items():
                    try:
                        await self._connect(peer, places)
                    except PeerUnavailable as error:
                        reasons.append(error.message)
                    else:
                        return peer
        except trio.TooSlowError:
            reasons.append(f"no answer within {timeout_s:g} s")
        raise PeerUnavailable("; ".join(reasons)[:500] or "no address to dial", hint="is that node running?")

    async def _connect(self, peer: PeerId, places: Sequence[Multiaddr]) -> None:
        if peer == self._me:
            raise PeerUnavailable("that is this node itself")
        lock = self._dialling.setdefault(peer, trio.Lock())
        try:
            async with lock:
                if self._swarm.proven_links(peer):
                    return
                link = await self._swarm.dial(peer, places, timeout_s=self._config.dial_timeout_s)
                self._host.get_peerstore().add_addrs(link.muxed.peer_id, list(places), ADDRESS_TTL_S)
                await self._prove(link)
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._dialling.pop(peer, None)

    async def disconnect(self, peer: PeerId) -> None:
        async with trio.open_nursery() as closing:
            closing.cancel_scope.deadline = trio.current_time() + CLOSE_DEADLINE_S
            for link in [link for link in self._swarm.links.values() if link.peer == peer]:
                closing.start_soon(self._swarm.close_link, link)

    async def ask(self, addresses: Sequence[str], method: str, request: Message, *, timeout_s: float) -> Message:
        check_size(request)
        reasons: list[str] = []
        deadline = trio.current_time() + timeout_s
        for peer, places in _by_peer(addresses).items():
            try:
                link = await self._swarm.dial(peer, places, timeout_s=deadline - trio.current_time())
            except PeerUnavailable as error:
                reasons.append(error.message)
                continue
            try:
                return await self._pool_on(link).call(method, request, timeout_s=deadline - trio.current_time())
            finally:
                self._nursery.start_soon(self._swarm.close_link, link)
        raise PeerUnavailable("; ".join(reasons)[:500] or "no address to dial", hint="is that node running?")

    # -- links come and go

    async def _prove(self, link: Link) -> None:
        """Exchange hellos on a link we dialled; it is closed when that fails."""
        try:
            await self._proofs.prove(link, self._pool_on(link))
        finally:
            if not link.proven:
                self._nursery.start_soon(self._swarm.close_link, link)

    async def _proven(self, link: Link) -> None:
        others = self._swarm.proven_links(link.peer)
        await self._swarm.mark_proven(link)
        if not link.open:
            raise PeerUnavailable(f"{link.peer.short()} hung up")
        self._nursery.start_soon(self._add_to_dht, self._swarm.peer_info(link))
        self._hear(link.peer)
        if not others:
            for handler in self._on_connected:
                handler(link.peer)
        else:
            for spare in self._swarm.proven_links(link.peer)[1:]:
                if spare.outbound:  # its dialling side closes it, so that the two sides cannot close one each
                    self._nursery.start_soon(self._retire, spare)

    async def _retire(self, link: Link) -> None:
        await trio.sleep(SPARE_LINK_S)
        if len(self._swarm.proven_links(link.peer)) > 1:
            await self._swarm.close_link(link)

    async def _add_to_dht(self, info: Any) -> None:
        await self._dht.routing_table.add_peer(info, skip_server_mode_check=True)

    def _lost(self, link: Link) -> None:
        """A proven link has closed."""
        rest = self._swarm.proven_links(link.peer)
        if rest:
            # Gossip had its stream on the link that closed; let it open another on the one that is left.
            self._pubsub._handle_dead_peer(link.muxed.peer_id)
            self._nursery.start_soon(self._swarm.renotify, rest[0])
            return
        pool = self._pools.pop(link.peer, None)
        if pool is not None:
            pool.close()
        self._handlers.pop(link.peer, None)
        for handler in self._on_disconnected:
            handler(link.peer)

    # -- calls

    def serve(self, method: str, handler: Handler, *, strangers: bool = False) -> None:
        self._methods.serve(method, handler, strangers=strangers)

    async def call(self, peer: PeerId, method: str, request: Message, *, timeout_s: float) -> Message:
        check_size(request)
        if not self._swarm.proven_links(peer):
            await trio.lowlevel.checkpoint()
            raise PeerUnavailable(f"not connected to {peer.short()}")
        pool = self._pools.get(peer)
        if pool is None:
            pool = self._pools[peer] = CallPool(peer, lambda: self._open_stream(peer), self._discard)
        answer = await pool.call(method, request, timeout_s=timeout_s)
        self._hear(peer)
        return answer

    def serve_plain(self, method: str, handler: PlainHandler) -> None:
        self._methods.serve_plain(method, handler)

    def call_soon(
        self, peer: PeerId, method: str, request: Message, done: Callable[[Outcome], None], *, timeout_s: float
    ) -> None:
        check_size(request)

        async def call() -> None:
            try:
                outcome: Outcome = await self.call(peer, method, request, timeout_s=timeout_s)
            except InosError as error:
                outcome = error
            done(outcome)

        self._nursery.start_soon(call)

    async def _open_stream(self, peer: PeerId) -> ByteStream:
        links = self._swarm.proven_links(peer)
        if not links:
            raise StreamBroken("the connection has closed")
        return await _open_on(links[0])

    def _pool_on(self, link: Link) -> CallPool:
        """Calls on this very connection, proven or not."""
        return CallPool(link.peer, lambda: _open_on(link), self._discard)

    def _discard(self, stream: ByteStream) -> None:
        self._nursery.start_soon(reset, stream)

    def _hear(self, peer: PeerId) -> None:
        self._heard_s[peer] = self._env.monotonic_s()

    async def _serve_member(self, stream: Any) -> None:
        link = self._swarm.links.get(stream.muxed_conn)
        if link is None or not self._admission.admits(link.peer):
            await self._swarm.serve_stranger(stream)  # struck off since: told so by the answers to its calls
        else:
            await self._host._swarm_stream_handler(stream)

    async def _serve_calls(self, stream: Any) -> None:
        link = self._swarm.links.get(stream.muxed_conn)
        if link is None:
            await stream.reset()
            return
        handlers = self._handlers.setdefault(link.peer, trio.Semaphore(MAX_HANDLERS_PER_PEER))
        calls = Libp2pStream(stream)

        async def answer(request: Envelope, body: bytes) -> Message:
            return await self._answer(link, request.method, Message(request.payload, body))

        try:
            await serve_stream(calls, answer, lambda: self._frame_limits(link), handlers)
        except BadFrame as error:
            self._swarm.gate.refused["frame"] += 1
            log.warning("%s sent a bad frame: %s", link.peer.short(), error)
        finally:
            await reset(calls)
            if not link.open and not self._swarm.proven_links(link.peer):
                self._handlers.pop(link.peer, None)

    def _frame_limits(self, link: Link) -> FrameLimits:
        if link.trusts and self._admission.admits(link.peer):
            return MEMBER_LIMITS
        size = self._config.gate.frame_bytes
        return FrameLimits(size, size)

    async def _answer(self, link: Link, method: str, request: Message) -> Message:
        member = link.trusts and self._admission.admits(link.peer)
        if member:
            self._hear(link.peer)
        else:
            self._swarm.gate.charge(link.peer, link.ip)
        if method in (HELLO, READY):
            return await self._proofs.answer(link, method, request)
        if not member and not self._methods.open_to_strangers(method):
            self._swarm.gate.refused["method"] += 1
        return await self._methods.answer(link.peer, method, request, member=member)

    # -- gossip and directory

    async def publish(self, topic: str, data: bytes) -> None:
        await self._topics.publish(topic, data)

    async def subscribe(self, topic: str, handler: GossipHandler) -> None:
        await self._topics.subscribe(topic, handler)

    async def announce(self, key: bytes) -> None:
        with trio.move_on_after(ANNOUNCE_S):
            await self._dht.provide(_dht_key(key))

    async def find(self, key: bytes, *, timeout_s: float) -> Sequence[PeerId]:
        found: list[Any] = []
        with trio.move_on_after(timeout_s):
            found = await self._dht.find_providers(_dht_key(key), MAX_PROVIDERS)
        return list(dict.fromkeys(PeerId(str(info.peer_id)) for info in found))


async def _open_on(link: Link) -> ByteStream:
    try:
        stream = await link.conn.new_stream()
    except BROKEN as error:
        raise StreamBroken(str(error) or type(error).__name__) from None
    return await negotiated(stream, [CALL_PROTOCOL])


def _dht_key(key: bytes) -> str:
    # libp2p reads a string that looks like a CID or hex as such; the prefix keeps it from guessing.
    return "inos/" + key.hex()


def _by_peer(addresses: Sequence[str]) -> dict[PeerId, list[Multiaddr]]:
    """Addresses by the peer they name, in the order given; those that do not parse are left out."""
    found: dict[PeerId, list[Multiaddr]] = {}
    for address in addresses:
        try:
            place, peer = split_address(address)
            found.setdefault(peer, []).append(parse_multiaddr(place))
        except InosError as error:
            log.debug("address left out: %s", error)
    return found
