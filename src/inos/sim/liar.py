"""A member that lies: what it answers is damaged, older than it should be, somebody else's, or invented."""

from __future__ import annotations

import random
from typing import Final

from inos.core.errors import NotFound
from inos.mesh.network import Message, Outcome
from inos.sim.frames import Frame, Kind

# A liar nobody believes for long is of no use to its masters: most of what it says is true.
LIES: Final = 0.4
_KEPT: Final = 32


class Liar:
    """Tampers with the answers of one node. Heartbeats pass: a liar that seems dead deceives nobody."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._earlier: dict[str, list[Message]] = {}

    def __call__(self, frame: Frame) -> Outcome:
        """What is sent instead of the message of `frame`."""
        message = frame.message
        if frame.kind is not Kind.ANSWER or not isinstance(message, Message) or frame.name.startswith("mesh."):
            return message
        earlier = self._earlier.setdefault(frame.name, [])
        if len(earlier) < _KEPT:
            earlier.append(message)
        if self._chance.random() >= LIES:
            return message
        return self._chance.choice((self._damaged, self._old, self._invented, self._denied))(frame.name, message)

    def _damaged(self, _method: str, message: Message) -> Outcome:
        return Message(self._flipped(message.payload), self._flipped(message.body))

    def _old(self, method: str, _message: Message) -> Outcome:
        return self._chance.choice(self._earlier[method])

    def _invented(self, _method: str, message: Message) -> Outcome:
        return Message(self._chance.randbytes(len(message.payload)), self._chance.randbytes(len(message.body)))

    def _denied(self, method: str, _message: Message) -> Outcome:
        return NotFound(f"no {method} here")

    def _flipped(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._chance.randrange(len(data))
        return data[:at] + bytes([data[at] ^ (1 << self._chance.randrange(8))]) + data[at + 1 :]
