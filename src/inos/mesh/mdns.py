"""Finding members on the same network by multicast DNS (RFC 6762), service type `_inos._tcp`.

    async with announced(mesh, me, port, found, env): ...

Says mesh (16 hex digits of its id), peer id and port; tells `found` the dialling addresses of others of the same mesh.
What is heard is a hint by anybody on the network: whoever dials it learns by Noise and hello who is there. Use it only
where the node listens beyond loopback. libp2p's own blocks the event loop for 1.6 s and answers for every mesh.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

import trio
from zeroconf import InterfaceChoice, ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

from inos.core.env import Env
from inos.core.errors import BadInput
from inos.core.ids import MeshId, PeerId

SERVICE: Final = "_inos._tcp.local."
MESH_DIGITS: Final = 16
# Answers of one peer on the same network take milliseconds; a lost packet is asked for again within this time.
RESOLVE_MS: Final = 2000
# Addresses taken from one announcement, and peers remembered as told: a flood on the network must end somewhere.
MAX_ADDRESSES: Final = 8
MAX_PEERS: Final = 1024

Found = Callable[[PeerId, Sequence[str]], None]


@asynccontextmanager
async def announced(
    mesh: MeshId,
    me: PeerId,
    port: int,
    found: Found,
    env: Env,
    *,
    interfaces: Sequence[str] | None = None,
) -> AsyncIterator[None]:
    """Announce this node (listening on TCP `port`) and report others until left. `found` runs in the event loop, once
    for each peer and set of addresses. Raises OSError where multicast is not to be had."""
    label = mesh.hex()[:MESH_DIGITS]
    token = trio.lowlevel.current_trio_token()
    listener = _Listener(label, me, lambda peer, places: token.run_sync_soon(found, peer, places))
    service = await env.in_thread(_start, label, me, port, listener, interfaces)
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await env.in_thread(service.close)


def _start(label: str, me: PeerId, port: int, listener: ServiceListener, interfaces: Sequence[str] | None) -> Zeroconf:
    zeroconf = Zeroconf(interfaces=list(interfaces) if interfaces else InterfaceChoice.All)
    # The last characters of a peer id tell nodes apart; two alike would only be renamed by the library.
    name = f"{label}-{me.short().lower()}.{SERVICE}"
    info = ServiceInfo(
        SERVICE,
        name,
        port=port,
        properties={"mesh": label, "peer": str(me)},
        server=f"{label}-{me.short().lower()}.local.",
        parsed_addresses=list(interfaces) if interfaces else _own_addresses(zeroconf),
    )
    zeroconf.register_service(info, allow_name_change=True)
    ServiceBrowser(zeroconf, SERVICE, listener=listener)
    return zeroconf


def _own_addresses(zeroconf: Zeroconf) -> list[str]:
    """The addresses of the interfaces that were opened and can be reached from others."""
    names = [str(socket.sock_name[0]).partition("%")[0] for socket in zeroconf.engine.senders if socket.sock_name]
    return [name for name in names if not (ip_address(name).is_unspecified or ip_address(name).is_loopback)]


class _Listener(ServiceListener):
    """Called in the library's own thread."""

    def __init__(self, label: str, me: PeerId, tell: Found) -> None:
        self._label = label
        self._me = me
        self._tell = tell
        self._told: dict[PeerId, tuple[str, ...]] = {}

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        if not name.startswith(self._label):
            return
        info = zc.get_service_info(type_, name, timeout=RESOLVE_MS)
        heard = read_announcement(info, self._label) if info is not None else None
        if heard is None or heard[0] == self._me or self._told.get(heard[0]) == heard[1]:
            return
        if len(self._told) >= MAX_PEERS:
            self._told.clear()
        self._told[heard[0]] = heard[1]
        self._tell(*heard)

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        self.add_service(zc, type_, name)

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """A peer that went may come back at the same place; it is to be told again then."""
        del zc, type_
        short = name.removeprefix(self._label + "-").partition(".")[0]
        for peer in [peer for peer in self._told if peer.short().lower() == short]:
            del self._told[peer]


def read_announcement(info: ServiceInfo, label: str) -> tuple[PeerId, tuple[str, ...]] | None:
    """The peer and its multiaddrs, None when it is of another mesh or makes no sense."""
    properties = info.properties
    mesh, peer = properties.get(b"mesh"), properties.get(b"peer")
    if mesh != label.encode() or not peer or not info.port:
        return None
    try:
        who = PeerId.parse(peer.decode("ascii", "replace"))
    except BadInput:
        return None
    places: list[str] = []
    for address in info.parsed_addresses()[:MAX_ADDRESSES]:
        if "%" not in address:  # link-local: means something on the other machine only
            places.append(f"/ip{ip_address(address).version}/{address}/tcp/{info.port}/p2p/{who}")
    return (who, tuple(places)) if places else None
