"""The connections of one node: libp2p's Swarm with its defects corrected and the gate in front.

A connection is a `Link`. It `trusts` its peer once that peer has shown a valid hello on it (from then on the peer's
streams are served in full), and is `proven` once the peer has said the same of us (from then on we open streams to it
and the rest of libp2p, gossip and DHT included, is told that it exists). Until then only the call protocol is
negotiated, and an inbound connection is a visit the gate may end.

Corrected here: an inbound slot is given back when its connection closes (upstream: when the swarm ends, so that after
250 connections nobody gets in); dialling races all addresses, newest first, each attempt bounded (upstream: one address
per transport, 250 ms wait, 120 s for a silent one, 60 s ban after a failure); nothing dials on its own.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from inos.core.errors import NotAMember, PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh import hardening
from inos.mesh.gate import Gate, Visit

# isort: split
from libp2p.custom_types import TProtocol
from libp2p.io.exceptions import IOException
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.protocol_muxer.exceptions import MultiselectError
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.stream_muxer.exceptions import MuxedStreamError
from multiaddr import Multiaddr

log = logging.getLogger(__name__)

CALL_PROTOCOL: Final = TProtocol("/inos/call/1")
NEGOTIATE_S: Final = 10
# A later address starts this long after an earlier one that has neither failed nor succeeded.
STAGGER_S: Final = 0.05
# Addresses tried for one peer: what a node on three networks has, over TCP and WebSocket, plus stale ones.
MAX_ADDRESSES: Final = 16
CLOSE_S: Final = 2.0

StreamHandler = Callable[[Any], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Link:
    """One connection and what has been proven on it."""

    peer: PeerId
    muxed: Any
    ip: str
    outbound: bool
    conn: Any = None  # libp2p's SwarmConn, once there is one
    trusts: bool = False
    proven: bool = False
    settled: trio.Event = field(default_factory=trio.Event)  # proven, or closed before that

    @property
    def open(self) -> bool:
        return self.conn is not None and not self.conn.is_closed and not self.muxed.is_closed


class _NobodyDials:
    """In the place of libp2p's auto-connector, which would dial every peer it ever heard of."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def run_background_task(self, nursery: trio.Nursery) -> None: ...

    async def maybe_connect(self) -> None: ...

    def record_disconnect(self, peer_id: Any) -> None: ...


