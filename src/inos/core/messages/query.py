"""What can be asked of messages, wherever they lie (an agent's cache, a hub), and what comes back.

A page is in the order in which messages came to the place that is asked (`seq`), newest first unless told otherwise;
`next` is a cursor that stays true while messages arrive. Words are searched for in content and in the short fields
(words.py); the order "best" is one page of those that fit them best, and has no next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self, cast, get_args

from inos.core.errors import BadInput
from inos.core.messages.marks import STATES, Marks, State
from inos.core.messages.message import MAX_PRIORITY, MAX_TIME_MS, Message, as_text, check_agent, check_text, check_whole
from inos.core.messages.saying import said
from inos.core.messages.words import query_words

MAX_PAGE: Final = 500
DEFAULT_PAGE: Final = 100
MAX_SEARCH: Final = 500
QueryOrder = Literal["newest", "oldest", "best"]
StateAsked = State | Literal["", "open"]
_CURSOR: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages: every field that is not empty must match. `since_ms` <= time_ms < `until_ms`; `priority` is the
    least; `state` is one of STATES, or "open" for those not archived; `text` is words, all of which must occur.
    `after` is the `next` of the page before."""

    agent: str = ""
    task: str = ""
    role: str = ""
    kind: str = ""
    recipient: str = ""
    priority: int = 0
    since_ms: int = 0
    until_ms: int = MAX_TIME_MS
    state: StateAsked = ""
    text: str = ""
    order: QueryOrder = "newest"
    after: str = ""
    limit: int = DEFAULT_PAGE

    def __post_init__(self) -> None:
        if self.agent != "":
            check_agent(self.agent)
        for name in ("task", "role", "kind", "recipient"):
            check_text(name, getattr(self, name), 0, 200)
        for name, least, most in (
            ("priority", 0, MAX_PRIORITY),
            ("since_ms", 0, MAX_TIME_MS),
            ("until_ms", 0, MAX_TIME_MS),
            ("limit", 1, MAX_PAGE),
        ):
            check_whole(name, getattr(self, name), least, most)
        check_state(self.state)
        if self.order not in get_args(QueryOrder):
            raise BadInput(f"no such order: {said(self.order)}", hint=f"there are: {', '.join(get_args(QueryOrder))}")
        if not query_words(check_text("text", self.text, 0, MAX_SEARCH)) and self.order == "best":
            raise BadInput('the order "best" is for searches', hint="give words to look for in text")
        if self.after != "" and not (isinstance(self.after, str) and _CURSOR.fullmatch(self.after)):
            raise BadInput("after is no cursor", hint="take it from `next` of the page before")

    def to_params(self) -> dict[str, str]:
        """As the query of a URL; what is left at its default is left out."""
        default = MessageQuery()
        return {
            name: str(getattr(self, name)) for name in self.__slots__ if getattr(self, name) != getattr(default, name)
        }

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> Self:
        """The query of a URL. Raises BadInput, also for a parameter that is not known."""
        values: dict[str, Any] = {}
        for name, text in params.items():
            if name not in cls.__slots__:
                raise BadInput(f"no such parameter: {name[:80]!r}", hint=f"there are: {', '.join(cls.__slots__)}")
            values[name] = _whole(name, text) if name in ("priority", "since_ms", "until_ms", "limit") else text
        return cls(**values)


def check_query(query: MessageQuery) -> MessageQuery:
    """`query` if it is one. Raises BadInput."""
    if not isinstance(query, MessageQuery):
        raise BadInput(f"not a query of messages: {said(query)}", hint="ask with a MessageQuery(…)")
    return query


def check_state(state: str) -> StateAsked:
    """`state` if it can be asked for. Raises BadInput."""
    if state not in ("", "open", *STATES):
        raise BadInput(f"no such state: {said(state)}", hint=f"there are: open, {', '.join(STATES)}")
    return cast(StateAsked, state)


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise BadInput(f"{name} must be a whole number")
    return int(text)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message where it lies: `seq` is its place in the order of arrival there, from 1; `snippet` shows where a search
    found its words (`words.shown`), each between \\x02 and \\x03, and is empty otherwise."""

    message: Message
    seq: int
    received_ms: int
    marks: Marks = field(default_factory=Marks)
    snippet: str = ""

    def to_json(self) -> dict[str, Any]:
        """The message's JSON with `seq`, `received_ms`, `state`, `marks` and, from a search, `snippet` beside."""
        return {
            "message": self.message.to_json(), "seq": self.seq, "received_ms": self.received_ms,
            "state": self.marks.state, "marks": self.marks.to_json(),
            **({"snippet": self.snippet} if self.snippet else {}),
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises BadInput; fields that are not known are passed over, since answers grow."""
        seq, received_ms = (value.get("seq"), value.get("received_ms", 0)) if isinstance(value, Mapping) else (None, 0)
        if not isinstance(seq, int) or not isinstance(received_ms, int):
            raise BadInput("not a stored message")
        return cls(
            Message.from_json(value.get("message")), seq, received_ms,
            Marks.from_json(value.get("marks", {})), as_text(value.get("snippet", "")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages in the order asked for; `next` goes into the following query's `after`, and is empty at the end. Not
    `whole`: the hub could not be reached, and this is what whoever answered keeps itself, in one page."""

    messages: tuple[StoredMessage, ...]
    next: str = ""
    whole: bool = True

    def to_json(self) -> dict[str, Any]:
        """`{"messages": […], "next": …, "whole": …}`."""
        return {"messages": [each.to_json() for each in self.messages], "next": self.next, "whole": self.whole}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises BadInput."""
        if not isinstance(value, Mapping) or not isinstance(value.get("messages"), list):
            raise BadInput("not a page of messages")
        messages = tuple(StoredMessage.from_json(each) for each in value["messages"])
        return cls(messages, as_text(value.get("next", "")), value.get("whole") is not False)
