"""Calling members that no link is kept to: in a large mesh, dial first, keep the connection while it is used, part.

    network = Reach(network, links, witnesses, env)
    await network.call(peer, method, request, timeout_s=5)      # connected or not

In a small mesh, where everybody is linked to everybody, this changes nothing: whoever is not connected is being dialled
already. A connection made here is given up after `IDLE_S` without a call; the other side is told first (`mesh.part`),
so that it does not take the silence for a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from inos.core.env import Env
from inos.core.errors import InosError, PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh.links import DIAL_TIMEOUT_S, Links
from inos.mesh.network import GossipHandler, Handler, Message, Network, Outcome, PeerHandler, PlainHandler
from inos.mesh.witness import Witnesses

METHOD: Final = "mesh.part"
IDLE_S: Final = 60.0
STEP_S: Final = 10.0
_PART_TIMEOUT_S: Final = 2.0


class Reach:
    """A Network whose calls dial whom they need. Everything else is the inner network's."""

    def __init__(self, inner: Network, links: Links, witnesses: Witnesses, env: Env) -> None:
        self._inner = inner
        self._links = links
        self._witnesses = witnesses
        self._env = env
        self._used_s: dict[PeerId, float] = {}
        self._dialling: dict[PeerId, trio.Lock] = {}
        inner.serve_plain(METHOD, self._parted)
        inner.on_disconnected(self._forget)

    async def call(self, peer: PeerId, method: str, request: Message, *, timeout_s: float) -> Message:
        if peer in self._inner.connected():
            if peer in self._used_s:
                self._used_s[peer] = self._env.monotonic_s()
        elif self._witnesses.needed():
            began_s = self._env.monotonic_s()
            await self._dial(peer, timeout_s)
            timeout_s = max(0.0, timeout_s - (self._env.monotonic_s() - began_s))
        return await self._inner.call(peer, method, request, timeout_s=timeout_s)

    async def _dial(self, peer: PeerId, timeout_s: float) -> None:
        """Raises PeerUnavailable. Callers of one peer share one dial."""
        addresses = self._links.where(peer)
        if not addresses:
            raise PeerUnavailable(f"no address of {peer.short()} is known")
        lock = self._dialling.setdefault(peer, trio.Lock())
        async with lock:
            if peer in self._inner.connected():
                return
            try:
                await self._inner.connect(addresses, timeout_s=min(timeout_s, DIAL_TIMEOUT_S))
            except InosError as error:
                self._witnesses.missed(peer.public_key())
                raise PeerUnavailable(f"cannot reach {peer.short()}: {error.message}") from None
            self._used_s[peer] = self._env.monotonic_s()

    async def step(self) -> None:
        """Part from those not called for a while. One round of a Worker."""
        idle_since_s = self._env.monotonic_s() - IDLE_S
        for peer in [peer for peer, used_s in self._used_s.items() if used_s < idle_since_s]:
            if self._links.is_wanted(peer):
                self._used_s.pop(peer, None)
            else:
                await self._part(peer)
        self._dialling = {peer: lock for peer, lock in self._dialling.items() if lock.locked()}

    async def _part(self, peer: PeerId) -> None:
        self._links.part(peer)
        try:
            await self._inner.call(peer, METHOD, Message(), timeout_s=_PART_TIMEOUT_S)
        except InosError:
            pass
        finally:
            await self._inner.disconnect(peer)

    def _parted(self, peer: PeerId, _request: Message) -> Message:
        """`peer` hangs up on purpose."""
        self._links.part(peer)
        return Message()

    def _forget(self, peer: PeerId) -> None:
        self._used_s.pop(peer, None)

    # The rest of the network as it is

    @property
    def me(self) -> PeerId:
        return self._inner.me

    def addresses(self) -> Sequence[str]:
        return self._inner.addresses()

    def connected(self) -> frozenset[PeerId]:
        return self._inner.connected()

    async def connect(self, addresses: Sequence[str], *, timeout_s: float) -> PeerId:
        return await self._inner.connect(addresses, timeout_s=timeout_s)

    async def disconnect(self, peer: PeerId) -> None:
        await self._inner.disconnect(peer)

    async def ask(self, addresses: Sequence[str], method: str, request: Message, *, timeout_s: float) -> Message:
        return await self._inner.ask(addresses, method, request, timeout_s=timeout_s)

    def on_connected(self, handler: PeerHandler) -> None:
        self._inner.on_connected(handler)

    def on_disconnected(self, handler: PeerHandler) -> None:
        self._inner.on_disconnected(handler)

    def last_heard_s(self, peer: PeerId) -> float | None:
        return self._inner.last_heard_s(peer)

    def serve(self, method: str, handler: Handler, *, strangers: bool = False) -> None:
        self._inner.serve(method, handler, strangers=strangers)

    def serve_plain(self, method: str, handler: PlainHandler) -> None:
        self._inner.serve_plain(method, handler)

    def call_soon(
        self, peer: PeerId, method: str, request: Message, done: Callable[[Outcome], None], *, timeout_s: float
    ) -> None:
        self._inner.call_soon(peer, method, request, done, timeout_s=timeout_s)

    async def publish(self, topic: str, data: bytes) -> None:
        await self._inner.publish(topic, data)

    async def subscribe(self, topic: str, handler: GossipHandler) -> None:
        await self._inner.subscribe(topic, handler)

    async def announce(self, key: bytes) -> None:
        await self._inner.announce(key)

    async def find(self, key: bytes, *, timeout_s: float) -> Sequence[PeerId]:
        return await self._inner.find(key, timeout_s=timeout_s)
