"""Decoders of messages: from agents and their files, between an owner's nodes, of what a hub puts into the mesh."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from inos.core.errors import BadInput, Corrupt, InosError, NewerFormat
from inos.core.messages import quick
from inos.core.messages.calls import Marked, MessageEvent, MessagesReport
from inos.core.messages.ids import next_id, parse_id
from inos.core.messages.marks import Mark, Marks
from inos.core.messages.message import Attachment, Draft, Message, parse_json
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import Ack, Batch, Result, decode_batch
from inos.messages import hub_calls, hub_memory, hub_record, segments
from inos.messages.config import AgentSettings, read_settings
from inos.messages.hub import Position
from inos.messages.yaml_file import parse_yaml

Decoder = Callable[[bytes], object]
Allowed = tuple[type[InosError], ...]
Found = tuple[Decoder, Allowed, Callable[[], Sequence[bytes]]]

_KEY: Final = bytes(range(32))
_CORPUS: Final = "01890a5d-ac96-774b-bcce-b302099a8057"
_REFUSALS: Final[Allowed] = (BadInput, NewerFormat)


def _message() -> Message:
    chance = random.Random(1)
    return Message(next_id(1_800_000_000_000, chance.randbytes(10), None), 1_800_000_000_000, "scout", {"n": [1, "ü"]})


def _marks() -> Marks:
    return Marks({"read": Mark(1_800_000_000_000, "me", True)})


def _stored() -> StoredMessage:
    return StoredMessage(_message(), 3, 1_800_000_000_000, _marks())


def _events() -> bytes:
    events = [
        MessageEvent("message", 3, _message().id, stored=_stored()),
        MessageEvent("marks", 3, _message().id, marks=_marks()),
    ]
    return hub_calls.encode_events(events, Position(3, 1), _CORPUS)


def _covered() -> bytes:
    covered = hub_memory.Covered(5, 2, whole_term=3, restored=(4, 1))
    covered.passed.add(segments.SegmentName(1, _CORPUS, False, 3, 4))
    covered.taken.of(f"00000001-{_CORPUS}/messages").add(1, 5)
    return covered.encode()


def _name() -> bytes:
    return str(segments.SegmentName(1, _CORPUS, False, 1, 9)).encode()


def _in_two(decode: Callable[[hub_calls.Frame], object]) -> Decoder:
    def split(data: bytes) -> object:
        end = 2 + int.from_bytes(data[:2], "big")
        return decode(hub_calls.Frame(data[2:end], data[end:]))

    return split


def _pair(frame: hub_calls.Frame) -> bytes:
    return len(frame.payload).to_bytes(2, "big") + frame.payload + frame.body


def _of_json(read: Callable[[Any], object]) -> Decoder:
    """What reads JSON that was parsed already."""

    def decode(data: bytes) -> object:
        try:
            return read(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise BadInput("no JSON") from error

    return decode


def _as_json(value: Any) -> Callable[[], Sequence[bytes]]:
    return lambda: [json.dumps(value).encode()]


def _params(value: Any) -> object:
    if not isinstance(value, dict):
        raise BadInput("not the query of a URL")
    return MessageQuery.from_params({str(name): str(text) for name, text in value.items()})


def _answer() -> Any:
    results = (Result(_message().id, "stored", 4), Result(_message().id, "refused", 0, BadInput("no", hint="so")))
    return Ack("hub", results, 3).to_json()


def _settings(data: bytes) -> object:
    return read_settings(parse_yaml(Path("agent.yaml"), data), AgentSettings(), Path("config"))


def _settings_files() -> Sequence[bytes]:
    return [
        b"role: coder\ncache:\n  max_bytes: 5000000\n  durability: process\nsync: {batch_size: 5, retry_max: 3}\n",
        b"hub:\n  url: 'http://10.0.0.42:4711'\n  token_file: token\ncontext_tokens: 0x10\n",
    ]


def _quickly(data: bytes) -> object:
    """What is read quickly is what would be read otherwise."""
    read = quick.read_message(data)
    if read is not None:
        law = Message.decode(data)
        assert (read, read.encode()) == (law, law.encode())
    return read


AGENT_DECODERS: Final[Mapping[str, Found]] = {
    "core.messages.ids.parse_id": (
        lambda data: parse_id(data.decode("utf-8", "surrogateescape")), (BadInput,), lambda: [_message().id.encode()],
    ),
    "core.messages.message.Message.decode": (Message.decode, (BadInput,), lambda: [_message().encode()]),
    "core.messages.quick.read_message": (_quickly, (), lambda: [_message().encode()]),
    "core.messages.message.parse_json": (
        lambda data: parse_json("it", data, 1000), (BadInput,), lambda: [b'{"a": [1, null, "x"]}'],
    ),
    "core.messages.message.Draft.from_json": (
        _of_json(Draft.from_json), (BadInput,),
        _as_json({"agent": "a", "content": 1, "attachments": [Attachment("n", "r").to_json()]}),
    ),
    "core.messages.marks.Marks.from_json": (_of_json(Marks.from_json), (BadInput,), _as_json(_marks().to_json())),
    "core.messages.query.MessageQuery.from_params": (
        _of_json(_params), (BadInput,),
        _as_json(MessageQuery(agent="a", limit=5, text="x", priority=3, after="7").to_params()),
    ),
    "core.messages.query.MessagePage.from_json": (
        _of_json(MessagePage.from_json), (BadInput,), _as_json(MessagePage((_stored(),), "3").to_json()),
    ),
    "core.messages.sync.Ack.from_json": (_of_json(Ack.from_json), (BadInput,), _as_json(_answer())),
    "core.messages.sync.decode_batch": (
        decode_batch, (BadInput,), lambda: [Batch("b", "n", (_message(),), "hub").encode()],
    ),
    "messages.yaml_file.parse_yaml": (_settings, (BadInput,), _settings_files),
}  # fmt: skip

MESSAGE_DECODERS: Final[Mapping[str, Found]] = {
    **AGENT_DECODERS,
    "messages.hub_record.decode_hub": (
        hub_record.decode_hub, _REFUSALS, lambda: [hub_record.encode_hub(hub_record.HubRecord(_KEY, 3, 1))],
    ),
    "messages.hub_memory.decode_covered": (hub_memory.decode_covered, _REFUSALS, lambda: [_covered()]),
    "messages.hub_calls.decode_ask": (
        _in_two(hub_calls.decode_ask), _REFUSALS, lambda: [_pair(hub_calls.encode_ask(b"record", b"{}" * 2000))],
    ),
    "messages.hub_calls.decode_answer": (
        _in_two(hub_calls.decode_answer), _REFUSALS,
        lambda: [_pair(hub_calls.encode_answer(b"{}" * 2000)), _pair(hub_calls.encode_moved(b"record"))],
    ),
    "messages.hub_calls.decode_body": (
        hub_calls.decode_body, _REFUSALS, lambda: [b"{}", hub_calls.packed(b"{}" * 2000)],
    ),
    "messages.hub_calls.decode_json": (hub_calls.decode_json, _REFUSALS, lambda: [b'{"a":[1]}']),
    "messages.hub_calls.decode_query": (
        hub_calls.decode_query, _REFUSALS,
        lambda: [hub_calls.encode_json(MessageQuery(agent="a", limit=5, text="x").to_params())],
    ),
    "messages.hub_calls.decode_marking": (
        hub_calls.decode_marking, _REFUSALS,
        lambda: [hub_calls.Marking((_message().id,), "read", True, "me").encode()],
    ),
    "messages.hub_calls.decode_one": (
        hub_calls.decode_one, _REFUSALS, lambda: [hub_calls.OneMessage(_message().id, "me").encode()],
    ),
    "messages.hub_calls.decode_merge": (
        hub_calls.decode_merge, _REFUSALS, lambda: [hub_calls.encode_merge([(_message().id, _marks())], _CORPUS)],
    ),
    "messages.hub_calls.decode_behind": (
        hub_calls.decode_behind, _REFUSALS,
        lambda: [hub_calls.Behind(Position(3, 1), 20).encode(), hub_calls.Behind(None).encode()],
    ),
    "messages.hub_calls.decode_news": (hub_calls.decode_news, _REFUSALS, lambda: [_events()]),
    "messages.hub_calls.decode_stored": (
        hub_calls.decode_stored, _REFUSALS, lambda: [hub_calls.encode_stored([_stored()])],
    ),
    "messages.hub_calls.decode_marked": (
        hub_calls.decode_marked, _REFUSALS, lambda: [hub_calls.encode_marked(Marked((_stored(),), covered=True))],
    ),
    "messages.hub_calls.decode_report": (
        lambda data: hub_calls.decode_report(data, "peer"), _REFUSALS,
        lambda: [hub_calls.encode_report(MessagesReport("hub", _CORPUS, "", True, 5, 2, 3, 5, "sqlite"))],
    ),
    "messages.segments.SegmentName.parse": (
        lambda data: segments.SegmentName.parse(data.decode("utf-8", "surrogateescape")), _REFUSALS, lambda: [_name()],
    ),
    "messages.segments.parse_names": (
        lambda data: segments.parse_names([(data.decode("utf-8", "surrogateescape"), 5)]), _REFUSALS,
        lambda: [_name()],
    ),
    "messages.segments.decode_segment": (
        partial(segments.decode_segment, "messages"), (*_REFUSALS, Corrupt),
        lambda: [segments.pack_messages([_message()])],
    ),
    "messages.segments.decode_marks": (
        segments.decode_marks, _REFUSALS,
        lambda: [hub_calls.encode_json({"id": _message().id, "marks": _marks().to_json()})],
    ),
}  # fmt: skip
