"""What goes between an agent's outbox and a hub: a batch of messages, and what became of each.

Body: `{"batch": id, "node": name, "hub": identity, "messages": [message, …]}`, at most MAX_BATCH messages and
MAX_BATCH_BYTES of JSON, gzip allowed. Answer: the hub's identity, what became of each message in the order sent, and
how far the hub's messages are safe from the loss of the hub (`covered_seq`): what an agent keeps until then it can send
again to a hub that took over.

`hub` is the identity in the last answer the sender got, "" before the first. Another hub stores nothing of such a batch
and answers with its own identity and no results: the sender puts what the old one did not cover in front again, and so
an agent's messages reach every hub in their order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, Literal, NamedTuple, Self, TypeGuard

from inos.core.errors import BadInput, InosError, from_wire
from inos.core.messages.ids import MessageId, parse_id
from inos.core.messages.message import Message, as_text, canonical, parse_json

MAX_BATCH: Final = 500
MAX_BATCH_BYTES: Final = 8 << 20  # of JSON, unpacked
MAX_SEQ: Final = (1 << 62) - 1  # what any database keeps
_IDENTITY: Final = re.compile(r"[!-~]{0,64}")
Fate = Literal["stored", "duplicate", "refused"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one sender, oldest first. `batch` is an id of the sender's choice, for logs; `node` its name; `hub`
    the identity it was last answered by, "" for none."""

    batch: str
    node: str
    messages: tuple[Message, ...]
    hub: str = ""

    def encode(self) -> bytes:
        """The body of a request."""
        messages = [each.to_json() for each in self.messages]
        said = {"batch": self.batch, "node": self.node, "messages": messages}
        return canonical("batch", said | ({"hub": self.hub} if self.hub else {}))


class Result(NamedTuple):
    """What became of one message. `seq` is its place on the hub, 0 when it was refused; `error` says why it was."""

    id: str
    fate: Fate
    seq: int = 0
    error: InosError | None = None

    def to_json(self) -> dict[str, Any]:
        """`{"id", "status", "seq"}`, and `error` when refused."""
        shown: dict[str, Any] = {"id": self.id, "status": self.fate, "seq": self.seq}
        if self.error is not None:
            shown["error"] = {"code": self.error.code, "message": self.error.message, "hint": self.error.hint}
        return shown

    def encode(self) -> str:
        """The same as text."""
        if self.error is not None:
            return json.dumps(self.to_json())
        return f'{{"id":{quoted(self.id)},"status":"{self.fate}","seq":{self.seq}}}'

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises BadInput."""
        if not isinstance(value, Mapping) or value.get("status") not in ("stored", "duplicate", "refused"):
            raise BadInput("not the result of a message")
        error, seq = value.get("error"), value.get("seq")
        if not _is_seq(seq) or not isinstance(value.get("id"), str):
            raise BadInput("not the result of a message")
        told = error if isinstance(error, Mapping) else None
        said = [as_text(told.get(name, "")) for name in ("code", "message", "hint")] if told is not None else None
        found = from_wire(*said) if said else None
        return cls(value["id"], value["status"], seq, found)


@dataclass(frozen=True, slots=True)
class Ack:
    """The hub's answer: `hub` names the corpus (another one after a loss); what is up to `covered_seq` outlives it.
    Without results nothing was stored: the batch was meant for another hub."""

    hub: str
    results: tuple[Result, ...]
    covered_seq: int = 0

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        return {
            "status": "acked", "hub": self.hub, "covered_seq": self.covered_seq,
            "results": [each.to_json() for each in self.results],
        }  # fmt: skip

    def encode(self) -> bytes:
        """The same as JSON, put together: a fifth of the time."""
        results = ",".join([each.encode() for each in self.results])
        hub = quoted(self.hub)
        return f'{{"status":"acked","hub":{hub},"covered_seq":{self.covered_seq},"results":[{results}]}}'.encode()

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises BadInput."""
        results = value.get("results") if isinstance(value, Mapping) else None
        hub = value.get("hub") if isinstance(value, Mapping) else None
        if not isinstance(results, list) or not isinstance(hub, str) or not _IDENTITY.fullmatch(hub):
            raise BadInput("not the answer of a hub")
        covered = value.get("covered_seq", 0)
        if not _is_seq(covered):
            raise BadInput("not the answer of a hub")
        return cls(hub, tuple(Result.from_json(each) for each in results), covered)


def _is_seq(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQ


class Received(NamedTuple):
    """A batch as it came: each message, or why it is refused."""

    batch: str
    node: str
    messages: list[Message | Result]
    hub: str = ""


def decode_batch(encoded: bytes) -> Received:
    """What a body says; one bad message does not hold up those behind it. Raises BadInput when the body as a whole is
    wrong."""
    from inos.core.messages.quick import read_batch  # where nobody sends batches it takes neither time nor memory

    if len(encoded) <= MAX_BATCH_BYTES and (read := read_batch(encoded)) is not None:
        batch, node, messages, hub = read
        if 1 <= len(messages) <= MAX_BATCH:
            return Received(batch[:64], node[:200], [*messages], hub[:64])
    value = parse_json("a batch", encoded, MAX_BATCH_BYTES)
    if not isinstance(value, Mapping) or not isinstance(value.get("messages"), list):
        raise BadInput("a batch is an object with batch, node and messages")
    if not 1 <= len(value["messages"]) <= MAX_BATCH:
        raise BadInput(f"a batch has 1 to {MAX_BATCH} messages, not {len(value['messages'])}")
    return Received(
        as_text(value.get("batch", ""))[:64], as_text(value.get("node", ""))[:200],
        [_read(each) for each in value["messages"]], as_text(value.get("hub", ""))[:64],
    )  # fmt: skip


def _read(value: Any) -> Message | Result:
    try:
        return Message.from_json(value)
    except BadInput as error:
        given = value.get("id") if isinstance(value, Mapping) else None
        return Result(_id_shown(given), "refused", 0, error)


def _id_shown(given: Any) -> MessageId:
    try:
        return parse_id(given)
    except BadInput:
        return MessageId("")
