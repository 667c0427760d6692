"""The way to the hub through the mesh: asking it, wherever it is, and answering for it on the node that it is.

A call goes to the node that the record names. One that is not the hub answers with the record it knows, which is taken
in when the owner signed it, and asked next. Only nodes of one owner are answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from inos.core.errors import Busy, Refused, TooLarge, Unavailable
from inos.core.ids import OwnerId, PeerId
from inos.core.messages.message import Message
from inos.core.messages.sync import Ack, Batch, Result, decode_batch
from inos.mesh.network import Message as Frame
from inos.messages import hub_calls as wire
from inos.messages.hub import MAX_EVENTS, Hub
from inos.node.hub_role import HubRole

CALL_TIMEOUT_S: Final = 15.0
# Of one node: an event feed waits in one, and another begins before that has ended.
_MAX_WAITING_OF_ONE: Final = 4
_HOPS: Final = 3
NO_HUB: Final = "no node of yours is the hub that keeps messages"
NO_HUB_HINT: Final = "make this one: inos msg hub --take; or start one with: inos up --hub"


class Calls(Protocol):
    """The network, as far as this needs it."""

    async def call(self, peer: PeerId, method: str, request: Frame, *, timeout_s: float) -> Frame: ...

    def serve(self, method: str, handler: Callable[[PeerId, Frame], Awaitable[Frame]]) -> None: ...


Execute = Callable[[Hub, str, str], Awaitable[bytes]]
"""Run the owner's hook for a message on the hub; the answer."""


class HubDoor:
    """Asks the hub for this node. `owner_of` says whose a peer is, None for nobody's that is known."""

    def __init__(self, role: HubRole, calls: Calls, owner: OwnerId, owner_of: Callable[[PeerId], OwnerId | None]):
        self._role = role
        self._calls = calls
        self._owner = owner
        self._owner_of = owner_of

    def known_peer(self) -> PeerId:
        """The node to ask. Raises Unavailable when none is known."""
        record = self._role.record()
        if record is None:
            raise Unavailable(NO_HUB, hint=NO_HUB_HINT)
        return record.peer

    async def ask(self, method: str, plain: bytes, *, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """The hub's answer. Raises what it raises; Unavailable when it cannot be found."""
        if self._role.record() is None:
            await self._role.ask()
        for _ in range(_HOPS):
            peer, said = self.known_peer(), self._role.encoded
            frame = await self._calls.call(peer, method, wire.encode_ask(said, plain), timeout_s=timeout_s)
            answer = wire.decode_answer(frame)
            if not answer.moved:
                return answer.body
            await self._role.learn(answer.moved)
            if self._role.encoded == said or self._role.is_mine():
                break
        raise Unavailable("the hub is moving to another node", hint="try again in a few seconds")

    async def sync(self, messages: Sequence[Message], node: str, expected: str) -> Ack:
        """Have the hub store a batch, in as many calls as it takes. Raises what it raises; then a part may be stored,
        which does no harm."""
        batch = Batch("", node, tuple(messages), expected)
        try:
            answer = await self.ask(wire.SYNC, batch.encode())
        except TooLarge:  # said here, before anything was sent
            middle = len(messages) // 2
            if not middle:
                raise
            first = await self.sync(messages[:middle], node, expected)
            if not first.results:
                return first
            second = await self.sync(messages[middle:], node, first.hub)
            return replace(second, results=first.results + second.results) if second.results else second
        return Ack.from_json(wire.decode_json(answer))

    # Answering

    def serve(self, answers: HubAnswers) -> None:
        """Answer for the hub on this node from now on."""
        for method in wire.METHODS:
            self._calls.serve(method, self._handler(method, answers))

    def _handler(self, method: str, answers: HubAnswers) -> Callable[[PeerId, Frame], Awaitable[Frame]]:
        async def handle(peer: PeerId, request: Frame) -> Frame:
            if self._owner_of(peer) != self._owner:
                raise Refused("messages are for the nodes of their owner", hint="ask a node of your own")
            ask = wire.decode_ask(request)
            await self._role.learn(ask.record)
            hub = self._role.serving
            if hub is None:
                if not self._role.encoded:
                    raise Unavailable(NO_HUB, hint=NO_HUB_HINT)
                if self._role.is_mine():
                    raise Unavailable("the hub is starting", hint="try again in a few seconds")
                self._role.wake()
                return wire.encode_moved(self._role.encoded)
            return await answers.answer(hub, method, ask.body, peer)

        return handle


class HubAnswers:
    """What a hub answers other nodes, by method."""

    def __init__(self, execute: Execute, report: Callable[[Hub], Awaitable[bytes]]) -> None:
        self._execute = execute
        self._report = report
        self._waiting: dict[PeerId, int] = {}

    async def answer(self, hub: Hub, method: str, asked: bytes, peer: PeerId) -> Frame:
        """Raises InosError."""
        if method == wire.EVENTS:
            return await _events(hub, wire.decode_behind(asked))
        if method == wire.QUERY:
            return await _query(hub, asked)
        return wire.encode_answer(await self._plain(hub, method, asked, peer))

    async def _plain(self, hub: Hub, method: str, asked: bytes, peer: PeerId) -> bytes:
        if method == wire.SYNC:
            return await sync_on(hub, asked)
        if method == wire.GET:
            return wire.encode_stored([await hub.get(wire.decode_one(asked).id)])
        if method == wire.MARK:
            marking = wire.decode_marking(asked)
            return wire.encode_marked(await hub.mark(marking.ids, marking.name, marking.on, marking.by))
        if method == wire.EXECUTE:
            one = wire.decode_one(asked)
            return await self._execute(hub, one.id, one.by)
        if method == wire.MERGE:
            return wire.encode_json({"hub": hub.identity, "missing": await hub.merge(*wire.decode_merge(asked))})
        if method == wire.MOVED:
            return await self._moved(hub, wire.decode_behind(asked), peer)
        return await self._report(hub)

    async def _moved(self, hub: Hub, behind: wire.Behind, peer: PeerId) -> bytes:
        if self._waiting.get(peer, 0) >= _MAX_WAITING_OF_ONE:
            raise Busy("this node waits for news of the hub already", hint="one call at a time does")
        self._waiting[peer] = self._waiting.get(peer, 0) + 1
        try:
            at = await hub.position()
            if behind.position is not None:
                at = await hub.moved(behind.position, behind.wait_s)
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]
        return wire.encode_events([], at, hub.identity)


