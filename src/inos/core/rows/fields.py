"""What a field of a row may hold, said where the field is: its bounds, checked when a row is made, and its JSON.

    name: str = text(1, 200)        size_bytes: int = whole()        manifest: JsonObject = json_object()

Every complaint names the field and what it may be. The same bounds are CHECKs in the database, as a backstop.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from typing import Any, Final

from inos.core.component_keys import COMPONENT_ID, COMPONENT_ID_HINT
from inos.core.errors import BadInput
from inos.core.ids import Address, Cid

JsonObject = Mapping[str, Any]

RULE: Final = "rule"
# A manifest or a message's notes; a page of a thousand rows is cut at its bytes besides.
MAX_JSON_BYTES: Final = 64 << 10
# SQLite reads 1,000 levels, Python's own limit differs from release to release; nobody writes that many.
MAX_JSON_DEPTH: Final = 64
MAX_TEXT: Final = 4096
# Seconds since 1970 to the year 9999: beyond it is a mistake of units.
MAX_TIME_S: Final = 253_402_300_799
MAX_WHOLE: Final = (1 << 63) - 1
# 2^256 has 78 digits.
_AMOUNT: Final = re.compile(r"0|[1-9][0-9]{0,77}")
_MISSING: Final[Any] = object()

Check = Callable[[Any], str]
"""What is wrong with a value, in words that go on from the field's name; "" when nothing is."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Rule:
    """One field: its check, its way to JSON and back, and whether null is a value of it."""

    check: Check
    to_json: Callable[[Any], Any] = _same
    from_json: Callable[[Any], Any] = _same
    optional: bool = False

    @property
    def plain(self) -> bool:
        """Whether its JSON is the value itself."""
        return self.from_json is _same

    def complaint(self, value: Any) -> str:
        """What is wrong with `value`, or ""."""
        if value is None:
            return "" if self.optional else "must not be null"
        return self.check(value)


def rule_of(of: Field[Any]) -> Rule:
    """The rule of a field made by this module."""
    rule: Rule = of.metadata[RULE]
    return rule


def _field(rule: Rule, default: Any) -> Any:
    if default is _MISSING:
        return field(metadata={RULE: rule})
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata={RULE: rule})
    return field(default=default, metadata={RULE: rule})


def text(
    least: int = 0,
    most: int = MAX_TEXT,
    pattern: re.Pattern[str] | None = None,
    what: str = "",
    *,
    default: Any = _MISSING,
    optional: bool = False,
) -> Any:
    """Text of `least` to `most` characters, all of which can be stored; `what` says what `pattern` stands for."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            return "must be text"
        if not least <= len(value) <= most:
            return f"has {least} to {most} characters, not {len(value)}"
        if "\0" in value or not (value.isascii() or _is_unicode(value)):
            return "holds what is no text (a NUL or half a character)"
        return f"must be {what}" if pattern and not pattern.fullmatch(value) else ""

    return _field(Rule(check, optional=optional), None if optional and default is _MISSING else default)


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def component_id() -> Any:
    """The id of a component or an application: 1 to 128 of a-z, 0-9, ".", "_" and "-", no punctuation at the ends."""
    return text(1, 128, COMPONENT_ID, COMPONENT_ID_HINT)


def component_ids(most: int) -> Any:
    """The ids of up to `most` components, each once; a list in JSON."""

    def check(value: Any) -> str:
        fits = isinstance(value, tuple) and len(value) <= most and len(set(value)) == len(value)
        if not fits or not all(isinstance(each, str) and COMPONENT_ID.fullmatch(each) for each in value):
            return f"must be a list of at most {most} component ids, each once"
        return ""

    return _field(Rule(check, list, lambda value: tuple(value) if isinstance(value, list) else value), ())


def choice(*values: str, default: Any = _MISSING) -> Any:
    """One of `values`."""

    def check(value: Any) -> str:
        return "" if value in values else f"must be one of {', '.join(values)}"

    return _field(Rule(check), default)


def whole(least: int = 0, most: int = MAX_WHOLE, *, default: Any = _MISSING, optional: bool = False) -> Any:
    """A whole number."""

    def check(value: Any) -> str:
        if not isinstance(value, int) or isinstance(value, bool):
            return "must be a whole number"
        return "" if least <= value <= most else f"must be {least} to {most}"

    return _field(Rule(check, optional=optional), None if optional and default is _MISSING else default)


def time_s(*, default: Any = _MISSING, optional: bool = False) -> Any:
    """Whole seconds since 1970."""
    return whole(0, MAX_TIME_S, default=default, optional=optional)


def amount(*, optional: bool = False) -> Any:
    """An exact amount in the smallest unit there is, as decimal digits. Text, because no number of JSON or SQLite holds
    256 bits exactly."""

    def check(value: Any) -> str:
        fits = isinstance(value, str) and _AMOUNT.fullmatch(value)
        return "" if fits else "must be a whole number of the smallest unit, as 1 to 78 decimal digits in quotes"

    return _field(Rule(check, optional=optional), None if optional else _MISSING)


def json_object() -> Any:
    """A JSON object; empty when it is not given."""

    def check(value: Any) -> str:
        return _json_complaint(value) if isinstance(value, Mapping) else "must be a JSON object"

    return _field(Rule(check), {})


def json_value() -> Any:
    """Any JSON value but null."""
    return _field(Rule(_json_complaint), _MISSING)


def _json_complaint(value: Any) -> str:
    try:
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError):  # also half a character in a text
        return "is not JSON"
    if size > MAX_JSON_BYTES:
        return f"has at most {MAX_JSON_BYTES} bytes of JSON, not {size}"
    return "" if _is_flat_enough(value) else f"has at most {MAX_JSON_DEPTH} levels of lists and objects"


def _is_flat_enough(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        inner = [each for each in level if isinstance(each, Mapping | list | tuple)]
        if not inner:
            return True
        level = [part for each in inner for part in (each.values() if isinstance(each, Mapping) else each)]
    return False


def digest(kind: type[bytes] = bytes, *, optional: bool = False) -> Any:
    """Thirty-two bytes, as `kind`; hexadecimal in JSON."""

    def check(value: Any) -> str:
        return "" if isinstance(value, bytes) and len(value) == 32 else "must be 32 bytes, 64 hexadecimal digits"

    rule = Rule(check, _hex, lambda value: kind(_unhex(value, 32)), optional)
    return _field(rule, None if optional else _MISSING)


def binary(most: int) -> Any:
    """Up to `most` bytes; hexadecimal in JSON."""

    def check(value: Any) -> str:
        return "" if isinstance(value, bytes) and 0 < len(value) <= most else f"must be 1 to {most} bytes"

    return _field(Rule(check, _hex, lambda value: _unhex(value, most)), _MISSING)


def address() -> Any:
    """The address of a chunk."""
    return digest(Address)


def cid() -> Any:
    """The name of an object; `bafkr4i…` in JSON."""

    def check(value: Any) -> str:
        return "" if isinstance(value, Cid) else "must be a cid"

    return _field(Rule(check, str, _cid), _MISSING)


def _hex(value: bytes) -> str:
    return bytes(value).hex()


def _unhex(value: Any, most: int) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * most or not re.fullmatch(r"([0-9a-f]{2})+", value):
        raise BadInput(f"not lower-case hexadecimal digits of at most {most} bytes")
    return bytes.fromhex(value)


def _cid(value: Any) -> Cid:
    if not isinstance(value, str):
        raise BadInput("not a cid")
    return Cid.parse(value)
