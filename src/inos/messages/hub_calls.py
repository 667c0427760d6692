"""What a node asks of the hub through the mesh, on the wire: methods, their JSON, and how much each may be.

    payload   HubAsk or HubAnswer (p2p/messages.capnp): which record of the hub the asker, or the answerer, goes by
    body      JSON, gzip where that is shorter; at most MAX_BODY_BYTES packed, MAX_JSON_BYTES unpacked

Members of the same owner only. A node that is not the hub does nothing and answers with the record it knows.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from inos.core.codec import encode, reading
from inos.core.errors import BadFrame, BadInput, TooLarge
from inos.core.messages.calls import Marked, MessageEvent, MessagesReport
from inos.core.messages.marks import MarkName, Marks, check_mark_name
from inos.core.messages.message import canonical, check_text, parse_json
from inos.core.messages.query import MessageQuery, StoredMessage
from inos.mesh.network import MAX_BODY_BYTES
from inos.mesh.network import Message as Frame
from inos.messages.hook import MAX_TIMEOUT_S
from inos.messages.hub import MAX_MARKED, Position
from inos.state.fields import check_version
from inos.state.records import MAX_RECORD_BYTES

SYNC: Final = "messages.sync"
QUERY: Final = "messages.query"
GET: Final = "messages.get"
MARK: Final = "messages.mark"
EXECUTE: Final = "messages.execute"
MERGE: Final = "messages.merge"
EVENTS: Final = "messages.events"
MOVED: Final = "messages.moved"
REPORT: Final = "messages.report"
METHODS: Final = (SYNC, QUERY, GET, MARK, EXECUTE, MERGE, EVENTS, MOVED, REPORT)

MAX_JSON_BYTES: Final = 8 << 20
MAX_WAIT_S: Final = 20
# How long a hook takes at most, and the way there and back.
EXECUTE_TIMEOUT_S: Final = MAX_TIMEOUT_S + 30.0
_PACK_FROM_BYTES: Final = 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ASK: Final = "p2p/messages.capnp:HubAsk"
_ANSWER: Final = "p2p/messages.capnp:HubAnswer"
_MAX_PAYLOAD_BYTES: Final = MAX_RECORD_BYTES + 256


@dataclass(frozen=True, slots=True)
class Ask:
    """A question: `record` is what the asker knows of the hub, encoded, b"" for nothing."""

    record: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or `moved`: the record of another hub."""

    moved: bytes
    body: bytes


def encode_ask(record: bytes, plain: bytes) -> Frame:
    """A request. Raises TooLarge for more than a frame carries."""
    return Frame(encode(_ASK, version=1, hub=record), packed(plain))


def decode_ask(message: Frame) -> Ask:
    """Raises BadFrame, NewerFormat, BadInput."""
    with reading(_ASK, message.payload, max_bytes=_MAX_PAYLOAD_BYTES) as r:
        check_version(r.version, 1, "a question to the hub")
        record = bytes(r.hub)
    return Ask(record, decode_body(message.body))


def encode_answer(plain: bytes) -> Frame:
    """What the hub answers. Raises TooLarge."""
    return Frame(encode(_ANSWER, version=1), packed(plain))


def encode_moved(record: bytes) -> Frame:
    """What a node answers that is not the hub, or not any more."""
    return Frame(encode(_ANSWER, version=1, moved=record))


def decode_answer(message: Frame) -> Answer:
    """Raises BadFrame, NewerFormat, BadInput."""
    with reading(_ANSWER, message.payload, max_bytes=_MAX_PAYLOAD_BYTES) as r:
        check_version(r.version, 1, "an answer of the hub")
        moved = bytes(r.moved)
    return Answer(moved, b"" if moved else decode_body(message.body))


def packed(plain: bytes) -> bytes:
    """`plain`, or its gzip where that is shorter. Raises TooLarge for more than a body carries."""
    body = plain
    if len(plain) > _PACK_FROM_BYTES:
        packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        body = min(plain, packer.compress(plain) + packer.flush(), key=len)
    if len(body) > MAX_BODY_BYTES or len(plain) > MAX_JSON_BYTES:
        raise TooLarge(f"{len(plain)} bytes of messages are over what one call carries")
    return body


