"""What can be done with messages on this node (`core/messages/calls.MessageCalls`): on its own hub where it is the hub,
else through the mesh on that of another; in its caches what programs without one write, and, while no hub can be
reached, what they read.

An owner's only node makes itself the hub when it is first asked for one: nobody else could.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

from inos.core.errors import Conflict, InosError, Unavailable
from inos.core.messages.calls import HubRole as RoleName
from inos.core.messages.calls import Marked, MessageEvent, MessagesReport, OutboxReport
from inos.core.messages.ids import parse_id
from inos.core.messages.marks import MarkName
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import Ack, Result, decode_batch
from inos.core.reports import CacheStatus, MessageStatus
from inos.messages import hub_calls as wire
from inos.messages.hook import Hook, run_hook
from inos.messages.hub import Hub, Position
from inos.messages.office import Wish
from inos.node.hub_door import HubDoor, store
from inos.node.hub_role import HubRole
from inos.node.hub_watch import Watch

# A hub that was just taken over reads what the mesh has; whoever took it waits so long to be told.
_TAKING_S: Final = 30.0
_NO_HOOK: Final = "no hook for follow-up tasks is configured on the hub"
_NO_HOOK_HINT: Final = 'name a command in config/hub.yaml of its data root: execute: ["/path/to/it"]'


class Outboxes(Protocol):
    """Caches that this node holds for programs that have none."""

    async def post(self, drafts: Sequence[Draft]) -> list[Message]: ...

    async def query(self, query: MessageQuery) -> MessagePage: ...

    async def get(self, message_id: str) -> StoredMessage: ...

    async def reports(self) -> tuple[OutboxReport, ...]: ...

    def poke(self, agent: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """What the operator chose: whether this node may be the hub, what it runs for follow-up tasks, and where it keeps
    messages, as a person reads it."""

    wish: Wish = "none"
    hook: Hook | None = None
    store: str = "sqlite"


class MessageDesk:
    """Messages on one node."""

    def __init__(self, role: HubRole, door: HubDoor, watch: Watch, outboxes: Outboxes, settings: DeskSettings) -> None:
        self._role = role
        self._door = door
        self._watch = watch
        self._outboxes = outboxes
        self._settings = settings
        self._executing: set[str] = set()
        self.sync_failures = 0
        """Batches of the caches of this node that did not reach the hub."""

    # In

    async def sync(self, batch: Sequence[Message | Result], node: str, hub: str = "") -> Ack:
        """See MessageCalls."""
        if (own := await self._own()) is not None:
            return await store(own, batch, hub)
        messages = [each for each in batch if isinstance(each, Message)]
        ack = await self._door.sync(messages, node, hub)
        if messages and not ack.results:
            return ack
        stored = iter(ack.results)
        results = tuple(each if isinstance(each, Result) else next(stored) for each in batch)
        return Ack(ack.hub, results, ack.covered_seq)

    async def send(self, batch: bytes, count: int) -> Ack:
        """The way out of the caches of this node: an encoded batch of `count` messages, as it is."""
        del count
        received = decode_batch(batch)
        try:
            return await self.sync(received.messages, received.node, received.hub)
        except InosError:
            self.sync_failures += 1
            raise

    async def post(self, drafts: Sequence[Draft]) -> list[Message]:
        """See MessageCalls."""
        return await self._outboxes.post(drafts)

    # Out

    async def query(self, query: MessageQuery) -> MessagePage:
        """See MessageCalls."""
        try:
            if (own := await self._own()) is not None:
                return await own.query(query)
            return MessagePage.from_json(await self._asked(wire.QUERY, query.to_params()))
        except Unavailable:
            if query.after:  # a cursor of the hub means nothing here, nor one of these caches there
                raise
            return MessagePage((await self._outboxes.query(query)).messages, whole=False)

    async def get(self, message_id: str) -> StoredMessage:
        """See MessageCalls."""
        parse_id(message_id)
        try:
            if (own := await self._own()) is not None:
                return await own.get(message_id)
            (stored,) = wire.decode_stored(await self._door.ask(wire.GET, wire.OneMessage(message_id).encode()))
        except Unavailable:
            return await self._outboxes.get(message_id)
        return stored

    async def unread(self) -> int:
        """See MessageCalls."""
        return (await self._hub_report()).unread

    async def events(self, after_seq: int | None) -> AsyncGenerator[MessageEvent, None]:
        """See MessageCalls."""
        if (own := await self._own()) is not None:
            return _until_away(await own.events(after_seq))
        now = await self._news(None)
        at = now.at if after_seq is None else Position(min(after_seq, now.at.seq), now.at.mark_seq)
        return _until_away(self._remote_events(now.hub, at))

    async def _remote_events(self, hub: str, at: Position) -> AsyncGenerator[MessageEvent, None]:
        async with self._watch.listening():
            while True:
                moved = self._watch.moved
                news = await self._news(at)
                if news.hub != hub:
                    return
                for event in news.events:
                    yield event
                at = news.at
                if not news.events:
                    await moved.wait()

    async def _news(self, at: Position | None) -> wire.News:
        return wire.decode_news(await self._door.ask(wire.EVENTS, wire.Behind(at).encode()))

    # What is done with them

    async def mark(self, ids: Sequence[str], name: MarkName, on: bool, by: str) -> Marked:
        """See MessageCalls."""
        for each in ids:
            parse_id(each)
        if (own := await self._own()) is not None:
            return await own.mark(ids, name, on, by)
        return wire.decode_marked(await self._door.ask(wire.MARK, wire.Marking(tuple(ids), name, on, by).encode()))

    async def execute(self, message_id: str, by: str) -> Marked:
        """See MessageCalls."""
        parse_id(message_id)
        if (own := await self._own()) is not None:
            return await self.execute_on(own, message_id, by)
        asked = wire.OneMessage(message_id, by).encode()
        return wire.decode_marked(await self._door.ask(wire.EXECUTE, asked, timeout_s=wire.EXECUTE_TIMEOUT_S))

    async def execute_on(self, hub: Hub, message_id: str, by: str) -> Marked:
        """Run this node's hook for a message of its hub; not twice at once for one message."""
        hook = self._settings.hook
        if hook is None:
            raise Conflict(_NO_HOOK, hint=_NO_HOOK_HINT)
        message = (await hub.get(message_id)).message
        if message.id in self._executing:
            raise Conflict("the hook runs for this message already", hint="the message is marked when it ended well")
        self._executing.add(message.id)
        try:
            await run_hook(hook, message)
            return await hub.mark([message.id], "executed", True, by)
        finally:
            self._executing.discard(message.id)

    # Looking

    async def report(self) -> MessagesReport:
        """See MessageCalls."""
        outboxes = await self._outboxes.reports()
        try:
            found = await self._hub_report()
        except InosError:
            record = self._role.record()
            found = MessagesReport(self._role_name(), "", record.peer if record is not None else "", False)
        return MessagesReport(
            self._role_name(), found.hub, found.hub_peer, found.reachable, found.messages, found.unread,
            found.covered_seq, found.last_seq, found.store, outboxes,
        )  # fmt: skip

    async def _hub_report(self) -> MessagesReport:
        if (own := await self._own()) is not None:
            return await self.report_of(own)
        answer = await self._door.ask(wire.REPORT, wire.encode_json({}))
        return wire.decode_report(answer, self._door.known_peer())

    async def report_of(self, hub: Hub) -> MessagesReport:
        """What the hub of this node says of itself."""
        stats, record = await hub.stats(), self._role.record()
        return MessagesReport(
            "hub", hub.identity, record.peer if record is not None else "", True, stats.messages, stats.unread,
            hub.covering.covered_seq, stats.last_seq, self._settings.store,
        )  # fmt: skip

    async def status(self) -> MessageStatus:
        """For the status of the node: what is known here, without asking the hub."""
        hub = self._role.serving
        caches = [
            CacheStatus(each.agent, each.used_bytes, each.pending, each.lag_s)
            for each in await self._outboxes.reports()
        ]
        growing = hub.bytes_per_s if hub is not None else 0.0
        return MessageStatus(self._role_name(), self.sync_failures, growing, tuple(caches))

    def _role_name(self) -> RoleName:
        if self._role.is_mine():
            return "hub"
        return "none" if self._settings.wish == "none" else "standby"

    async def take_hub(self) -> MessagesReport:
        """See MessageCalls."""
        await self._role.take()
        await self._role.until_serving(_TAKING_S)
        self._outboxes.poke()
        return await self.report()

    # Where the hub is

    async def _own(self) -> Hub | None:
        """The hub of this node; None when another one is to be asked. Raises Unavailable while it starts."""
        if self._role.record() is None and self._role.only_node():
            await self._role.take()
        hub = self._role.serving
        if hub is None and self._role.is_mine():
            self._role.wake()
            raise Unavailable("the hub on this node is starting", hint="try again in a few seconds")
        return hub

    async def _asked(self, method: str, value: dict[str, Any]) -> dict[str, Any]:
        return wire.decode_json(await self._door.ask(method, wire.encode_json(value)))


async def _until_away(events: AsyncGenerator[MessageEvent, None]) -> AsyncGenerator[MessageEvent, None]:
    async with aclosing(events):
        try:
            async for event in events:
                yield event
        except Unavailable:
            return
