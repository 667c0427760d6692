"""multipart/form-data as it comes: bytes in, what they say out, nothing held but the headers of the part at hand.

A `Form` is fed pieces of any size. Names and file names are UTF-8; a part without a name, a header that goes on for
ever and a body that does not end as it should are BadInput.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from inos.core.errors import BadInput

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# What is wrong with a form is told to whoever sent it; the node's log is not theirs to fill.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

MAX_HEADER_BYTES: Final = 4096
MAX_HEADERS: Final = 8
MAX_BOUNDARY_BYTES: Final = 70  # RFC 2046


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part; `filename` is None for a field."""

    name: str
    filename: str | None
    media_type: str


@dataclass(frozen=True, slots=True)
class PartData:
    """A piece of its content."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The end of the part."""


Event = PartBegin | PartData | PartEnd


class Form:
    """One body. `boundary` is that of its Content-Type."""

    def __init__(self, boundary: bytes) -> None:
        self._events: list[Event] = []
        self._headers: dict[str, bytes] = {}
        self._field = self._value = b""
        self.ended = False
        """Whether the closing boundary has come."""
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": lambda data, start, end: self._events.append(PartData(bytes(data[start:end]))),
            "on_part_end": lambda: self._events.append(PartEnd()),
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(
            boundary, callbacks, max_header_count=MAX_HEADERS, max_header_size=MAX_HEADER_BYTES
        )

    def feed(self, data: bytes) -> list[Event]:
        """What the next bytes of the body say. Raises BadInput."""
        if self.ended:
            return []  # what follows the closing boundary is to be passed over
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadInput(f"the body is no multipart/form-data: {error}", hint="see docs/api.md") from None
        events, self._events = self._events, []
        return events

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = self._value
        self._field = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        name, filename = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise BadInput("a part of the body has no name")
        kind, _ = parse_options_header(self._headers.get("content-type", b"application/octet-stream"))
        self._events.append(PartBegin(_text(name), None if filename is None else _text(filename), _text(kind)))

    def _on_end(self) -> None:
        self.ended = True


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadInput("the name of a part is not UTF-8") from None


def parse_boundary(content_type: str) -> bytes:
    """The boundary that a Content-Type announces. Raises BadInput."""
    try:
        kind, options = parse_options_header(content_type)
    except UnicodeEncodeError:
        raise BadInput("the Content-Type is not readable") from None
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= MAX_BOUNDARY_BYTES:
        raise BadInput("the body is not multipart/form-data", hint="send the files as a form does: curl -F file=@NAME")
    return boundary
