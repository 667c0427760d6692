"""A seat on the fabric for somebody who keeps no rule: what a simulated attacker acts through.

It can do what whoever has a key of their own can do on a real network, and no more: it cannot speak as another peer
(Noise proves who is at the other end) and cannot read what passes between others. Everything else is open to it: any
method, any bytes, any number of times, any hello, any answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from inos.core.errors import NotFound
from inos.core.ids import PeerId
from inos.mesh.network import Message, Outcome
from inos.sim.frames import Frame, Kind
from inos.sim.network import MemoryNetwork

if TYPE_CHECKING:
    from inos.sim.fabric import MemoryFabric

Answers = Callable[[PeerId, str, Message], Outcome | None]


def _know_nothing(_peer: PeerId, method: str, _request: Message) -> Outcome | None:
    return NotFound(f"no {method} here")


class _Anybody:
    """An Admission without standards, which shows whatever it was given."""

    def __init__(self, shown: bytes) -> None:
        self.shown = shown

    def admits(self, _peer: PeerId) -> bool:
        return True

    def hello(self) -> bytes:
        return self.shown

    def welcome(self, _peer: PeerId, _hello: bytes) -> None:
        """Whoever comes is welcome."""


class HostileSeat(MemoryNetwork):
    """A network for a peer that means harm. `answers` says what it answers to whom; with None it keeps silent. Every
    frame it gets is handed to those who `watch`, so that what leaked to it can be looked at."""

    def __init__(self, fabric: MemoryFabric, me: PeerId, hello: bytes) -> None:
        self._anybody = _Anybody(hello)
        super().__init__(fabric, me, self._anybody)
        self.answers: Answers = _know_nothing
        self._watchers: list[Callable[[Frame], None]] = []

    def show(self, hello: bytes) -> None:
        """What it shows of itself from now on."""
        self._anybody.shown = hello

    def watch(self, watcher: Callable[[Frame], None]) -> None:
        """`watcher` sees each frame that reaches this seat."""
        self._watchers.append(watcher)

    async def send(self, peer: PeerId, method: str, request: Message, *, timeout_s: float) -> Message:
        """One request, whatever its method, size and bytes, over the connection with `peer` or without any. Raises what
        comes back instead of an answer."""
        link = self._links.get(peer, self._unlinked)
        return await self._exchange(link, Kind.REQUEST, peer, method, request, timeout_s)

    def gossip(self, peer: PeerId, topic: str, data: bytes) -> None:
        """One message to one peer, whether or not it listens, of any size."""
        number = self._fabric.number()
        self._fabric.send(Frame(Kind.GOSSIP, self._me, peer, topic, Message(data), number, origin=self._me))

    def receive(self, frame: Frame) -> None:
        """Look at everything; answer requests as `answers` says."""
        for watcher in self._watchers:
            watcher(frame)
        if frame.kind is not Kind.REQUEST:
            super().receive(frame)
        elif isinstance(frame.message, Message):
            answer = self.answers(frame.source, frame.name, frame.message)
            if answer is not None:
                self._desk.reply(frame, answer)
