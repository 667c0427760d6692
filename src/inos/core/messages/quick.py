"""Messages from JSON in a sixth of the time: for those who read thousands.

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

# The ends are written out: `$` would let a line's end pass.
_Id = Annotated[str, msgspec.Meta(pattern=rf"\A(?:{ID.pattern})\Z")]
_Text = Annotated[str, msgspec.Meta(max_length=200)]


class _Attachment(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    reference: str
    size_bytes: int = 0
    media_type: str = "application/octet-stream"


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """In the order of a Message's fields."""

    id: _Id
    time_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
    agent: _Text
    content: Any
    kind: _Text = "report"
    priority: Annotated[int, msgspec.Meta(ge=0, le=MAX_PRIORITY)] = 5
    task: _Text = ""
    role: _Text = ""
    sender: _Text = ""
    recipient: _Text = ""
    reply_to: _Id | None = None
    attachments: Annotated[list[_Attachment], msgspec.Meta(max_length=MAX_ATTACHMENTS)] = []
    v: Literal[1] = 1


class _Batch(msgspec.Struct):
    messages: list[_Message]
    batch: str = ""
    node: str = ""
    hub: str = ""


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
    if not (_is_agent(read.agent) and _is_word(read.kind) and (not read.role or _is_word(read.role))):
        return None
    if "\0" in read.task or "\0" in read.sender or "\0" in read.recipient or not _is_plain(read.content, _MAX_DEPTH):
        return None
    encoded = _encode(read.content)
    if len(encoded) > MAX_CONTENT_BYTES:
        return None
    fields = msgspec.structs.astuple(read)[:11]
    try:
        return Message.of_checked((*fields, _attachments(read.attachments)), encoded.decode())
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
