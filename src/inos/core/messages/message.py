"""A message: what an agent wrote, once, never changed; and its JSON, the only form in which it is sent and stored.

Making a Message checks every bound; BadInput names the field. What people do with it afterwards is not part of it
(marks.py). `encode` is canonical: equal messages have equal bytes, so that a second copy of an id can be told from a
different message under the same id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from json.encoder import encode_basestring as quoted
from typing import Any, Final, Self, TypeVar

from inos.core.errors import BadInput
from inos.core.messages.ids import MessageId, parse_id
from inos.core.messages.saying import said

VERSION: Final = 1
MAX_CONTENT_BYTES: Final = 256 << 10  # longer texts are attachments
MAX_MESSAGE_BYTES: Final = 384 << 10
MAX_JSON_DEPTH: Final = 64
_AROUND: Final = 8  # what lies around a content: its message, a batch, an answer
_NESTING: Final = (dict, list, tuple)
MAX_ATTACHMENTS: Final = 64
MAX_PRIORITY: Final = 9
MAX_TIME_MS: Final = 253_402_300_799_999  # the year 9999: beyond it is a mistake of units
AGENT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
AGENT_HINT: Final = 'an agent is 1 to 128 letters, digits, ".", "_" and "-", no punctuation at the ends'
WORD_HINT: Final = 'a word is 1 to 32 of a-z, 0-9, "_" and "-", a letter first'

_NO_ID: Final = MessageId("00000000-0000-7000-8000-000000000000")

_UNICODE_HINT: Final = "give Unicode text, in UTF-8 where it is bytes"

T = TypeVar("T")
Json = Any
"""What JSON can say: None, bool, int, float, str, list, dict with text keys."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that belongs to a message: an object of the mesh (`inos:…`), or any other URI."""

    name: str
    reference: str
    size_bytes: int = 0
    media_type: str = "application/octet-stream"

    def __post_init__(self) -> None:
        check_text("attachments.name", self.name, 1, 255)
        check_text("attachments.reference", self.reference, 1, 2048)
        check_text("attachments.media_type", self.media_type, 1, 127)
        check_whole("attachments.size_bytes", self.size_bytes, 0, (1 << 63) - 1)

    def to_json(self) -> dict[str, Json]:
        """As JSON shows it."""
        return {
            "name": self.name, "reference": self.reference, "size_bytes": self.size_bytes,
            "media_type": self.media_type,
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Raises BadInput."""
        fields = _object("an attachment", value, dict.fromkeys(("name", "reference", "size_bytes", "media_type")))
        return _constructed(cls, fields, "an attachment")


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `agent` wrote it at `time_ms` (milliseconds since 1970 by its clock); `sender` speaks ("" for the
    agent itself), `recipient`, `task` and `role` may be empty. `priority` 9 is the most urgent. `kind` is a word such
    as report, error, lead, completion. `content` is any JSON of at most MAX_CONTENT_BYTES."""

    id: MessageId
    time_ms: int
    agent: str
    content: Json
    kind: str = "report"
    priority: int = 5
    task: str = ""
    role: str = ""
    sender: str = ""
    recipient: str = ""
    reply_to: MessageId | None = None
    attachments: tuple[Attachment, ...] = ()
    _encoded: bytes = field(init=False, repr=False, compare=False)
    """What `encode` gives: most of it is made to check the content."""

    def __post_init__(self) -> None:
        parse_id(self.id)
        check_whole("time_ms", self.time_ms, 0, MAX_TIME_MS)
        check_agent(self.agent)
        _check_word("kind", self.kind)
        check_whole("priority", self.priority, 0, MAX_PRIORITY)
        if self.role != "":
            _check_word("role", self.role)
        for name in ("task", "sender", "recipient"):
            check_text(name, getattr(self, name), 0, 200)
        if self.reply_to is not None:
            parse_id(self.reply_to)
        object.__setattr__(self, "attachments", check_attachments(self.attachments))
        encoded = canonical("content", self.content, MAX_JSON_DEPTH)
        if len(encoded) > MAX_CONTENT_BYTES:
            raise BadInput(
                f"the content is over {MAX_CONTENT_BYTES} bytes of JSON", hint="attach a file, and say here what it is"
            )
        object.__setattr__(self, "_encoded", self._put_together(encoded.decode()))

    def to_json(self) -> dict[str, Json]:
        """As JSON shows it; fields that say nothing are left out."""
        return {"v": VERSION, "id": self.id, "time_ms": self.time_ms, **_shown(self)}

    def encode(self) -> bytes:
        """Canonical JSON, UTF-8: what `canonical` makes of `to_json`."""
        return self._encoded

    def _put_together(self, content: str) -> bytes:
        """The JSON, of what is known to be right."""
        files = canonical("attachments", [each.to_json() for each in self.attachments]) if self.attachments else b""
        attached = f'"attachments":{files.decode()},' if files else ""
        recipient = f'"recipient":{quoted(self.recipient)},' if self.recipient else ""
        reply_to = f'"reply_to":"{self.reply_to}",' if self.reply_to else ""
        role = f'"role":"{self.role}",' if self.role else ""
        sender = f'"sender":{quoted(self.sender)},' if self.sender else ""
        task = f'"task":{quoted(self.task)},' if self.task else ""
        return (
            f'{{"agent":"{self.agent}",{attached}"content":{content},"id":"{self.id}","kind":"{self.kind}",'
            f'"priority":{self.priority},{recipient}{reply_to}{role}{sender}{task}"time_ms":{self.time_ms},"v":{VERSION}}}'
        ).encode()

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Raises BadInput for a field that is unknown, missing or wrong, or a version of a newer release."""
        fields = _object("a message", value, _FIELDS)
        if fields.pop("v", VERSION) != VERSION:
            raise BadInput("the message has a format of a newer release", hint="update this node")
        fields["attachments"] = _attachments(fields.get("attachments", []))
        return _constructed(cls, fields, "a message")

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """The message of its JSON. Raises BadInput."""
        return cls.from_json(parse_json("a message", encoded, MAX_MESSAGE_BYTES))

    @classmethod
    def of_checked(cls, read: Any, attachments: tuple[Attachment, ...], encoded: bytes) -> Message:
        """A message of what has its fields, all found right by somebody else, in a thirtieth of the time; `encoded` is
        its canonical JSON."""
        made: Any = _Unlocked()
        made.id, made.time_ms, made.agent, made.content = read.id, read.time_ms, read.agent, read.content
        made.kind, made.priority, made.task, made.role = read.kind, read.priority, read.task, read.role
        made.sender, made.recipient, made.reply_to = read.sender, read.recipient, read.reply_to
        made.attachments, made._encoded = attachments, encoded
        made.__class__ = Message  # the same slots, and nobody else saw it change
        message: Message = made
        return message


class _Unlocked:
    """A message before it is one: what Python calls to fill each field of a frozen one takes most of making it."""

    __slots__ = Message.__slots__


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is still to be written: all of it but its id and time, which whoever writes it gives it."""

    agent: str
    content: Json
    kind: str = "report"
    priority: int = 5
    task: str = ""
    role: str = ""
    sender: str = ""
    recipient: str = ""
    reply_to: MessageId | None = None
    attachments: tuple[Attachment, ...] = ()

    def written(self, as_id: MessageId, time_ms: int) -> Message:
        """The message. Raises BadInput."""
        return Message(
            as_id, time_ms, self.agent, self.content, self.kind, self.priority, self.task, self.role, self.sender,
            self.recipient, self.reply_to, self.attachments,
        )  # fmt: skip

    def check(self) -> None:
        """Raises BadInput for what could not be written."""
        self.written(_NO_ID, 0)

    def to_json(self) -> dict[str, Json]:
        """As JSON shows it; fields that say nothing are left out."""
        return _shown(self)

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Raises BadInput."""
        fields = _object("a message to write", value, _FIELDS_OF_DRAFT)
        fields["attachments"] = _attachments(fields.get("attachments", []))
        return _constructed(cls, fields, "a message to write")


def check_drafts(drafts: Sequence[Draft]) -> Sequence[Draft]:
    """`drafts` if they are a list of drafts, whatever these say. Raises BadInput."""
    if not isinstance(drafts, Sequence) or not all(isinstance(each, Draft) for each in drafts):
        raise BadInput("not a list of messages to write", hint="make each with: agent.draft(…)")
    return drafts


_GIVEN: Final = ("v", "id", "time_ms")
_FIELDS: Final = dict.fromkeys(
    (
        "v", "id", "time_ms", "agent", "content", "kind", "priority", "task", "role", "sender", "recipient", "reply_to",
        "attachments",
    )
)  # fmt: skip
_FIELDS_OF_DRAFT: Final = dict.fromkeys(each for each in _FIELDS if each not in _GIVEN)


def _shown(written: Message | Draft) -> dict[str, Json]:
    shown: dict[str, Json] = {"agent": written.agent, "kind": written.kind, "priority": written.priority}
    for name in ("task", "role", "sender", "recipient", "reply_to"):
        if value := getattr(written, name):
            shown[name] = value
    if written.attachments:
        shown["attachments"] = [each.to_json() for each in written.attachments]
    return shown | {"content": written.content}


def _attachments(given: Json) -> tuple[Attachment, ...]:
    if not isinstance(given, list):
        raise BadInput("attachments must be a list")
    return tuple(Attachment.from_json(each) for each in given[: MAX_ATTACHMENTS + 1])


def check_attachments(given: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """The files of a message, as they are given to be written. Raises BadInput."""
    files = tuple(islice(given, MAX_ATTACHMENTS + 1)) if isinstance(given, Iterable) else (None,)
    if not all(isinstance(each, Attachment) for each in files):
        raise BadInput(
            "attachments must be a list of Attachment", hint='for a stored file: [Attachment("plan.txt", report.ref)]'
        )
    if len(files) > MAX_ATTACHMENTS:
        raise BadInput(f"a message has at most {MAX_ATTACHMENTS} attachments")
    return files


def check_agent(name: str) -> str:
    """`name` if it can name an agent. Raises BadInput."""
    if not isinstance(name, str) or not AGENT.fullmatch(name):
        raise BadInput(f"not the name of an agent: {said(name, 140)}", hint=AGENT_HINT)
    return name


_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(what: str, value: Json, most_deep: int = MAX_JSON_DEPTH + _AROUND) -> bytes:
    """The one JSON of `value`: sorted keys, no spaces, UTF-8. Raises BadInput for what JSON cannot say."""
    try:
        _check_depth(what, value, most_deep)
        return _CANONICAL.encode(value).encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what} holds half a character", hint=_UNICODE_HINT) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"{what} is no JSON: {error}") from None


def parse_json(what: str, encoded: bytes, most_bytes: int) -> Json:
    """What UTF-8 JSON of at most `most_bytes` says. Raises BadInput, also for NaN and for endless nesting."""
    if len(encoded) > most_bytes:
        raise BadInput(f"{what} has at most {most_bytes} bytes of JSON, not {len(encoded)}")
    try:
        value = json.loads(encoded, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadInput(f"{what} is no JSON") from None
    _check_depth(what, value, MAX_JSON_DEPTH + _AROUND)
    return value


def as_text(value: Json) -> str:
    """What an answer said in a place where text is due, fit to be stored and shown whatever it was."""
    return str(value).encode("utf-8", "replace").decode()


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _check_depth(what: str, value: Json, left: int) -> None:
    if left <= 0 and isinstance(value, _NESTING):
        raise BadInput(f"{what} is nested over {MAX_JSON_DEPTH} levels deep")
    if isinstance(value, dict):
        for name, each in value.items():
            if not isinstance(name, str):
                raise BadInput(f"{what} is no JSON: a key is no text")
            if isinstance(each, _NESTING):  # a call for each leaf would be most of what parsing a batch takes
                _check_depth(what, each, left - 1)
    elif isinstance(value, _NESTING):
        for each in value:
            if isinstance(each, _NESTING):
                _check_depth(what, each, left - 1)


def _object(what: str, value: Json, known: Mapping[str, None]) -> dict[str, Json]:
    if not isinstance(value, dict | Mapping):  # the one that it is nearly always is told ten times faster
        raise BadInput(f"{what} is a JSON object")
    if not value.keys() <= known.keys():
        unknown = sorted(str(name) for name in value if name not in known)
        raise BadInput(f"{what} has no field {unknown[0][:80]!r}", hint=f"it has: {', '.join(known)}")
    return dict(value)


def _constructed(kind: Callable[..., T], fields: dict[str, Json], what: str) -> T:
    try:
        return kind(**fields)
    except TypeError:
        raise BadInput(f"{what} lacks a field it must have") from None


def check_text(name: str, value: Any, least: int, most: int) -> str:
    """`value` if it is text that every store and every wire can carry: no NUL, no half of a surrogate pair. Raises
    BadInput."""
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise BadInput(f"{name} must be text of {f'{least} to' if least else 'at most'} {most} characters")
    if "\0" in value:
        raise BadInput(f"{name} holds a NUL character", hint="leave it out")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{name} holds half a character", hint=_UNICODE_HINT) from None
    return value


def _check_word(name: str, value: Any) -> None:
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise BadInput(f"{name} must be a word, not {said(value)}", hint=WORD_HINT)


def check_whole(name: str, value: Any, least: int, most: int) -> int:
    """`value` if it is a whole number in these bounds. Raises BadInput."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadInput(f"{name} must be a whole number from {least} to {most}")
    return value
