"""Rows of what a person set and what they were sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from inos.core.rows import fields as f
from inos.core.rows.fields import JsonObject
from inos.core.rows.row import Order, Row

MessageState = Literal["unread", "read", "acknowledged", "executed", "archived"]


@dataclass(frozen=True)
class Preference(Row):
    """One setting of the user: any JSON value under a name."""

    KIND: ClassVar[str] = "preferences"
    KEY: ClassVar[str] = "name"
    ORDERS: ClassVar[tuple[Order, ...]] = (Order("name", ("name",)),)

    name: str = f.text(1, 200)
    value: Any = f.json_value()
    updated_at_s: int = f.time_s()


@dataclass(frozen=True)
class MessageInfo(Row):
    """What is known of a message besides its content, which `reference` leads to. Priority 9 is the most urgent."""

    KIND: ClassVar[str] = "messages"
    KEY: ClassVar[str] = "message_id"
    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("id", ("message_id",)),
        Order("channel", ("sent_at_s", "message_id"), equals="channel"),
        Order("sender", ("sent_at_s", "message_id"), equals="sender"),
        Order("state", ("sent_at_s", "message_id"), equals="state"),
    )

    message_id: str = f.text(1, 128)
    channel: str = f.text(1, 200)
    sender: str = f.text(1, 200)
    sent_at_s: int = f.time_s()
    received_at_s: int = f.time_s()
    recipient: str = f.text(0, 200, default="")
    subject: str = f.text(0, 1000, default="")
    priority: int = f.whole(0, 9, default=5)
    state: MessageState = f.choice("unread", "read", "acknowledged", "executed", "archived", default="unread")
    size_bytes: int = f.whole(default=0)
    reference: str | None = f.text(1, 200, optional=True)
    reply_to: str | None = f.text(1, 128, optional=True)
    meta: JsonObject = f.json_object()
