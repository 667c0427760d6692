"""Single messages that meet go to the hub as one batch, so that they share its transaction and its sync.

The first to come takes all that wait and carries them; those that come meanwhile are the next batch. When the request
that carries goes away, what it carried waits again: a message that reaches a hub twice is stored once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio

from inos.api.service import Messaging
from inos.core.errors import InosError
from inos.core.messages.message import Message
from inos.core.messages.shares import Room
from inos.core.messages.sync import MAX_BATCH, Ack, Result

# The batch under way and two more: who waits longer than that is better told to come again.
MAX_WAITING: Final = 3 * MAX_BATCH


@dataclass(slots=True, eq=False)
class _Waiting:
    message: Message
    result: Result | None = None
    hub: str = ""
    error: InosError | None = None
    done: anyio.Event = field(default_factory=anyio.Event)
    gone: bool = False


class Gathering:
    """Brings messages to the hub in batches."""

    def __init__(self, service: Messaging) -> None:
        self._service = service
        self._waiting: deque[_Waiting] = deque()
        self._turn = anyio.Lock()
        self._room = Room(MAX_WAITING, "messages wait to be stored")

    async def store(self, message: Message) -> tuple[str, Result]:
        """Store one message; the hub's identity, and what became of it. Busy when too many wait."""
        self._room.take(message.agent)
        mine = _Waiting(message)
        self._waiting.append(mine)
        try:
            while not mine.done.is_set():
                async with self._turn:
                    if not mine.done.is_set():
                        await self._carry()
        finally:
            self._room.give(message.agent)
            mine.gone = True
            if not mine.done.is_set() and mine in self._waiting:
                self._waiting.remove(mine)
        if mine.error is not None:
            raise mine.error.again()
        assert mine.result is not None
        return mine.hub, mine.result

    async def _carry(self) -> None:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < MAX_BATCH:
            each = self._waiting.popleft()
            if not each.gone:
                batch.append(each)
        carried = False
        try:
            ack = await self._service.messages.sync([each.message for each in batch], "")
            _tell(batch, ack)
            carried = True
        except InosError as error:
            for each in batch:
                each.error = error
            carried = True
        finally:
            if carried:
                for each in batch:
                    each.done.set()
            else:
                self._waiting.extendleft(reversed(batch))


def _tell(batch: Sequence[_Waiting], ack: Ack) -> None:
    for each, result in zip(batch, ack.results, strict=True):
        each.hub, each.result = ack.hub, result
