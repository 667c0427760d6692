"""A row of a node's own database as a value, its way to JSON and back, and what may be asked of its kind.

Rows are local to one node: never replicated, unlike the records of tables. A kind of row is a frozen dataclass that
says its word (`KIND`), the field that names a row (`KEY`) and the orders it can be gone through in, each of which an
index of the database serves. Nothing else can be asked: a question that would read everything does not exist.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, cast

from inos.core.errors import BadInput
from inos.core.rows.fields import Rule, rule_of

MAX_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Order:
    """One way through the rows of a kind: those whose field `equals` has a given value ("" for all), by `fields`, the
    last of which tells any two rows apart. Rows without a value in `fields` are left out."""

    name: str
    fields: tuple[str, ...]
    equals: str = ""


@dataclass(frozen=True)
class Row:
    """Base of every kind. Making one checks every field; BadInput names the first that is wrong."""

    KIND: ClassVar[str]
    KEY: ClassVar[str]
    ORDERS: ClassVar[tuple[Order, ...]]
    WRITABLE: ClassVar[bool] = True
    """Whether a user may put one in; the node alone writes the others."""
    REMOVABLE: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, rule in _rules(type(self)).items():
            if wrong := rule.complaint(getattr(self, name)):
                raise BadInput(f"{name} {wrong}", hint=f"{self.KIND} have: {', '.join(field_names(type(self)))}")

    @property
    def key(self) -> Any:
        """What names this row among its kind."""
        return getattr(self, self.KEY)

    @property
    def key_text(self) -> str:
        """The key as it is written in a URL or a command."""
        return str(to_json(type(self), self.KEY, self.key))

    @classmethod
    def stored(cls, values: Iterable[Any]) -> Self:
        """The row that a database of ours holds, its fields in order. They were checked when they were written, and the
        database's own checks and the tags of its pages stand for them since: to check a page of rows again took three
        times as long as reading it."""
        row = object.__new__(cls)
        row.__dict__.update(zip(field_names(cls), values, strict=True))
        return row

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON shows it."""
        return {name: to_json(type(self), name, getattr(self, name)) for name in _rules(type(self))}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """The row of a JSON object. Raises BadInput for a field that is unknown, missing or wrong."""
        if not isinstance(values, Mapping):
            raise BadInput(f"a row of {cls.KIND} is a JSON object")
        names = field_names(cls)
        hint = f"{cls.KIND} have: {', '.join(names)}"
        if unknown := sorted(str(name) for name in values if name not in names):
            raise BadInput(f"{cls.KIND} have no field {unknown[0][:80]!r}", hint=hint)
        given = dict(values)
        for name in _spelled(cls):
            if name in given:
                given[name] = _parsed(cls, name, given[name])
        if missing := [name for name in _required(cls) if name not in given]:
            raise BadInput(f"{missing[0]} is missing", hint=hint)
        return cls(**given)


R = TypeVar("R", bound=Row)


def _find_rules(kind: type[Row]) -> dict[str, Rule]:
    return {each.name: rule_of(each) for each in dataclasses.fields(kind)}


# A page has a thousand rows of a dozen fields.
_rules: Final = cast("Callable[[type[Row]], dict[str, Rule]]", cache(_find_rules))


def _find_spelled(kind: type[Row]) -> tuple[str, ...]:
    return tuple(name for name, rule in _rules(kind).items() if not rule.plain)


# The fields that JSON spells otherwise than Python.
_spelled: Final = cast("Callable[[type[Row]], tuple[str, ...]]", cache(_find_spelled))


def field_names(kind: type[Row]) -> tuple[str, ...]:
    """The fields of a kind, in order."""
    return tuple(_rules(kind))


def _find_required(kind: type[Row]) -> tuple[str, ...]:
    return tuple(
        each.name
        for each in dataclasses.fields(kind)
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    )


_required: Final = cast("Callable[[type[Row]], tuple[str, ...]]", cache(_find_required))


def _parsed(kind: type[Row], name: str, value: Any) -> Any:
    try:
        return None if value is None else _rules(kind)[name].from_json(value)
    except BadInput as error:
        raise BadInput(f"{name}: {error.message}", hint=error.hint) from None


def from_json(kind: type[Row], name: str, value: Any) -> Any:
    """A JSON value as what field `name` holds. Raises BadInput where it cannot be that."""
    found = _parsed(kind, name, value)
    if wrong := _rules(kind)[name].complaint(found):
        raise BadInput(f"{name} {wrong}")
    return found


def to_json(kind: type[Row], name: str, value: Any) -> Any:
    """A value of field `name` as JSON shows it."""
    return None if value is None else _rules(kind)[name].to_json(value)


def required_times(kind: type[Row]) -> list[str]:
    """The fields of a kind that are times and have no default."""
    return [name for name in _required(kind) if name.endswith("_at_s")]


def parse_key(kind: type[Row], text: str) -> Any:
    """The key that `text` names. Raises BadInput."""
    return from_json(kind, kind.KEY, text)


@dataclass(frozen=True, slots=True)
class Query(Generic[R]):
    """What to list: rows of `kind` whose field `where` has the value `equals` ("" for all), by `order` ("" for the
    first that serves `where`), from where a page's `next` says, at most `limit`."""

    kind: type[R]
    where: str = ""
    equals: Any = None
    order: str = ""
    descending: bool = False
    after: str = ""
    limit: int = MAX_PAGE

    def __post_init__(self) -> None:
        if not isinstance(self.limit, int) or not 0 < self.limit <= MAX_PAGE:
            raise BadInput(f"a page is 1 to {MAX_PAGE} rows, not {self.limit}")

    def chosen(self) -> Order:
        """The order that answers this. Raises BadInput when no index does."""
        named = [order for order in self.kind.ORDERS if self.order in ("", order.name)]
        for order in named:
            if order.equals == self.where:
                return order
        kind = self.kind.KIND
        if not named:
            known = ", ".join(order.name for order in self.kind.ORDERS)
            raise BadInput(f"{kind} have no order {self.order[:80]!r}", hint=f"there are: {known}")
        fields = sorted({order.equals for order in self.kind.ORDERS} - {""})
        asked = f"by {self.where[:80]!r}" if self.where else "without a value to look for"
        hint = f"{kind} are found by: {', '.join(fields)}" if fields else f"{kind} are listed whole"
        raise BadInput(f"{kind} cannot be listed {asked}{f' in order {self.order!r}' if self.order else ''}", hint=hint)


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Rows in order; `next` goes into the following query's `after`, and is empty at the end."""

    rows: tuple[R, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One row that a search found: its kind and key, and its words for people."""

    kind: str
    key: str
    title: str


@dataclass(frozen=True, slots=True)
class DatabaseStats:
    """The database as a file and by its rows. `previous` are the schemas kept of before upgrades."""

    schema: int
    upgraded_at_s: int | None
    size_bytes: int
    log_bytes: int
    free_bytes: int
    rows: dict[str, int] = field(default_factory=dict)
    previous: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DatabaseCheck:
    """What a check of the whole database found; `problems` is empty when all is well."""

    ok: bool
    problems: tuple[str, ...] = ()
