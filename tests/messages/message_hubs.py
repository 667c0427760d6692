"""A hub as an outbox sees it: messages behind the contract of `HubDoor`, and every way in which it can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from inos.core.errors import BadInput, Conflict, InosError
from inos.core.messages.message import Message
from inos.core.messages.sync import Ack, Result, decode_batch


@dataclass
class ScriptedHub:
    """Stores what it is sent. `down`: what to raise instead; `answer_lost`: it stores, and then raises `down`;
    `poison(message)`: the whole batch is refused as bad input; `refuses(message)`: that message alone is refused."""

    identity: str = "hub-1"
    covers: bool = False
    down: InosError | None = None
    answer_lost: bool = False
    poison: Callable[[Message], bool] = lambda message: False
    refuses: Callable[[Message], bool] = lambda message: False
    stored: dict[str, Message] = field(default_factory=dict)
    order: list[Message] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    covered_seq: int = 0

    async def send(self, batch: bytes, count: int) -> Ack:
        """As the contract has it."""
        if self.down is not None and not self.answer_lost:
            raise self.down
        received = decode_batch(batch)
        assert len(received.messages) == count
        self.batches.append(count)
        if received.hub not in ("", self.identity):
            return Ack(self.identity, (), self.covered_seq)
        messages = [each for each in received.messages if isinstance(each, Message)]
        if any(self.poison(each) for each in messages):
            raise BadInput("a message in it cannot be read")
        results = tuple(self._store(each) for each in messages)
        if self.down is not None:
            raise self.down
        if self.covers:
            self.covered_seq = len(self.order)
        return Ack(self.identity, results, self.covered_seq)

    def _store(self, message: Message) -> Result:
        if self.refuses(message):
            return Result(message.id, "refused", 0, Conflict("another message has this id", hint="give it a new one"))
        if message.id in self.stored:
            assert self.stored[message.id] == message, "a message changed on the way"
            return Result(message.id, "duplicate", self.order.index(message) + 1)
        self.stored[message.id] = message
        self.order.append(message)
        return Result(message.id, "stored", len(self.order))

    def replaced(self, identity: str) -> ScriptedHub:
        """A hub that took over with what this one had covered."""
        kept = self.order[: self.covered_seq]
        return ScriptedHub(identity, self.covers, stored={each.id: each for each in kept}, order=list(kept))
