"""Gossip in simulation: from listener to listener over their connections, each of which may lose or delay it.

A message is passed on once by each who listens to its topic and knows its origin for a member, as with libp2p's
GossipSub; `Topics` is one node's part in it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from inos.core.errors import TooLarge
from inos.core.ids import PeerId
from inos.mesh.methods import deliver
from inos.mesh.network import MAX_GOSSIP_BYTES, GossipHandler, Message
from inos.sim.frames import Frame, Kind

if TYPE_CHECKING:
    from inos.sim.fabric import MemoryFabric
    from inos.sim.network import MemoryNetwork

log = logging.getLogger(__name__)

# The same queue the libp2p host keeps for one subscription; beyond it gossip is dropped, as it may be.
SUBSCRIPTION_QUEUE: Final = 1024
# A message goes on to so many listeners, drawn anew, as over a GossipSub mesh and its repairs; when there are not many
# more than that, to all of them.
FANOUT: Final = 8
ALL: Final = 12
# Messages remembered so as not to be passed on twice: minutes of what a busy mesh says.
SEEN: Final = 4096

Heard = tuple[PeerId, bytes]


class Topics:
    """What one node hears, says and passes on."""

    def __init__(self, node: MemoryNetwork, fabric: MemoryFabric) -> None:
        self._node = node
        self._fabric = fabric
        self._queues: dict[str, trio.MemorySendChannel[Heard]] = {}
        self._seen: dict[int, None] = {}

    def heard(self, topic: str) -> bool:
        """Whether this node listens to `topic`."""
        return topic in self._queues

    def publish(self, topic: str, data: bytes) -> None:
        """Send `data` on its way. Raises TooLarge."""
        if len(data) > MAX_GOSSIP_BYTES:
            raise TooLarge(f"{len(data)} bytes of gossip are over the limit of {MAX_GOSSIP_BYTES}")
        me = self._node.me
        self._pass_on(Frame(Kind.GOSSIP, me, me, topic, Message(data), self._fabric.number()), me)

    def receive(self, frame: Frame) -> None:
        """Hear and pass on what is new and of a member."""
        origin, data = frame.origin, frame.message
        assert origin is not None, "gossip names its origin"
        assert isinstance(data, Message), "gossip is a message"
        queue = self._queues.get(frame.name)
        if queue is None or frame.number in self._seen or len(data.payload) > MAX_GOSSIP_BYTES:
            return
        if not self._node.admission.admits(origin):
            return
        self._pass_on(frame, origin)
        try:
            queue.send_nowait((origin, data.payload))
        except trio.WouldBlock:
            log.warning("%s: a slow listener loses gossip on %s", self._node.me.short(), frame.name)

    def _pass_on(self, frame: Frame, origin: PeerId) -> None:
        self._seen[frame.number] = None
        if len(self._seen) > SEEN:
            del self._seen[next(iter(self._seen))]
        fabric, topic, me = self._fabric, frame.name, self._node.me
        hearers = [peer for peer in self._node.links() if peer not in (frame.source, origin)]
        hearers = [peer for peer in hearers if (there := fabric.node(peer)) is not None and there.hears(topic)]
        if len(hearers) > ALL:
            hearers = fabric.env.random.sample(hearers, FANOUT)
        for peer in hearers:
            fabric.send(Frame(Kind.GOSSIP, me, peer, topic, frame.message, frame.number, origin=origin))

    def open(self, topic: str) -> trio.MemoryReceiveChannel[Heard]:
        """Listen to `topic` from now on; what is heard comes out of the channel."""
        if topic in self._queues:
            raise ValueError(f"two handlers for topic {topic!r}")
        send, receive = trio.open_memory_channel[Heard](SUBSCRIPTION_QUEUE)
        self._queues[topic] = send
        return receive

    async def listen(self, topic: str, receive: trio.MemoryReceiveChannel[Heard], handler: GossipHandler) -> None:
        """Hand what is heard to `handler`, one message at a time."""
        async for origin, data in receive:
            await deliver(topic, handler, origin, data)
