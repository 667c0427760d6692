"""Segments: a hub's messages, and what was done with them, as files that the mesh keeps. Pure: names, bytes, plans.

A segment is of one term of one corpus and of one kind: `messages` with the seqs first..last, in that order, or `marks`
with those messages whose marks changed last at mark seqs first..last. Its name says all of that, so that what there is
can be told without reading it. The union of all segments is the corpus: reading one twice, or two that overlap,
changes nothing, because messages have ids and marks merge.

    /.inos/messages/<term, 8 digits>-<corpus>/<kind>-<first, 16 digits>-<last, 16 digits>

Content: gzip of lines of JSON. First `{"segment": kind, "v": 1}`; then messages (canonical JSON), or
`{"id": …, "marks": …}`; last `{"end": number of lines between}`, without which it is not whole.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal, Self, get_args

from inos.core.errors import BadFrame, BadInput, Corrupt, NewerFormat
from inos.core.messages.ids import MessageId, parse_id
from inos.core.messages.marks import Marks
from inos.core.messages.message import MAX_MESSAGE_BYTES, Message, canonical, parse_json

FOLDER: Final = "/.inos/messages/"
Kind = Literal["messages", "marks"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
VERSION: Final = 1
# A line of marks names at most four actors of 200 characters each.
MAX_LINE_BYTES: Final = MAX_MESSAGE_BYTES + 1024
# As many neighbours of one size become one of the next: a message is written anew once for each size it goes through.
FAN_IN: Final = 8
SMALLEST_BYTES: Final = 64 << 10
# Beyond this size nothing is merged any more: what is read and written again at once stays bounded.
MAX_MERGED_BYTES: Final = 32 << 20
_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 6
_PIECE_BYTES: Final = 256 << 10
_NAME: Final = re.compile(
    r"/\.inos/messages/([0-9]{8})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(messages|marks)-([0-9]{16})-([0-9]{16})"
)


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    """What a segment holds; ordered as they are to be read: terms as they came, messages before marks."""

    term: int
    corpus: str
    marks: bool
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.folder}{self.kind}-{self.first:016d}-{self.last:016d}"

    @property
    def kind(self) -> Kind:
        return "marks" if self.marks else "messages"

    @property
    def folder(self) -> str:
        return f"{FOLDER}{self.term:08d}-{self.corpus}/"

    @property
    def span(self) -> tuple[int, int]:
        """First and last."""
        return self.first, self.last

    @property
    def series(self) -> str:
        """Segments of one series follow one another: term, corpus and kind."""
        return f"{self.term:08d}-{self.corpus}/{self.kind}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Raises BadInput for a name that no segment has."""
        found = _NAME.fullmatch(name)
        if not found:
            raise BadInput(f"not the name of a segment: {name[:80]!r}")
        first, last = int(found[4]), int(found[5])
        if not 1 <= first <= last:
            raise BadInput(f"a segment with nothing in it: {name[:80]!r}")
        return cls(int(found[1]), found[2], found[3] == "marks", first, last)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment there is."""

    name: SegmentName
    size_bytes: int


MarkLine = tuple[MessageId, Marks]


class SegmentWriter:
    """Packs one segment, piece by piece: `begin`, then lines, then `end`, each giving the bytes that are ready. Equal
    lines give equal bytes."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._lines = 0

    def begin(self) -> bytes:
        """What comes first."""
        return self._pack({"segment": self._kind, "v": VERSION})

    def message(self, message: Message) -> bytes:
        """One more message."""
        return self.line(message.encode())

    def marks(self, line: MarkLine) -> bytes:
        """The marks of one more message."""
        return self.line(canonical("marks", {"id": line[0], "marks": line[1].to_json()}))

    def line(self, encoded: bytes) -> bytes:
        """One more line as it came out of another segment."""
        self._lines += 1
        return self._packer.compress(encoded + b"\n")

    def end(self) -> bytes:
        """What comes last."""
        return self._pack({"end": self._lines}) + self._packer.flush()

    def _pack(self, value: Mapping[str, Any]) -> bytes:
        return self._packer.compress(canonical("segment", value) + b"\n")


def pack_messages(messages: Iterable[Message]) -> bytes:
    """A whole segment of messages."""
    writer = SegmentWriter("messages")
    return b"".join([writer.begin(), *map(writer.message, messages), writer.end()])


def pack_marks(lines: Iterable[MarkLine]) -> bytes:
    """A whole segment of marks."""
    writer = SegmentWriter("marks")
    return b"".join([writer.begin(), *map(writer.marks, lines), writer.end()])


