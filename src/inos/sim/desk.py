"""The answering side of a simulated node: who may ask what, and the handlers at work.

Handlers that wait run as trio system tasks: they belong to the answering node, must outlive the caller's cancel scope,
and plain objects have no nursery to give. Each runs under a scope its node keeps, and nothing but cancellation leaves
it. A task that has answered waits for the next request: waking one costs less than making one. Plain handlers answer
where the frame arrives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio
from outcome import Value

from inos.core.errors import InosError, PeerUnavailable, TooLarge, from_wire
from inos.mesh.frames import MAX_METHOD_CHARS
from inos.mesh.gate import Gate, GateLimits
from inos.mesh.methods import MethodTable, check_size
from inos.mesh.network import Message, Outcome
from inos.sim.frames import Frame, Kind

if TYPE_CHECKING:
    from inos.sim.fabric import MemoryFabric
    from inos.sim.network import MemoryNetwork


# Requests that a node answers at a moment, mostly; of a burst of them nothing stays behind.
_MOST_IDLE: Final = 8


class _Clerk:
    """A task that does one piece of work after another, as long as `rests` says after each that there may be more."""

    __slots__ = ("_rests", "_task", "_work", "frame", "scope")

    def __init__(self, rests: Callable[[_Clerk], bool]) -> None:
        self._rests = rests
        self._task: trio.lowlevel.Task | None = None
        self._work: Callable[[], Awaitable[None]] | None = None
        self.scope = trio.CancelScope()
        self.frame: Frame | None = None
        """The request it is at work for."""

    def do(self, frame: Frame | None, work: Callable[[], Awaitable[None]]) -> None:
        """Begin with the next piece of work."""
        self.frame, self._work = frame, work
        if self._task is None:
            self._task = trio.lowlevel.spawn_system_task(self._run)
        else:
            trio.lowlevel.reschedule(self._task, Value(None))

    async def _run(self) -> None:
        with self.scope:
            while self._work is not None and not self.scope.cancel_called:
                await self._work()
                self.frame = self._work = None
                if self._rests(self):
                    await trio.lowlevel.wait_task_rescheduled(_give_up)
        self.frame = None


def _give_up(_raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED


class Desk:
    """Takes requests for one node and answers them, until it is closed."""

    def __init__(self, node: MemoryNetwork, fabric: MemoryFabric) -> None:
        self.methods = MethodTable()
        self.gate = Gate(GateLimits(), fabric.env.monotonic_s)
        self.closed = False
        self._node = node
        self._fabric = fabric
        self._clerks: dict[_Clerk, None] = {}
        self._idle: list[_Clerk] = []

    def close(self) -> None:
        """End all work at once. Those who asked over a connection see that break; the others are told here."""
        self.closed = True
        for clerk in self._clerks:
            clerk.scope.cancel()
            if clerk.frame is not None and not clerk.frame.number:
                self._fabric.reset(clerk.frame)

    def take(self, frame: Frame) -> None:
        """A request has arrived."""
        peer, method, request = frame.source, frame.name, frame.message
        assert isinstance(request, Message), "requests are messages"
        if frame.number and not self._node.has(peer, frame.number):
            self._fabric.reset(frame)  # this side has forgotten the connection
            return
        member = self._node.admission.admits(peer)
        try:
            if member:
                self._node.hear(peer)
            else:
                self.gate.charge(peer, peer)
            self._check(method, request, member=member)
            if self.methods.is_plain(method):
                self.reply(frame, self.methods.answer_plain(peer, method, request, member=member))
            else:
                self.spawn(frame, partial(self._answer, frame, request, member))
        except InosError as error:
            self.reply(frame, error)

    async def _answer(self, frame: Frame, request: Message, member: bool) -> None:
        answer: Outcome
        try:
            answer = await self.methods.answer(frame.source, frame.name, request, member=member)
        except InosError as error:
            answer = error
        self.reply(frame, answer)

    def _check(self, method: str, request: Message, *, member: bool) -> None:
        """Refuse what no reader of frames would let in."""
        limit = self.gate.limits.frame_bytes
        small = member or (len(request.payload) <= limit and len(request.body) <= limit)
        try:
            check_size(request)
        except TooLarge:
            small = False
        if not small or len(method) > MAX_METHOD_CHARS:
            self.gate.refused["frame"] += 1
            raise PeerUnavailable(f"{self._node.me.short()} hung up")
        if not member and not self.methods.open_to_strangers(method):
            self.gate.refused["method"] += 1

    def reply(self, frame: Frame, answer: Outcome) -> None:
        """Answer `frame`, if there is still a way to."""
        if self.closed or (frame.number and not self._node.has(frame.source, frame.number)):
            return
        if isinstance(answer, InosError):
            answer = from_wire(answer.code, answer.message, answer.hint)
        back = Frame(Kind.ANSWER, self._node.me, frame.source, frame.name, answer, frame.number, frame.call)
        self._fabric.send(back)

    def spawn(self, frame: Frame | None, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` until the desk is closed; `frame` is the request it is for."""
        if self.closed:
            return
        if self._idle:
            clerk = self._idle.pop()
        else:
            clerk = _Clerk(self._rests)
            self._clerks[clerk] = None
        clerk.do(frame, work)

    def _rests(self, clerk: _Clerk) -> bool:
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(clerk)
            return True
        del self._clerks[clerk]
        return False