async def sync_on(hub: Hub, encoded: bytes) -> bytes:
    """Store an encoded batch on this node's hub; the encoded answer."""
    batch = decode_batch(encoded)
    ack = await store(hub, batch.messages, batch.hub)
    return wire.encode_json(ack.to_json())


async def store(hub: Hub, batch: Sequence[Message | Result], expected: str) -> Ack:
    """Store what parsed of a batch; what did not keeps its place among the results."""
    ack = await hub.sync([each for each in batch if isinstance(each, Message)], expected)
    if expected not in ("", ack.hub):
        return ack
    stored = iter(ack.results)
    return replace(ack, results=tuple(each if isinstance(each, Result) else next(stored) for each in batch))


async def _query(hub: Hub, asked: bytes) -> Frame:
    """A page; a shorter one where the messages are long."""
    query = wire.decode_query(asked)
    while True:
        page = await hub.query(query)
        try:
            return wire.encode_answer(wire.encode_json(page.to_json()))
        except TooLarge:
            if query.limit == 1:
                raise
            query = wire.halved(query)


async def _events(hub: Hub, behind: wire.Behind) -> Frame:
    most, at = MAX_EVENTS, behind.position
    if at is None:
        return wire.encode_answer(wire.encode_events([], await hub.position(), hub.identity))
    while True:
        events, end = await hub.news(at, most)
        try:
            return wire.encode_answer(wire.encode_events(events, end, hub.identity))
        except TooLarge:
            if most == 1:
                raise
            most //= 2