class MeshSwarm(Swarm):  # type: ignore[misc]  # libp2p is untyped
    """libp2p's Swarm behind a gate. Wired by `inos.mesh.libp2p_host`."""

    def __init__(self, *args: Any, gate: Gate, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.auto_connector = _NobodyDials()
        self.gate = gate
        self.links: dict[Any, Link] = {}  # by muxed connection
        self.prove: Callable[[Link], Awaitable[None]] = _unwired
        self.lost: Callable[[Link], None] = _unwired
        self.serve_member: StreamHandler = _unwired
        self.strangers = Multiselect({})
        self.common_stream_handler = self._on_stream

    # -- who is connected

    def proven_links(self, peer: PeerId) -> list[Link]:
        """Usable links to `peer`, the one to prefer first."""
        found = [link for link in self.links.values() if link.peer == peer and link.proven and link.open]
        return sorted(found, key=lambda link: link.outbound != (str(self.self_id) < peer))

    def peer_info(self, link: Link) -> PeerInfo:
        """The peer of `link` as the DHT wants it, with the addresses known of it."""
        peer_id = link.muxed.peer_id
        known = peer_id in self.peerstore.peers_with_addrs()
        return PeerInfo(peer_id, list(self.peerstore.addrs(peer_id)) if known else [])

    async def mark_proven(self, link: Link) -> None:
        """Both sides know the other is a member: tell the rest of libp2p."""
        if link.proven or not link.open:
            return
        link.trusts = link.proven = True
        link.settled.set()
        await super().notify_connected(link.conn)

    async def renotify(self, link: Link) -> None:
        """Tell the rest of libp2p of a link again, after another to the same peer has closed."""
        await super().notify_connected(link.conn)

    async def close_link(self, link: Link) -> None:
        """Hang up, whatever happens around us."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
            await (link.conn or link.muxed).close()

    # -- connections come and go

    async def add_conn(self, muxed_conn: Any, direction: str = "unknown") -> Any:
        address = muxed_conn.get_remote_address()
        link = Link(PeerId(str(muxed_conn.peer_id)), muxed_conn, address[0] if address else "", direction == "outbound")
        self.links[muxed_conn] = link
        try:
            link.conn = await super().add_conn(muxed_conn, direction)
        except BaseException:
            self._forget(link)
            raise
        return link.conn

    async def notify_connected(self, conn: Any) -> None:
        """Called by Swarm for every new connection; those above hear of it in `mark_proven`."""
        link = self.links.get(conn.muxed_conn)
        if link is not None:
            link.conn = conn

    async def notify_disconnected(self, conn: Any) -> None:
        link = self.links.get(conn.muxed_conn)
        if link is None:
            return
        self._forget(link)
        if link.proven:
            await super().notify_disconnected(conn)
            self.lost(link)

    def _forget(self, link: Link) -> None:
        self.links.pop(link.muxed, None)
        link.settled.set()

    async def _do_handle_inbound_connection(self, stream: Any, maddr: Any, failure_event: Any) -> None:
        del failure_event
        address = stream.get_remote_address()
        with trio.CancelScope(deadline=trio.current_time() + self.gate.limits.lifetime_s) as scope:
            visit = self.gate.enter(address[0] if address else "", scope.cancel)
            try:
                await self._host_visit(stream, maddr, visit, scope)
            except (SwarmException, IOException, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                log.debug("an inbound connection failed: %s", error)
            finally:
                self.gate.leave(visit)
        if scope.cancelled_caught:
            self.gate.refused["lifetime"] += 1

    async def _host_visit(self, stream: Any, maddr: Any, visit: Visit, scope: trio.CancelScope) -> None:
        muxed = None
        try:
            muxed = await self.upgrade_inbound_raw_conn(RawConnection(stream, False), maddr)
            link = self.links.get(muxed)
            if link is None:
                return
            await link.settled.wait()
            if link.proven:
                self.gate.leave(visit)
                scope.deadline = float("inf")
                await muxed.event_closed.wait()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                link = self.links.get(muxed) if muxed is not None else None
                await (link.conn.close() if link is not None and link.conn is not None else stream.close())

    # -- streams

    def set_stream_handler(self, stream_handler: Any) -> None:
        """Called by the host for itself: its handler serves everybody, so it is reached through `serve_member` only."""

    async def new_stream(self, peer_id: Any) -> Any:
        """A stream to a proven peer, dialling it when needed."""
        links = self.proven_links(PeerId(str(peer_id)))
        if links:
            return await links[0].conn.new_stream()
        connections = await self.dial_peer(peer_id)
        return await connections[0].new_stream()

    async def _on_stream(self, stream: Any) -> None:
        link = self.links.get(stream.muxed_conn)
        if link is None:
            await stream.reset()
        elif link.trusts:
            await self.serve_member(stream)
        else:
            await self.serve_stranger(stream)

    async def serve_stranger(self, stream: Any) -> None:
        """Negotiate the call protocol and nothing else."""
        try:
            protocol, handler = await self.strangers.negotiate(MultiselectCommunicator(stream), NEGOTIATE_S)
        except (MultiselectError, MuxedStreamError, UnicodeDecodeError):
            self.gate.refused["protocol"] += 1
            await stream.reset()
            return
        stream.set_protocol(protocol)
        await handler(stream)

    # -- dialling

    async def dial_peer(self, peer_id: Any) -> list[Any]:
        """What libp2p itself dials by (the DHT, following a hint): the peerstore's addresses, and a proof."""
        peer = PeerId(str(peer_id))
        links = self.proven_links(peer)
        if links:
            return [link.conn for link in links]
        try:
            addresses = list(self.peerstore.addrs(peer_id))[::-1]
            link = await self.dial(peer, addresses, timeout_s=self.connection_config.dial_timeout)
            await self.prove(link)
        except (PeerUnavailable, NotAMember) as error:
            raise SwarmException(str(error)) from None
        return [link.conn]

    async def dial(self, peer: PeerId, addresses: Sequence[Any], *, timeout_s: float) -> Link:
        """A new, unproven link to `peer` over the first address that answers. Raises PeerUnavailable."""
        peer_id = ID.from_string(peer)
        won: list[Any] = []
        reasons: list[str] = []

        async def attempt(address: Multiaddr, failed: trio.Event) -> None:
            try:
                won.append(await self._dial_addr_single_attempt(address, peer_id))
            except Exception as error:
                reasons.append(f"{address}: {_root(error)}")
                failed.set()
            else:
                race.cancel_scope.cancel()

        with trio.move_on_after(timeout_s):
            async with trio.open_nursery() as race:
                for address in addresses[:MAX_ADDRESSES]:
                    failed = trio.Event()
                    race.start_soon(attempt, address, failed)
                    with trio.move_on_after(STAGGER_S):
                        await failed.wait()
        for spare in won[1:]:
            await spare.close()
        link = self.links.get(won[0].muxed_conn) if won else None
        if link is None:
            why = "; ".join(reasons) or f"no answer within {timeout_s:g} s"
            raise PeerUnavailable(f"{peer.short()} cannot be reached ({why})"[:500], hint="is that node running?")
        return link


def _root(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def _unwired(*_args: Any) -> Any:
    raise RuntimeError("the swarm has not been wired to a host")


hardening.harden()
