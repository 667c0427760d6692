"""Gossip over libp2p's GossipSub: topics, who may speak on them, and one handler each.

Messages are signed by their origin (libp2p checks it); only those of proven members are delivered or passed on.
"""

from __future__ import annotations

from typing import Any

import trio

from inos.core.errors import TooLarge
from inos.core.ids import PeerId
from inos.mesh.methods import deliver
from inos.mesh.network import MAX_GOSSIP_BYTES, Admission, GossipHandler
from inos.mesh.streams import peer_from_bytes


class Topics:
    """The topics of one node. Handlers run in `nursery`, one message at a time for each topic."""

    def __init__(self, pubsub: Any, me: PeerId, admission: Admission, nursery: trio.Nursery) -> None:
        self._pubsub = pubsub
        self._me = me
        self._admission = admission
        self._nursery = nursery
        self._handled: set[str] = set()

    async def publish(self, topic: str, data: bytes) -> None:
        """See `inos.mesh.network.Gossip.publish`."""
        if len(data) > MAX_GOSSIP_BYTES:
            raise TooLarge(f"{len(data)} bytes of gossip are over the limit of {MAX_GOSSIP_BYTES}")
        await self._pubsub.publish(topic, data)

    async def subscribe(self, topic: str, handler: GossipHandler) -> None:
        """See `inos.mesh.network.Gossip.subscribe`."""
        if topic in self._handled:
            raise ValueError(f"two handlers for topic {topic!r}")
        self._handled.add(topic)
        self._pubsub.set_topic_validator(topic, self._from_member, False)
        subscription = await self._pubsub.subscribe(topic)
        self._nursery.start_soon(self._listen, topic, subscription, handler)

    def _from_member(self, _forwarder: Any, message: Any) -> bool:
        origin = peer_from_bytes(message.from_id)
        return origin == self._me or self._admission.admits(origin)

    async def _listen(self, topic: str, subscription: Any, handler: GossipHandler) -> None:
        async for message in subscription:
            origin = peer_from_bytes(message.from_id)
            if origin != self._me:
                await deliver(topic, handler, origin, message.data)
