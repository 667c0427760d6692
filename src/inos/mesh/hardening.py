"""What libp2p 0.8.1 needs before a node may stay up with it among strangers: one function per defect, each with why.

`harden()` applies all of them, once a process, before the first host is made. Reasons and measurements in full:
docs/decisions/0001-libp2p-hardening.md; each has a regression test in tests/mesh/test_hardening.py that fails without
it. What we make ourselves is subclassed instead: the Swarm in `inos.mesh.swarm`, Yamux in `inos.mesh.yamux`. Every
change is written so that it could go upstream.
"""

from __future__ import annotations

from typing import Any, Final

from inos.mesh.lean_imports import prepare

prepare()

# isort: split
# Not `from libp2p.kad_dht import …`, which would run that package.
import libp2p.kad_dht.common as common  # noqa: E402
import libp2p.kad_dht.kad_dht as kad_dht  # noqa: E402
import libp2p.kad_dht.peer_routing as peer_routing  # noqa: E402
import libp2p.kad_dht.provider_store as provider_store  # noqa: E402
import libp2p.kad_dht.value_store as value_store  # noqa: E402
import trio  # noqa: E402
from libp2p.network.connection.swarm_connection import SwarmConn  # noqa: E402
from libp2p.pubsub import pubsub, rpc_queue  # noqa: E402
from libp2p.stream_muxer import muxer_multistream  # noqa: E402
from libp2p.transport.tcp import tcp  # noqa: E402

from inos.mesh.yamux import MeshYamux  # noqa: E402

# One DHT query of one peer; upstream waits 10 s for each silent one.
KAD_QUERY_DEADLINE_S: Final = 3.0
# Gossip that may wait for one slow subscriber or peer; upstream keeps 32 and drops the rest.
GOSSIP_QUEUE: Final = 1024
KAD_PROTOCOL: Final = "/inos/kad/1"

_applied: list[bool] = []


def harden() -> None:
    """Apply everything below. Repeatable."""
    if _applied:
        return
    _applied.append(True)
    use_our_muxer()
    contain_stream_handlers()
    serialise_pubsub_writes()
    widen_gossip_queues()
    name_and_bound_kad()
    refuse_shared_ports()


def use_our_muxer() -> None:
    """B3 and others, see `inos.mesh.yamux`: upstream makes its own Yamux whatever class was registered for it."""
    muxer_multistream.Yamux = MeshYamux


def contain_stream_handlers() -> None:
    """B4, B5: an exception that leaves a stream handler ends `trio.run`: one malformed pubsub frame from any peer is
    enough. It ends the stream instead."""
    upstream = SwarmConn._handle_muxed_stream

    async def handle(self: Any, muxed_stream: Any) -> None:
        try:
            await upstream(self, muxed_stream)
        except Exception as error:
            handler_failures.append(f"{type(error).__name__}: {error}"[:200])
            del handler_failures[:-MAX_FAILURES]
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                try:
                    await muxed_stream.reset()
                except Exception as again:
                    handler_failures.append(f"{type(again).__name__}: {again}"[:200])

    SwarmConn._handle_muxed_stream = handle


MAX_FAILURES: Final = 50
# The last exceptions that left libp2p's stream handlers, for whoever looks into a misbehaving peer.
handler_failures: list[str] = []


def serialise_pubsub_writes() -> None:
    """B6: the replay to a new peer writes its pubsub stream beside the queue's writer; messages above 64 KiB
    interleave, and the other side sees garbage."""
    upstream = pubsub.Pubsub.write_msg

    async def write_msg(self: Any, stream: Any, rpc_msg: Any) -> bool:
        lock = stream.__dict__.setdefault("write_lock", trio.Lock())
        async with lock:
            done: bool = await upstream(self, stream, rpc_msg)
            return done

    pubsub.Pubsub.write_msg = write_msg


def widen_gossip_queues() -> None:
    """Queues of 32 lose messages in any burst."""
    pubsub.SUBSCRIPTION_CHANNEL_SIZE = GOSSIP_QUEUE
    upstream = rpc_queue.RpcQueue.__init__

    def init(self: Any, max_size: int = GOSSIP_QUEUE) -> None:
        upstream(self, max_size)

    rpc_queue.RpcQueue.__init__ = init


def name_and_bound_kad() -> None:
    """The protocol id is a constant: ours must differ, or the mesh would mix with the public DHT. A query of a silent
    peer must not cost 10 s."""
    for module in (common, kad_dht, peer_routing, provider_store, value_store):
        module.PROTOCOL_ID = KAD_PROTOCOL
        if hasattr(module, "QUERY_TIMEOUT"):
            module.QUERY_TIMEOUT = KAD_QUERY_DEADLINE_S


def refuse_shared_ports() -> None:
    """Listeners are opened with SO_REUSEPORT (for hole punching, which we do not do): a second node on the same port
    starts without an error and takes half of the connections."""

    def set_reuse_flags(sock: Any) -> None:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)

    tcp._set_reuse_flags = set_reuse_flags
