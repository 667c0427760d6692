"""The network seam in simulation: one node's `inos.mesh.network.Network` on a `MemoryFabric`.

It behaves as libp2p's does where a node can tell: a connection is opened by two hellos and ends on both sides when a
process dies, hangs up, or answers for a connection it has forgotten; a frame that vanishes is a call that times out;
strangers reach only what is open to them, in small frames and seldom (`mesh/gate.py`); limits are checked where frames
arrive. Gossip goes from listener to listener, so it crosses wires and their faults one by one.

This module has connections and the calling side; `desk.py` answers, `topics.py` gossips.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import outcome as outcomes
import trio

from inos.core.errors import BadFrame, InosError, NotAMember, PeerUnavailable, TooLarge
from inos.core.ids import PeerId
from inos.mesh.methods import check_size
from inos.mesh.network import (
    Admission,
    GossipHandler,
    Handler,
    Message,
    Outcome,
    PeerHandler,
    PlainHandler,
)
from inos.mesh.proofs import HELLO
from inos.sim.desk import Desk
from inos.sim.frames import Call, Frame, Kind
from inos.sim.topics import Topics

if TYPE_CHECKING:
    from inos.sim.fabric import MemoryFabric

log = logging.getLogger(__name__)


class _Link:
    """One side of a connection. `calls` are those on their way over it."""

    __slots__ = ("calls", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: dict[Call, None] = {}


class MemoryNetwork:
    """One node's view of a MemoryFabric: the whole `inos.mesh.network.Network` contract."""

    def __init__(self, fabric: MemoryFabric, me: PeerId, admission: Admission) -> None:
        self._fabric = fabric
        self._me = me
        self.admission = admission
        self._desk = Desk(self, fabric)
        self._links: dict[PeerId, _Link] = {}
        self._connected: frozenset[PeerId] | None = frozenset()
        self._unlinked = _Link(0)  # calls outside a connection: hellos, and what strangers ask
        self._topics = Topics(self, fabric)
        self._on_connected: list[PeerHandler] = []
        self._on_disconnected: list[PeerHandler] = []
        self._heard_s: dict[PeerId, float] = {}

    # -- peers

    @property
    def me(self) -> PeerId:
        return self._me

    @property
    def refused(self) -> dict[str, int]:
        """How often strangers were refused, by reason."""
        return dict(self._desk.gate.refused)

    def addresses(self) -> Sequence[str]:
        return (address_of(self._me),)

    def connected(self) -> frozenset[PeerId]:
        if self._connected is None:
            self._connected = frozenset(self._links)
        return self._connected

    def on_connected(self, handler: PeerHandler) -> None:
        self._on_connected.append(handler)

    def on_disconnected(self, handler: PeerHandler) -> None:
        self._on_disconnected.append(handler)

    def last_heard_s(self, peer: PeerId) -> float | None:
        return self._heard_s.get(peer)

    async def connect(self, addresses: Sequence[str], *, timeout_s: float) -> PeerId:
        give_up_s = trio.current_time() + timeout_s
        other = await self._dial(addresses, timeout_s)
        if other.me in self._links and self._me in other.links():
            return other.me
        shown = Message(self.admission.hello())
        left_s = give_up_s - trio.current_time()
        proof = await self._exchange(self._unlinked, Kind.HELLO, other.me, HELLO, shown, left_s)
        self._prove(other.me, proof.payload)
        if self._desk.closed or self._fabric.node(other.me) is not other or not self._fabric.passes(self._me, other.me):
            raise PeerUnavailable(f"{other.me.short()} hung up")
        number = self._fabric.number()
        self.open(other.me, number)
        other.open(self._me, number)
        return other.me

    async def disconnect(self, peer: PeerId) -> None:
        link = self._links.get(peer)
        if link is not None:
            self.hung_up(peer)
            self._fabric.send(Frame(Kind.RESET, self._me, peer, "", Message(), link.number))
        await trio.lowlevel.checkpoint()

    async def ask(self, addresses: Sequence[str], method: str, request: Message, *, timeout_s: float) -> Message:
        check_size(request)
        give_up_s = trio.current_time() + timeout_s
        other = await self._dial(addresses, timeout_s)
        left_s = give_up_s - trio.current_time()
        return await self._exchange(self._unlinked, Kind.REQUEST, other.me, method, request, left_s)

    async def _dial(self, addresses: Sequence[str], timeout_s: float) -> MemoryNetwork:
        """Who is behind the first live address. Over a cut cable it takes the whole `timeout_s`, as dialling does."""
        silent = False
        for address in addresses if not self._desk.closed else ():
            _, _, named = address.rpartition("/p2p/")
            place = address.removeprefix("/memory/").partition("/")[0]
            station = self._fabric.node(PeerId(place))
            if station is None or station.me != named or station is self:
                continue
            if not self._fabric.is_cut(self._me, station.me):
                await trio.lowlevel.checkpoint()
                return station
            silent = True
        await trio.sleep(timeout_s if silent else 0)
        raise PeerUnavailable("none of the addresses answers", hint="is that node running?")

    def _prove(self, peer: PeerId, hello: bytes) -> None:
        """Believe or refuse what `peer` has shown. Raises NotAMember."""
        try:
            self.admission.welcome(peer, hello)
            if not self.admission.admits(peer):
                raise NotAMember(f"{peer.short()} is not a member of this mesh")
        except NotAMember:
            self._desk.gate.refused["member"] += 1
            raise
        self.hear(peer)

    def hear(self, peer: PeerId) -> None:
        """Note a sign of life."""
        self._heard_s[peer] = self._fabric.schedule.now_s()

    # -- what the fabric tells a node

    def links(self) -> list[PeerId]:
        """Whom this side believes to be connected with, in order."""
        return sorted(self._links)

    def open(self, peer: PeerId, number: int) -> None:
        """Connection `number` with `peer` is there: a new one, or the one there was, agreed on anew."""
        link = self._links.get(peer)
        if link is not None:
            link.number = number
            return
        self._links[peer] = _Link(number)
        self._connected = None
        for handler in self._on_connected:
            handler(peer)

    def hung_up(self, peer: PeerId) -> None:
        """The connection with `peer` has ended, if there was one."""
        link = self._links.pop(peer, None)
        if link is None:
            return
        self._connected = None
        for call in list(link.calls):
            call.settle(PeerUnavailable(f"{peer.short()} hung up"))
        for handler in self._on_disconnected:
            handler(peer)

    def hears(self, topic: str) -> bool:
        """Whether this node listens to `topic`."""
        return self._topics.heard(topic)

    def shut(self) -> None:
        """The process has been killed: whatever it did for itself and others ends here."""
        self._desk.close()
        links, self._links, self._connected = self._links, {}, None
        for link in (self._unlinked, *links.values()):
            for call in list(link.calls):
                call.settle(PeerUnavailable("this node has stopped"))

    def receive(self, frame: Frame) -> None:
        """A frame has arrived."""
        kind = frame.kind
        if kind is Kind.REQUEST:
            self._desk.take(frame)
        elif kind is Kind.ANSWER:
            self._take_answer(frame)
        elif kind is Kind.GOSSIP:
            if frame.source in self._links and self.admission.admits(frame.source):
                self.hear(frame.source)
                self._topics.receive(frame)
        elif kind is Kind.HELLO:
            self._take_hello(frame)
        else:
            self._take_reset(frame)

    # -- calls

    def serve(self, method: str, handler: Handler, *, strangers: bool = False) -> None:
        self._desk.methods.serve(method, handler, strangers=strangers)

    def serve_plain(self, method: str, handler: PlainHandler) -> None:
        self._desk.methods.serve_plain(method, handler)

    async def call(self, peer: PeerId, method: str, request: Message, *, timeout_s: float) -> Message:
        check_size(request)
        link = self._links.get(peer)
        if link is None:
            await trio.lowlevel.checkpoint()
            raise PeerUnavailable(f"not connected to {peer.short()}")
        return await self._exchange(link, Kind.REQUEST, peer, method, request, timeout_s)

    def call_soon(
        self, peer: PeerId, method: str, request: Message, done: Callable[[Outcome], None], *, timeout_s: float
    ) -> None:
        check_size(request)
        link = self._links.get(peer)
        if link is None:
            now_s = trio.current_time()
            self._fabric.schedule.at(now_s, done, PeerUnavailable(f"not connected to {peer.short()}"))
        else:
            call = Call(peer, method, timeout_s, link.calls, done)
            self._fabric.schedule.expire_after(timeout_s, call)
            self._fabric.send(Frame(Kind.REQUEST, self._me, peer, method, request, link.number, call))

    async def _exchange(
        self, link: _Link, kind: Kind, peer: PeerId, method: str, request: Message, timeout_s: float
    ) -> Message:
        task = trio.lowlevel.current_task()

        def wake(result: Outcome) -> None:
            trio.lowlevel.reschedule(task, outcomes.Value(result))

        def abort(_raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
            call.give_up()
            return trio.lowlevel.Abort.SUCCEEDED

        call = Call(peer, method, timeout_s, link.calls, wake)
        schedule = self._fabric.schedule
        schedule.expire_at(schedule.now_s() + timeout_s, call)
        self._fabric.send(Frame(kind, self._me, peer, method, request, link.number, call))
        result: Outcome = await trio.lowlevel.wait_task_rescheduled(abort)
        if isinstance(result, InosError):
            raise result
        return result

    def _take_answer(self, frame: Frame) -> None:
        assert frame.call is not None, "an answer to nobody"
        if frame.number:
            self.hear(frame.source)
        answer = frame.message
        if isinstance(answer, Message):
            try:
                check_size(answer)
            except TooLarge as error:
                answer = BadFrame(error.message)
        frame.call.settle(answer)

    def _take_hello(self, frame: Frame) -> None:
        assert isinstance(frame.message, Message), "hellos are messages"
        answer: Outcome
        try:
            if not self.admission.admits(frame.source):
                self._desk.gate.charge(frame.source, frame.source)
            self._prove(frame.source, frame.message.payload)
            answer = Message(self.admission.hello())
        except InosError as error:
            answer = error
        self._desk.reply(frame, answer)

    def _take_reset(self, frame: Frame) -> None:
        if self.has(frame.source, frame.number):
            self.hung_up(frame.source)
        elif frame.call is not None:
            frame.call.settle(PeerUnavailable(f"{frame.source.short()} hung up"))

    def has(self, peer: PeerId, number: int) -> bool:
        """Whether connection `number` with `peer` is known on this side."""
        link = self._links.get(peer)
        return link is not None and link.number == number

    # -- gossip

    async def publish(self, topic: str, data: bytes) -> None:
        self._topics.publish(topic, data)
        await trio.lowlevel.checkpoint()

    async def subscribe(self, topic: str, handler: GossipHandler) -> None:
        self._desk.spawn(None, partial(self._topics.listen, topic, self._topics.open(topic), handler))
        await trio.lowlevel.checkpoint()

    # -- directory

    async def announce(self, key: bytes) -> None:
        self._fabric.announce(key, self._me)
        await trio.lowlevel.checkpoint()

    async def find(self, key: bytes, *, timeout_s: float) -> Sequence[PeerId]:
        with trio.move_on_after(timeout_s):
            await trio.lowlevel.checkpoint()
        return self._fabric.announced(key, self._me)


def address_of(peer: PeerId) -> str:
    """Where a MemoryFabric has `peer`."""
    return f"/memory/{peer}/p2p/{peer}"
