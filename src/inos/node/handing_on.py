"""A hub that is one no more brings what its corpus has and the mesh has not to the one there is now, as an agent would:
in order, again after any failure, without harm when it is there already; and only after that one has taken in what the
mesh has of this corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inos.core.env import Env
from inos.core.errors import NotFound, Unavailable
from inos.core.messages.marks import Marks
from inos.core.messages.message import Message
from inos.messages import hub_calls as wire
from inos.messages.hub import Hub
from inos.node.hub_door import HubDoor

_BATCH: Final = 200
_HOPS: Final = 3
_MOVING: Final = "the hub is moving to another node"
_AGAIN: Final = "it is tried again in a few seconds"


class HandingOn:
    """Hands on a corpus."""

    def __init__(self, door: HubDoor, name: str, env: Env) -> None:
        self._door = door
        self._name = name
        self._env = env
        self._told = ""
        self._begun = False

    async def __call__(self, hub: Hub) -> None:
        """Returns when the hub there is now has everything. Raises Unavailable, StorageFull, Busy…: then again."""
        self._told, self._begun = hub.identity, False
        await self._messages(hub)
        await self._marks(hub)

    async def _messages(self, hub: Hub) -> None:
        seq = hub.memory.covered.seq
        while page := await self._env.in_thread(hub.corpus.after, seq, _BATCH):
            await self._send([each.message for each in page])
            seq = page[-1].seq

    async def _send(self, messages: Sequence[Message]) -> None:
        """A hub of another name than was told looks for what the one of that name left, stores nothing, and says its
        own. One that comes in the middle has not got what went to the one before: that is Unavailable, and all goes
        out again."""
        for _ in range(_HOPS):
            ack = await self._door.sync(messages, self._name, self._told)
            if ack.results:
                self._begun = True
                return
            self._tell(ack.hub)
        raise Unavailable(_MOVING, hint=_AGAIN)

    def _tell(self, hub: str) -> None:
        if self._begun:
            raise Unavailable(_MOVING, hint=_AGAIN)
        self._told = hub

    async def _marks(self, hub: Hub) -> None:
        mark_seq = hub.memory.covered.mark_seq
        while page := await self._env.in_thread(hub.corpus.marks_after, mark_seq, _BATCH):
            changes = [(each.id, each.marks) for each in page]
            if missing := await self._merge(changes):
                # Covered once, and not found by the new hub: it gets them from here.
                for each in missing:
                    await self._send_again(hub, each)
                await self._merge(changes)
            mark_seq = page[-1].mark_seq

    async def _merge(self, changes: Sequence[tuple[str, Marks]]) -> list[str]:
        """As `_send`; the ids of those whose messages are not there."""
        for _ in range(_HOPS):
            answer = wire.decode_json(await self._door.ask(wire.MERGE, wire.encode_merge(changes, self._told)))
            missing = answer.get("missing")
            if isinstance(missing, list):
                self._begun = True
                return [each for each, _ in changes if each in missing]
            self._tell(str(answer.get("hub", "")))
        raise Unavailable(_MOVING, hint=_AGAIN)

    async def _send_again(self, hub: Hub, message_id: str) -> None:
        try:
            stored = await self._env.in_thread(hub.corpus.get, message_id)
        except NotFound:
            return
        await self._send([stored.message])
