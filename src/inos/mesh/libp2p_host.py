"""The network seam over libp2p: assembles swarm, DHT and gossip into one `inos.mesh.network.Network`.

    async with open_libp2p(config, key_seed, admission, env) as network: ...

Owns the start and the end: what is made of libp2p and with which settings, in which order it starts and stops. Only
this module and its siblings hardening, yamux, swarm and streams know libp2p. See docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import trio

from inos.core.env import Env
from inos.core.errors import Conflict
from inos.core.ids import PeerId
from inos.mesh import hardening
from inos.mesh.gate import Gate
from inos.mesh.libp2p_network import Libp2pNetwork, MeshConfig, parse_multiaddr
from inos.mesh.network import MAX_GOSSIP_BYTES, Admission
from inos.mesh.swarm import MeshSwarm
from inos.mesh.yamux import MeshYamux

# isort: split
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.network.config import ConnectionConfig
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL
from libp2p.tools.anyio_service import background_trio_service
from libp2p.transport.tcp.tcp import TCP
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

__all__ = ["Libp2pNetwork", "MeshConfig", "open_libp2p", "peer_of_seed"]

GOSSIP_PROTOCOL: Final = "/meshsub/1.1.0"
# Above any mesh we have tried; a bound, not a target: nothing dials or prunes on its own below it.
MAX_CONNECTIONS: Final = 1024


@asynccontextmanager
async def open_libp2p(
    config: MeshConfig, key_seed: bytes, admission: Admission, env: Env
) -> AsyncIterator[Libp2pNetwork]:
    """A running network whose peer id is that of the Ed25519 key made of the 32-byte `key_seed`. Raises Conflict when
    an address cannot be listened on."""
    gate = Gate(config.gate, env.monotonic_s)
    swarm = _swarm(config, key_seed, gate)
    host = BasicHost(
        swarm,
        negotiate_timeout=10,
        disable_identify_address_discovery=True,
        addrs_factory=lambda found: [Multiaddr(address) for address in config.announce] or found,
    )
    dht = KadDHT(host, DHTMode.SERVER)
    # Upstream keeps 10 announcements a peer in 10 s and loses the rest in silence; ours come from members only.
    dht._provider_rate_max = 10**6
    dht._inbound_limiter.total_tokens = 64
    pubsub = _pubsub(host)
    try:
        async with AsyncExitStack() as stack:
            nursery = await stack.enter_async_context(trio.open_nursery())
            # Last of all: cancelled any earlier, what follows would end as cancelled and hide the error it ends for.
            stack.callback(nursery.cancel_scope.cancel)
            network = Libp2pNetwork(config, host, dht, pubsub, admission, env, nursery)
            await stack.enter_async_context(background_trio_service(swarm))
            stack.push_async_callback(network.shut)
            await _listen(swarm, config.listen)
            for service in (dht, pubsub.router, pubsub):
                await stack.enter_async_context(background_trio_service(service))
            await pubsub.wait_until_ready()
            yield network
    except BaseExceptionGroup as group:
        # libp2p's nurseries wrap each error five deep; whoever opened us knows nothing of them.
        raise _unwrapped(group) from None


def _unwrapped(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def peer_of_seed(key_seed: bytes) -> PeerId:
    """The peer id a node of this seed has."""
    return PeerId(str(ID.from_pubkey(create_new_key_pair(key_seed).public_key)))


def _swarm(config: MeshConfig, key_seed: bytes, gate: Gate) -> MeshSwarm:
    keys = create_new_key_pair(key_seed)
    me = ID.from_pubkey(keys.public_key)
    # Noise and nothing else: by default plaintext is accepted too, and with it any claimed identity (B1).
    upgrader = TransportUpgrader(
        {NOISE_PROTOCOL: NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)},
        {TProtocol(YAMUX_PROTOCOL): MeshYamux},
    )
    transports: list[Any] = [TCP()]
    if any(address.endswith(("/ws", "/wss")) for address in config.listen):
        from libp2p.transport.websocket.transport import WebsocketTransport

        transports.append(WebsocketTransport(upgrader))
    peerstore = PeerStore()
    peerstore.add_key_pair(me, keys)
    connections = ConnectionConfig(
        max_connections=MAX_CONNECTIONS,
        min_connections=0,
        low_watermark=0,
        high_watermark=MAX_CONNECTIONS,
        dial_timeout=config.dial_timeout_s,
    )
    return MeshSwarm(me, peerstore, upgrader, transports, connection_config=connections, gate=gate)


def _pubsub(host: Any) -> Any:
    # A heartbeat of 1 s repairs the gossip mesh within seconds of a loss; upstream's is 120 s, with 10 messages/s.
    router = GossipSub(
        protocols=[GOSSIP_PROTOCOL],
        degree=6,
        degree_low=4,
        degree_high=12,
        heartbeat_interval=1,
        max_messages_per_topic_per_second=1e6,
    )
    return Pubsub(host, router, max_inbound_rpc_size=4 * MAX_GOSSIP_BYTES)


async def _listen(swarm: MeshSwarm, addresses: Sequence[str]) -> None:
    for address in addresses:
        await swarm.listen(parse_multiaddr(address))
        if address not in swarm.listeners:
            raise Conflict(
                f"cannot listen on {address}", hint="is the port in use, or the address not of this machine?"
            )


hardening.harden()
