"""What a node does with messages, for its API, its command line and Python programs alike.

Two ways in. `sync` is the hub's: what it acknowledges is stored and synced on the hub, wherever in the mesh that is.
`post` is for programs without an outbox of their own: the node writes for the agent into an outbox on its own disk,
answers, and brings it to the hub as soon as there is one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

from inos.core.errors import BadInput
from inos.core.messages.marks import MarkName, Marks
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import Ack, Result

HubRole = Literal["hub", "standby", "none"]


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """Something that happened on the hub: a message that came in, or marks that changed. `seq` resumes a stream."""

    kind: Literal["message", "marks"]
    seq: int
    id: str
    stored: StoredMessage | None = None
    marks: Marks | None = None

    def to_json(self) -> dict[str, Any]:
        """`{"id", "seq", "stored"}` or `{"id", "seq", "state", "marks"}`."""
        shown: dict[str, Any] = {"id": self.id, "seq": self.seq}
        if self.stored is not None:
            shown["stored"] = self.stored.to_json()
        if self.marks is not None:
            shown |= {"state": self.marks.state, "marks": self.marks.to_json()}
        return shown

    @classmethod
    def from_json(cls, kind: str, value: Any) -> Self:
        """Raises BadInput."""
        if kind not in ("message", "marks") or not isinstance(value, Mapping) or not isinstance(value.get("seq"), int):
            raise BadInput("not an event of a hub")
        stored, marks = value.get("stored"), value.get("marks")
        return cls(
            "message" if kind == "message" else "marks", value["seq"], str(value.get("id", "")),
            None if stored is None else StoredMessage.from_json(stored),
            None if marks is None else Marks.from_json(marks),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marked:
    """Messages with the marks they have now. `covered`: their marks outlive the hub; otherwise they are on the hub's
    disk alone, and follow as soon as the mesh takes them."""

    messages: tuple[StoredMessage, ...]
    covered: bool

    def to_json(self) -> dict[str, Any]:
        """`{"messages", "covered"}`."""
        return {"messages": [each.to_json() for each in self.messages], "covered": self.covered}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises BadInput. What does not say that it is covered is not."""
        messages = value.get("messages") if isinstance(value, Mapping) else None
        if not isinstance(messages, list):
            raise BadInput("not messages that were marked")
        return cls(tuple(StoredMessage.from_json(each) for each in messages), value.get("covered") is True)


@dataclass(frozen=True, slots=True)
class OutboxReport:
    """An agent's cache and outbox on this node. `lag_s` is the age of the oldest message the hub has not got."""

    agent: str
    messages: int
    used_bytes: int
    max_bytes: int
    pending: int
    parked: int
    lag_s: float
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class MessagesReport:
    """Messages as this node sees them. `hub_peer` is the node that is the hub, "" when none is known."""

    role: HubRole
    hub: str
    hub_peer: str
    reachable: bool
    messages: int = 0
    unread: int = 0
    covered_seq: int = 0
    last_seq: int = 0
    store: str = ""
    outboxes: tuple[OutboxReport, ...] = ()


class MessageCalls(Protocol):
    """What can be done with messages. Failures are InosErrors; a hub that cannot be reached is Unavailable."""

    async def sync(self, batch: Sequence[Message | Result], node: str, hub: str = "") -> Ack:
        """Store a batch on the hub. Results that are there already (messages that did not parse) are passed on in
        place. A hub that is not the one called `hub` stores nothing and answers without results (see sync.py).
        StorageFull when the hub has no room, Busy when it is pressed; then nothing was stored."""

    async def post(self, drafts: Sequence[Draft]) -> list[Message]:
        """Write for an agent, here, synced; it reaches the hub by itself. StorageFull: the cache is full."""

    async def query(self, query: MessageQuery) -> MessagePage:
        """Messages of the hub; of this node's caches while the hub is away."""

    async def get(self, message_id: str) -> StoredMessage:
        """One message. NotFound."""

    async def mark(self, ids: Sequence[str], name: MarkName, on: bool, by: str) -> Marked:
        """Set a mark of messages, or take it away. NotFound."""

    async def execute(self, message_id: str, by: str) -> Marked:
        """Run the hook that the owner configured for follow-up tasks, then mark the message executed. Conflict when no
        hook is configured."""

    async def unread(self) -> int:
        """How many messages nobody has marked."""

    async def events(self, after_seq: int | None) -> AsyncGenerator[MessageEvent, None]:
        """What happens on the hub from now on, or from behind `after_seq` on: once it answers, so that a hub that
        cannot be reached is Unavailable before the first event. Ends when the hub goes away; close it."""

    async def report(self) -> MessagesReport:
        """What a person looks at."""

    async def take_hub(self) -> MessagesReport:
        """Make this node the hub, from what the mesh keeps of the one before; that one steps down when it hears of
        it."""
