"""Cap'n Proto in and out: the only module that imports `capnp`.

    data = encode("base/base.capnp:Error", code="busy", message="…")
    with reading("base/base.capnp:Error", data, max_bytes=4096) as error:
        found = (error.code, error.message)

Everything read came from outside: its size is bounded by the caller, its traversal by the limits below, and every way
of being malformed, in the framing or in a field touched inside the `with`, ends in BadFrame. A reader is only good
inside its `with`: copy what you need into value types there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import capnp

from inos.core.errors import BadFrame, BadInput

SCHEMA_ROOT: Final = Path(__file__).resolve().parent.parent / "schema"
# Pointers may alias in a hostile message; eight times its size is room for every honest one.
_TRAVERSAL_FACTOR: Final = 8
_NESTING_LIMIT: Final = 16

capnp.remove_import_hook()


@cache
def _file(path: str) -> Any:
    return capnp.load(str(SCHEMA_ROOT / path), imports=[str(SCHEMA_ROOT)])


@cache
def _struct(name: str) -> Any:
    path, _, struct = name.partition(":")
    return getattr(_file(path), struct)


def encode(struct: str, **fields: Any) -> bytes:
    """The bytes of one message of `struct` ("folder/file.capnp:Name"); nested structs are dicts, lists are lists."""
    if any(map(_is_structs, fields.values())):
        message = _struct(struct).new_message()
        _fill(message, fields)
    else:
        message = _struct(struct).new_message(**fields)
    encoded: bytes = message.to_bytes()
    return encoded


def _is_structs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _fill(builder: Any, fields: Mapping[str, Any]) -> None:
    # pycapnp takes four times as long to set a list of structs from dictionaries by itself; the bytes are the same.
    for name, value in fields.items():
        if isinstance(value, list) and _is_structs(value):
            for item, item_fields in zip(builder.init(name, len(value)), value, strict=True):
                _fill(item, item_fields)
        else:
            setattr(builder, name, value)


# RuntimeError is how pycapnp says that it does not know an enumerator.
_MALFORMED: Final = (capnp.KjException, UnicodeDecodeError, ValueError, OverflowError, RuntimeError, BadInput)


class reading:  # noqa: N801 - used like a function; a generator would cost as much as decoding a small message
    """A reader over `data`, whose fields are attributes. Raises BadFrame for anything that is not such a message."""

    __slots__ = ("_data", "_opened", "_struct")

    def __init__(self, struct: str, data: bytes, *, max_bytes: int) -> None:
        if len(data) > max_bytes:
            raise BadFrame(f"{struct}: {len(data)} bytes are over the limit of {max_bytes}")
        self._struct = struct
        self._data = bytes(data)

    def __enter__(self) -> Any:
        words = max(1024, len(self._data) // 8 * _TRAVERSAL_FACTOR)
        try:
            self._opened = _struct(self._struct).from_bytes(
                self._data, traversal_limit_in_words=words, nesting_limit=_NESTING_LIMIT
            )
            return self._opened.__enter__()
        except _MALFORMED as error:
            raise self._explained(error) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)
        if isinstance(error, _MALFORMED) and not isinstance(error, BadFrame):
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> BadFrame:
        lines = str(error).splitlines() or [type(error).__name__]
        return BadFrame(f"{self._struct} does not decode: {lines[0][:200]}")