def decode_body(body: bytes) -> bytes:
    """What `packed` made. Raises BadFrame, also for what unpacks to too much."""
    if not body.startswith(_GZIP_MAGIC):
        return body
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(body, MAX_JSON_BYTES + 1)
    except zlib.error:
        raise BadFrame("a body that is no gzip") from None
    if len(plain) > MAX_JSON_BYTES or not unpacker.eof or unpacker.unused_data:
        raise BadFrame("a body that is cut off, or unpacks to too much")
    return plain


def encode_json(value: Mapping[str, Any]) -> bytes:
    """JSON of a question or an answer."""
    return canonical("a call to the hub", value)


def decode_json(plain: bytes) -> dict[str, Any]:
    """The JSON object. Raises BadInput."""
    value = parse_json("a call to the hub", plain, MAX_JSON_BYTES)
    if not isinstance(value, dict):
        raise BadInput("a call to the hub is a JSON object")
    return value


# What each method asks


def decode_query(plain: bytes) -> MessageQuery:
    """Raises BadInput."""
    value = decode_json(plain)
    if not all(isinstance(each, str) for each in value.values()):
        raise BadInput("the parameters of a query are text")
    return MessageQuery.from_params(value)


def halved(query: MessageQuery) -> MessageQuery:
    """The same for a page of half the length."""
    return replace(query, limit=max(1, query.limit // 2))


@dataclass(frozen=True, slots=True)
class Marking:
    """What to mark, how, and by whom."""

    ids: tuple[str, ...]
    name: MarkName
    on: bool
    by: str

    def encode(self) -> bytes:
        return encode_json({"ids": list(self.ids), "name": self.name, "on": self.on, "by": self.by})


def decode_marking(plain: bytes) -> Marking:
    """Raises BadInput."""
    value = decode_json(plain)
    ids, on, by = value.get("ids"), value.get("on"), value.get("by")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_MARKED or not all(isinstance(one, str) for one in ids):
        raise BadInput(f"ids must be a list of 1 to {MAX_MARKED} ids")
    if not isinstance(on, bool):
        raise BadInput("a marking has ids, name, on and by")
    return Marking(tuple(ids), check_mark_name(str(value.get("name"))), on, check_text("by", by, 1, 200))


@dataclass(frozen=True, slots=True)
class OneMessage:
    """Which message, and who asks."""

    id: str
    by: str = ""

    def encode(self) -> bytes:
        return encode_json({"id": self.id, "by": self.by})


def decode_one(plain: bytes) -> OneMessage:
    """Raises BadInput."""
    value = decode_json(plain)
    found, by = value.get("id"), value.get("by", "")
    if not isinstance(found, str):
        raise BadInput("a question for one message has id, and by")
    return OneMessage(found, check_text("by", by, 0, 200))


def encode_merge(changes: Sequence[tuple[str, Marks]], hub: str) -> bytes:
    """Marks made on another hub, and the identity of the one they are meant for."""
    return encode_json({"marks": [{"id": each, "marks": marks.to_json()} for each, marks in changes], "hub": hub})


def decode_merge(plain: bytes) -> tuple[list[tuple[str, Marks]], str]:
    """Raises BadInput. Before there was a `hub` marks were meant for any: ""."""
    value = decode_json(plain)
    marks, hub = value.get("marks"), value.get("hub", "")
    if not isinstance(hub, str):
        raise BadInput("marks are meant for the hub of that identity")
    if not isinstance(marks, list) or not 1 <= len(marks) <= MAX_MARKED:
        raise BadInput(f"marks must be a list of 1 to {MAX_MARKED}")
    if not all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in marks):
        raise BadInput("marks of a message have an id")
    return [(each["id"], Marks.from_json(each.get("marks"))) for each in marks], hub


@dataclass(frozen=True, slots=True)
class Behind:
    """From where on events are asked for; None for from now on. `wait_s` for how long to wait for one."""

    position: Position | None
    wait_s: int = 0

    def encode(self) -> bytes:
        at = self.position
        return encode_json({"at": [at.seq, at.mark_seq] if at is not None else None, "wait_s": self.wait_s})


def decode_behind(plain: bytes) -> Behind:
    """Raises BadInput."""
    value = decode_json(plain)
    wait_s, at = value.get("wait_s", 0), value.get("at")
    if not isinstance(wait_s, int) or not 0 <= wait_s <= MAX_WAIT_S:
        raise BadInput(f"wait_s must be a whole number from 0 to {MAX_WAIT_S}")
    return Behind(None if at is None else _position(at), wait_s)


def _position(value: Any) -> Position:
    """Raises BadInput."""
    if not isinstance(value, list) or len(value) != 2:
        raise BadInput("a position is two whole numbers")
    if not all(isinstance(each, int) and 0 <= each < 1 << 62 for each in value):
        raise BadInput("a position is two whole numbers")
    return Position(value[0], value[1])


def encode_events(events: list[MessageEvent], at: Position, identity: str) -> bytes:
    """What happened up to `at`."""
    return encode_json(
        {"hub": identity, "at": [at.seq, at.mark_seq], "events": [{"kind": e.kind, **e.to_json()} for e in events]}
    )


@dataclass(frozen=True, slots=True)
class News:
    """Events, where they end, and of which corpus."""

    hub: str
    at: Position
    events: tuple[MessageEvent, ...]


def decode_news(plain: bytes) -> News:
    """Raises BadInput."""
    value = decode_json(plain)
    events = value.get("events")
    if not isinstance(events, list):
        raise BadInput("not the events of a hub")
    return News(str(value.get("hub", ""))[:64], _position(value.get("at")), tuple(map(_read_event, events)))


def _read_event(value: Any) -> MessageEvent:
    if not isinstance(value, dict) or not isinstance(value.get("seq"), int) or not isinstance(value.get("id"), str):
        raise BadInput("not an event")
    if value.get("kind") == "message":
        return MessageEvent("message", value["seq"], value["id"], stored=StoredMessage.from_json(value.get("stored")))
    return MessageEvent("marks", value["seq"], value["id"], marks=Marks.from_json(value.get("marks")))


def decode_stored(plain: bytes) -> list[StoredMessage]:
    """Messages in an answer. Raises BadInput."""
    found = decode_json(plain).get("messages")
    if not isinstance(found, list):
        raise BadInput("not messages")
    return [StoredMessage.from_json(each) for each in found]


def encode_stored(messages: list[StoredMessage]) -> bytes:
    """Messages as an answer."""
    return encode_json({"messages": [each.to_json() for each in messages]})


def encode_marked(marked: Marked) -> bytes:
    """What was marked, as an answer."""
    return encode_json(marked.to_json())


def decode_marked(plain: bytes) -> Marked:
    """Raises BadInput."""
    return Marked.from_json(decode_json(plain))


def encode_report(report: MessagesReport) -> bytes:
    """What a hub says of itself; caches are another node's own."""
    return encode_json(
        {
            "hub": report.hub, "messages": report.messages, "unread": report.unread,
            "covered_seq": report.covered_seq, "last_seq": report.last_seq, "store": report.store,
        }
    )  # fmt: skip


def decode_report(plain: bytes, peer: str) -> MessagesReport:
    """What `peer` said. Raises BadInput."""
    value = decode_json(plain)
    numbers = [value.get(name) for name in ("messages", "unread", "covered_seq", "last_seq")]
    hub, kept = value.get("hub"), value.get("store")
    if not all(isinstance(each, int) for each in numbers) or not isinstance(hub, str) or not isinstance(kept, str):
        raise BadInput("not the report of a hub")
    messages, unread, covered_seq, last_seq = (int(each or 0) for each in numbers)
    return MessagesReport("hub", hub[:64], peer, True, messages, unread, covered_seq, last_seq, kept[:64])
