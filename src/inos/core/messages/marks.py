"""What people do with a message: read, acknowledged, executed, archived. Each mark is set or taken away, and merges.

A mark is (on, when, by whom); of two, the later one holds, of two at one moment the one whose actor sorts higher, then
the one that is on. So marks made on nodes that did not hear of each other come to the same end everywhere, in whatever
order and however often they arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self, get_args

from inos.core.errors import BadInput
from inos.core.messages.message import MAX_TIME_MS, check_text, check_whole
from inos.core.messages.saying import said

MarkName = Literal["read", "acknowledged", "executed", "archived"]
MARK_NAMES: Final[tuple[MarkName, ...]] = get_args(MarkName)
State = Literal["unread", "read", "acknowledged", "executed", "archived"]
STATES: Final[tuple[State, ...]] = get_args(State)


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """One mark; the order of these fields is the order in which one outdoes another."""

    time_ms: int
    by: str
    on: bool

    def __post_init__(self) -> None:
        check_whole("time_ms of a mark", self.time_ms, 0, MAX_TIME_MS)
        if not isinstance(self.by, str):
            raise BadInput("by of a mark must be text of 1 to 200 characters")
        check_text("by of a mark", self.by.replace("\0", " "), 1, 200)  # a NUL is refused where marks are made
        if not isinstance(self.on, bool):
            raise BadInput("on of a mark must be true or false")


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one message. Immutable; `merge` is commutative, associative and idempotent."""

    marks: Mapping[MarkName, Mark] = field(default_factory=dict)

    def with_mark(self, name: MarkName, mark: Mark) -> Marks:
        """These and one more."""
        return self.merge(Marks({check_mark_name(name): mark}))

    def merge(self, other: Marks) -> Marks:
        """What holds of both."""
        merged = dict(self.marks)
        for name, mark in other.marks.items():
            merged[name] = max(mark, merged.get(name, mark))
        return Marks(merged)

    def has(self, name: MarkName) -> bool:
        """Whether a mark is set."""
        mark = self.marks.get(name)
        return mark is not None and mark.on

    @property
    def state(self) -> State:
        """The furthest of the marks that are set."""
        return next((name for name in reversed(MARK_NAMES) if self.has(name)), "unread")

    def to_json(self) -> dict[str, Any]:
        """`{"read": {"on", "time_ms", "by"}, …}`."""
        return {
            name: {"on": mark.on, "time_ms": mark.time_ms, "by": mark.by} for name, mark in sorted(self.marks.items())
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises BadInput."""
        if not isinstance(value, Mapping):
            raise BadInput("marks are a JSON object")
        marks: dict[MarkName, Mark] = {}
        for name, mark in value.items():
            if not isinstance(mark, Mapping) or set(mark) != {"on", "time_ms", "by"}:
                raise BadInput("a mark has the fields on, time_ms and by")
            marks[check_mark_name(name)] = Mark(mark["time_ms"], mark["by"], mark["on"])
        return cls(marks)


def check_mark_name(name: str) -> MarkName:
    """The mark called `name`. Raises BadInput."""
    if name not in MARK_NAMES:
        raise BadInput(f"no such mark: {said(name)}", hint=f"there are: {', '.join(MARK_NAMES)}")
    return name
