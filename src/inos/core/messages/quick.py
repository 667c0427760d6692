"""Messages from JSON in a seventh of the time: for those who read thousands.

`Message.from_json` is the law, and says what is wrong. What is read here is what it would accept, and comes out equal;
of everything else nothing is said but that it was not read (None), and it is given to the law, which may accept it all
the same: a number with a fraction, deep nesting. Loaded where it is needed only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec

from inos.core.errors import BadInput
from inos.core.messages.ids import ID
from inos.core.messages.message import (
    AGENT,
    MAX_ATTACHMENTS,
    MAX_CONTENT_BYTES,
    MAX_PRIORITY,
    MAX_TIME_MS,
    VERSION,
    WORD,
    Attachment,
    Message,
)

_MAX_DEPTH: Final = 8
# Names that came before are not looked at again: an expression takes half a microsecond.
_KNOWN: Final = 1_024
# Beyond, and of numbers with a fraction, the two write different JSON.
_LEAST_NUMBER: Final = -(1 << 63)
_MOST_NUMBER: Final = (1 << 64) - 1
_REFUSED: Final = (msgspec.MsgspecError, ValueError, RecursionError)

_Text = Annotated[str, msgspec.Meta(max_length=200)]


class _Attachment(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    reference: str
    size_bytes: int = 0
    media_type: str = "application/octet-stream"


class _Message(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """In the order of its JSON, which the encoder need not put right then. What may be missing and is shown all the
    same has UNSET for a default; the others, empty, are left out. Ids are looked at later: here it takes longer."""

    agent: _Text
    attachments: Annotated[list[_Attachment], msgspec.Meta(max_length=MAX_ATTACHMENTS)] = []
    content: Any
    id: str
    kind: _Text | msgspec.UnsetType = msgspec.UNSET
    priority: Annotated[int, msgspec.Meta(ge=0, le=MAX_PRIORITY)] | msgspec.UnsetType = msgspec.UNSET
    recipient: _Text = ""
    reply_to: str | None = None
    role: _Text = ""
    sender: _Text = ""
    task: _Text = ""
    time_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
    v: Literal[1] | msgspec.UnsetType = msgspec.UNSET


class _Batch(msgspec.Struct):
    messages: list[_Message]
    batch: str = ""
    node: str = ""
    hub: str = ""


_is_id: Final = ID.fullmatch
_read_message: Final = msgspec.json.Decoder(_Message).decode
_read_batch: Final = msgspec.json.Decoder(_Batch).decode
_read_json: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def read_message(encoded: bytes) -> Message | None:
    """The message of its JSON."""
    try:
        return _made(_read_message(encoded))
    except _REFUSED:
        return None


def read_json(encoded: bytes) -> Any:
    """What JSON says."""
    try:
        return _read_json(encoded)
    except _REFUSED:
        return None


def read_batch(encoded: bytes) -> tuple[str, str, list[Message], str] | None:
    """A batch's name, its node, its messages and its hub; None unless all of it is right."""
    try:
        batch = _read_batch(encoded)
    except _REFUSED:
        return None
    messages: list[Message] = []
    for each in batch.messages:
        if (made := _made(each)) is None:
            return None
        messages.append(made)
    return batch.batch, batch.node, messages, batch.hub


def _made(read: _Message) -> Message | None:
    if read.kind is msgspec.UNSET:
        read.kind = "report"
    if read.priority is msgspec.UNSET:
        read.priority = 5
    read.v = VERSION
    if not (_is_id(read.id) and _is_agent(read.agent) and _is_word(read.kind)):
        return None
    if (read.role and not _is_word(read.role)) or (read.reply_to is not None and not _is_id(read.reply_to)):
        return None
    if "\0" in read.task or "\0" in read.sender or "\0" in read.recipient or not _is_plain(read.content, _MAX_DEPTH):
        return None
    encoded = _encode(read)
    # The content alone is looked at only where it can be too long.
    if len(encoded) > MAX_CONTENT_BYTES and len(_encode(read.content)) > MAX_CONTENT_BYTES:
        return None
    try:
        return Message.of_checked(read, _attachments(read.attachments), encoded)
    except BadInput:
        return None


@lru_cache(_KNOWN)
def _is_agent(name: str) -> bool:
    return AGENT.fullmatch(name) is not None


@lru_cache(_KNOWN)
def _is_word(name: str) -> bool:
    return WORD.fullmatch(name) is not None


def _attachments(read: list[_Attachment]) -> tuple[Attachment, ...]:
    return tuple(Attachment(*msgspec.structs.astuple(each)) for each in read) if read else ()


def _is_plain(value: Any, left: int) -> bool:
    """Whether both make the same JSON of it."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(_LEAST_NUMBER <= value <= _MOST_NUMBER)
    if not left or kind is float:
        return False
    for each in value.values() if kind is dict else value:
        if type(each) is not str and not _is_plain(each, left - 1):  # as most are
            return False
    return True
