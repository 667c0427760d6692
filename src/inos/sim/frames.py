"""What travels on simulated wires, and what a watcher sees of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from inos.core.errors import PeerUnavailable
from inos.core.ids import PeerId
from inos.crypto.hashing import blake3_digest
from inos.mesh.network import Message, Outcome

# Header and envelope of a small frame (`mesh/frames.py`), and what encryption and multiplexing add.
OVERHEAD_BYTES: Final = 120


class Kind(StrEnum):
    """What a frame is for. HELLO opens a connection and is answered; RESET ends one."""

    HELLO = "hello"
    REQUEST = "request"
    ANSWER = "answer"
    GOSSIP = "gossip"
    RESET = "reset"


class Call:
    """One request on its way: settled once, by its answer, its deadline or the end of its connection. `among` are the
    open calls it is one of, which it leaves by itself."""

    __slots__ = ("_among", "_done", "method", "timeout_s", "to")

    def __init__(
        self,
        to: PeerId,
        method: str,
        timeout_s: float,
        among: dict[Call, None],
        done: Callable[[Outcome], None],
    ) -> None:
        self.to = to
        self.method = method
        self.timeout_s = timeout_s
        self._among = among
        self._done: Callable[[Outcome], None] | None = done
        among[self] = None

    @property
    def open(self) -> bool:
        return self._done is not None

    def settle(self, outcome: Outcome) -> None:
        """The first outcome counts; what comes later is ignored, as on a stream that was given up."""
        done = self._done
        if done is not None:
            self.give_up()
            done(outcome)

    def expire(self) -> None:
        """Its time is up."""
        self.settle(PeerUnavailable(f"{self.to.short()} did not answer {self.method} within {self.timeout_s:g} s"))

    def give_up(self) -> None:
        """Nobody waits for the outcome any more."""
        self._done = None
        self._among.pop(self, None)


@dataclass(slots=True, eq=False)
class Frame:
    """One frame. `name` is its method or topic; `number` that of its connection, 0 for none, or of a gossiped message;
    `call` is whom an answer is for. Gossip names its `origin`."""

    kind: Kind
    source: PeerId
    target: PeerId
    name: str
    message: Outcome
    number: int = 0
    call: Call | None = None
    origin: PeerId | None = None

    @property
    def size_bytes(self) -> int:
        """About as many bytes as libp2p would send for it."""
        message = self.message
        if isinstance(message, Message):
            return OVERHEAD_BYTES + len(self.name) + len(message.payload) + len(message.body)
        return OVERHEAD_BYTES + len(self.name) + len(message.message) + len(message.hint)

    @property
    def digest(self) -> bytes:
        """32 bytes over everything in it, for comparing runs."""
        message = self.message
        if isinstance(message, Message):
            parts = [b"", message.payload, message.body]
        else:
            parts = [message.code.encode(), message.message.encode(), message.hint.encode()]
        head = [self.kind, self.source, self.target, self.name, self.origin or ""]
        lengths = [len(part) for part in parts]
        return blake3_digest(repr((head, lengths)).encode() + b"".join(parts))


@dataclass(slots=True)
class Counters:
    """What passed so far. A duplicate counts as one more frame sent; what is not lost and not on its way arrived."""

    sent: int = 0
    sent_bytes: int = 0
    arrived: int = 0
    lost: int = 0
    duplicated: int = 0


Watcher = Callable[[float, Frame], None]
"""Called with the moment (seconds of trio's clock) and each frame as it arrives."""