class SegmentReader:
    """Unpacks one segment as it comes in, holding a line and a piece at a time. `feed` gives the lines between first
    and last; `close` raises Corrupt unless the segment was whole. Both raise BadFrame for what is none."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._unpacker = zlib.decompressobj(_GZIP)
        self._rest = b""
        self._lines = 0
        self._begun = self._ended = False

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """The lines that are complete with these bytes."""
        while packed:
            if self._unpacker.eof:
                raise BadFrame("bytes behind the end of a segment")
            try:
                plain = self._unpacker.decompress(packed, _PIECE_BYTES)
            except zlib.error:
                raise BadFrame("a segment that is no gzip") from None
            packed = self._unpacker.unconsumed_tail or self._unpacker.unused_data
            yield from self._split(plain)
        yield from self._split(b"")

    def _split(self, plain: bytes) -> Iterator[bytes]:
        *whole, self._rest = (self._rest + plain).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise BadFrame("a line of a segment is too long")
        for line in whole:
            if (found := self._taken(line)) is not None:
                yield found

    def _taken(self, line: bytes) -> bytes | None:
        """`line`, unless it is the first or the last."""
        if self._ended:
            raise BadFrame("lines behind the end of a segment")
        if not self._begun:
            self._check_first(line)
            self._begun = True
            return None
        if line.startswith(b'{"end":'):
            value = parse_json("the end of a segment", line, 64)
            if value != {"end": self._lines}:
                raise Corrupt(f"a segment of {self._lines} lines says that it has others")
            self._ended = True
            return None
        self._lines += 1
        return line

    def _check_first(self, line: bytes) -> None:
        value = parse_json("the beginning of a segment", line, 256)
        version = value.get("v") if isinstance(value, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise NewerFormat("a segment was written by a newer release", hint="update this node")
        if value != {"segment": self._kind, "v": VERSION}:
            raise BadFrame(f"not a segment of {self._kind}")

    def close(self) -> None:
        """That was all of it."""
        if not (self._ended and self._unpacker.eof) or self._rest:
            raise Corrupt("a segment breaks off", hint="it is read again from other nodes")


def decode_marks(line: bytes) -> MarkLine:
    """A line of a segment of marks. Raises BadInput."""
    value = parse_json("marks", line, MAX_LINE_BYTES)
    if not isinstance(value, dict) or set(value) != {"id", "marks"}:
        raise BadInput("a line of marks has id and marks")
    return parse_id(value["id"]), Marks.from_json(value["marks"])


def decode_segment(kind: Kind, packed: bytes) -> list[Message] | list[MarkLine]:
    """All of a segment that is in memory. Raises BadInput, BadFrame, Corrupt, NewerFormat."""
    reader = SegmentReader(kind)
    lines = list(reader.feed(packed))
    reader.close()
    return [decode_marks(line) for line in lines] if kind == "marks" else [Message.decode(line) for line in lines]


def parse_names(names: Iterable[tuple[str, int]]) -> list[Segment]:
    """The segments among these (name, size), in the order in which they are to be read."""
    found = []
    for name, size in names:
        try:
            found.append(Segment(SegmentName.parse(name), size))
        except BadInput:
            continue  # something of a newer release, or put there by hand
    return sorted(found, key=lambda each: each.name)


# What to merge, and what is superfluous


def ends(segments: Iterable[Segment]) -> list[Segment]:
    """The one with which each series ends so far, the smallest first. Only of it nobody knows whether it is safe: the
    next one is put once it is."""
    last: dict[str, Segment] = {}
    for each in segments:
        known = last.setdefault(each.name.series, each)
        last[each.name.series] = max(known, each, key=lambda one: (one.name.last, one.name.first))
    return sorted(last.values(), key=lambda one: one.size_bytes)


def superfluous(segments: Sequence[Segment]) -> list[tuple[Segment, Segment]]:
    """Segments that lie within another of their series, each with that one: left by a merge that was cut off."""
    found = []
    for _, group in groupby(sorted(segments, key=_by_reach), key=lambda each: each.name.series):
        widest: Segment | None = None
        for each in group:
            if widest is not None and each.name.last <= widest.name.last:
                found.append((each, widest))
            else:
                widest = each
    return found


def _by_reach(segment: Segment) -> tuple[str, int, int]:
    return segment.name.series, segment.name.first, -segment.name.last


def plan_merge(segments: Sequence[Segment], current: str) -> tuple[SegmentName, list[Segment]] | None:
    """Segments to make one of, and its name; None when there is nothing worth it. In the series of the folder `current`
    that still grow: FAN_IN neighbours of one size. In the others, which grow no more: all neighbours that fit."""
    within = {id(inner) for inner, _ in superfluous(segments)}
    for _, group in groupby(sorted(segments, key=_by_reach), key=lambda each: each.name.series):
        series = [each for each in group if id(each) not in within]
        least = FAN_IN if series[0].name.folder == current else 2
        for run in _runs(series, least):
            first, last = run[0].name, run[-1].name
            return SegmentName(first.term, first.corpus, first.marks, first.first, last.last), run
    return None


def _runs(series: Sequence[Segment], least: int) -> Iterator[list[Segment]]:
    """Runs of at least `least` neighbours, of one size where more than two are asked for, that may become one."""
    run: list[Segment] = []
    for each in series:
        follows = bool(run) and each.name.first <= run[-1].name.last + 1
        alike = bool(run) and (least == 2 or _size_class(each) == _size_class(run[0]))
        fits = sum(one.size_bytes for one in run) + each.size_bytes <= MAX_MERGED_BYTES
        if not (follows and alike and fits):
            if len(run) >= least:
                yield run
            run = []
        run.append(each)
        if least > 2 and len(run) == least:
            yield run
            run = []
    if len(run) >= least:
        yield run


def _size_class(segment: Segment) -> int:
    size, level = segment.size_bytes, 0
    while size >= SMALLEST_BYTES:
        size, level = size // FAN_IN, level + 1
    return level
