"""Segments: what goes in comes out, in order; what is broken is told; merging keeps everything and bounds how many."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadFrame, BadInput, Corrupt, NewerFormat
from inos.core.messages.ids import MessageId, next_id
from inos.core.messages.marks import Mark, Marks
from inos.core.messages.message import Message
from inos.messages.ranges import Ranges, TakenIn
from inos.messages.segments import (
    FAN_IN,
    MAX_MERGED_BYTES,
    Segment,
    SegmentName,
    SegmentReader,
    decode_marks,
    decode_segment,
    ends,
    pack_marks,
    pack_messages,
    parse_names,
    plan_merge,
    superfluous,
)

CORPUS = "01890a5d-ac96-774b-bcce-b302099a8057"
VECTORS = Path(__file__).parent / "vectors" / "segments.json"


def some_messages(count: int, seed: int = 0) -> list[Message]:
    chance, last, made = random.Random(seed), None, []
    for number in range(count):
        last = next_id(1_800_000_000_000 + number, chance.randbytes(10), last)
        made.append(Message(last, 1_800_000_000_000 + number, f"agent-{number % 3}", {"n": number, "s": "ü\n" * 20}))
    return made


def some_marks(messages: list[Message]) -> list[tuple[MessageId, Marks]]:
    return [(each.id, Marks({"read": Mark(each.time_ms + 5, "ü", True)})) for each in messages]


THIRTY = some_messages(30)
PACKED = pack_messages(THIRTY)


def name(first: int, last: int, *, term: int = 1, marks: bool = False) -> SegmentName:
    return SegmentName(term, CORPUS, marks, first, last)


def test_messages_and_marks_come_back_in_order() -> None:
    messages = some_messages(1000)
    assert decode_segment("messages", pack_messages(messages)) == messages
    marks = some_marks(messages)
    assert decode_segment("marks", pack_marks(marks)) == marks
    assert pack_messages(messages) == pack_messages(messages)
    assert decode_segment("messages", pack_messages([])) == []


@given(st.lists(st.integers(1, 400), max_size=60))
def test_a_segment_may_come_in_any_pieces(sizes: list[int]) -> None:
    messages, packed, reader, lines = THIRTY, PACKED, SegmentReader("messages"), []
    for size in sizes:
        lines += list(reader.feed(packed[:size]))
        packed = packed[size:]
    lines += list(reader.feed(packed))
    reader.close()
    assert [Message.decode(line) for line in lines] == messages


def test_every_cut_and_every_flipped_byte_is_noticed() -> None:
    messages = some_messages(5)
    packed = pack_messages(messages)
    for end in range(len(packed)):
        with pytest.raises((BadInput, Corrupt)):
            decode_segment("messages", packed[:end])
    noticed = 0
    for at in range(10, len(packed)):
        damaged = packed[:at] + bytes((packed[at] ^ 0x10,)) + packed[at + 1 :]
        try:
            assert decode_segment("messages", damaged) == messages  # bits that pad the end mean nothing
        except (BadInput, Corrupt, NewerFormat):
            noticed += 1
    assert noticed > len(packed) - 15


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([{"segment": "marks", "v": 1}, {"end": 0}], BadFrame),
        ([{"segment": "messages", "v": 2}, {"end": 0}], NewerFormat),
        ([{"segment": "messages", "v": 1}, {"end": 1}], Corrupt),
        ([{"segment": "messages", "v": 1}, {"end": 0}, {"end": 0}], BadFrame),
        ([{"segment": "messages", "v": 1}], Corrupt),
        ([], Corrupt),
    ],
)
def test_what_is_no_segment_is_refused(lines: list[object], error: type[Exception]) -> None:
    packed = gzip.compress("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())
    with pytest.raises(error):
        decode_segment("messages", packed)


def test_a_small_file_that_unpacks_to_much_is_refused_soon() -> None:
    bomb = gzip.compress(b'{"segment":"messages","v":1}\n' + b" " * 20_000_000)
    reader = SegmentReader("messages")
    with pytest.raises(BadFrame, match="too long"):
        list(reader.feed(bomb))


def test_golden_vectors() -> None:
    golden = json.loads(VECTORS.read_text())
    messages = some_messages(3, seed=7)
    assert golden["name"] == str(name(1, 3)) and SegmentName.parse(golden["name"]) == name(1, 3)
    assert decode_segment("messages", bytes.fromhex(golden["messages"])) == messages
    assert decode_segment("marks", bytes.fromhex(golden["marks"])) == some_marks(messages)


def test_names_say_what_is_in_and_sort_as_they_are_read() -> None:
    names = [name(1, 2, marks=True), name(3, 9), name(1, 2), name(1, 1, term=2)]
    assert sorted(names) == [names[2], names[1], names[0], names[3]]
    assert [SegmentName.parse(str(each)) for each in names] == names
    for wrong in (str(name(1, 2)) + "x", str(name(1, 2)).replace("messages-", "notes-"), "/a", str(name(0, 2))):
        with pytest.raises(BadInput):
            SegmentName.parse(wrong)
    assert parse_names([("/.inos/messages/else", 1), (str(name(1, 2)), 5)]) == [Segment(name(1, 2), 5)]


@given(st.lists(st.integers(100, 3_000_000), min_size=1, max_size=150))
def test_however_many_are_written_few_are_left_and_nothing_is_missing(sizes: list[int]) -> None:
    segments: list[Segment] = []
    for number, size in enumerate(sizes, 1):
        segments.append(Segment(name(number, number), size))
        while (plan := plan_merge(segments, name(1, 1).folder)) is not None:
            into, parts = plan
            assert into.first == parts[0].name.first and into.last == parts[-1].name.last and len(parts) >= 2
            size = sum(each.size_bytes for each in parts)
            assert size <= MAX_MERGED_BYTES
            segments = [each for each in segments if each not in parts] + [Segment(into, size)]
    covered = Ranges()
    for each in segments:
        covered.add(each.name.first, each.name.last)
    assert covered.to_json() == [[1, len(sizes)]]
    full = sum(sizes) // (MAX_MERGED_BYTES // FAN_IN)
    assert len(segments) <= FAN_IN * 5 + full
    # Another folder is the current one now: this one is finished, and shrinks to what fits together.
    while (plan := plan_merge(segments, name(1, 1, term=2).folder)) is not None:
        into, parts = plan
        segments = [each for each in segments if each not in parts]
        segments.append(Segment(into, sum(each.size_bytes for each in parts)))
    assert len(segments) <= 2 * sum(sizes) // MAX_MERGED_BYTES + 1


def test_of_each_series_the_last_ends_it_and_the_shorter_of_two() -> None:
    names = [name(1, 3), name(4, 6), name(1, 6), name(1, 9, marks=True), name(1, 2, term=2), name(3, 3, term=2)]
    there = [Segment(each, 100 - size) for size, each in enumerate(names)]
    for order in itertools.permutations(there):
        assert [each.name for each in ends(order)] == [name(3, 3, term=2), name(1, 9, marks=True), name(4, 6)]
    assert ends([]) == []


def test_what_lies_within_another_is_superfluous() -> None:
    inner, outer, beside = Segment(name(2, 4), 1), Segment(name(1, 4), 1), Segment(name(5, 6), 1)
    other = Segment(name(2, 4, term=2), 1)
    assert superfluous([inner, outer, beside, other]) == [(inner, outer)]
    assert plan_merge([inner, outer], name(1, 1).folder) is None


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=30))
def test_ranges_are_sets(pairs: list[tuple[int, int]]) -> None:
    ranges, numbers = Ranges(), set()
    for first, more in pairs:
        ranges.add(first, first + more)
        numbers |= set(range(first, first + more + 1))
    again = Ranges.from_json(json.loads(json.dumps(ranges.to_json())))
    shown = again.to_json()
    assert {one for low, high in shown for one in range(low, high + 1)} == numbers
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(shown))
    for first, more in pairs:
        assert again.has(first, first + more)
    assert not again.has(1, 200)


def test_what_was_taken_in_survives_json() -> None:
    taken = TakenIn()
    taken.of("1-a/messages").add(1, 5)
    assert TakenIn.from_json(taken.to_json()).of("1-a/messages").has(2, 5)
    for wrong in (1, {"a": [[1]]}, {"a": [["x", 2]]}, {"a": 1}):
        with pytest.raises(BadInput):
            TakenIn.from_json(wrong)


def test_marks_that_are_none_are_refused() -> None:
    for wrong in (b"[]", b'{"id":"x","marks":{}}', b'{"id":1}', b"\xff"):
        with pytest.raises(BadInput):
            decode_marks(wrong)


def write_vectors() -> None:
    """Rewrites the golden vectors: only together with a new version of the format."""
    messages = some_messages(3, seed=7)
    VECTORS.parent.mkdir(exist_ok=True)
    VECTORS.write_text(
        json.dumps(
            {
                "name": str(name(1, 3)),
                "messages": pack_messages(messages).hex(),
                "marks": pack_marks(some_marks(messages)).hex(),
            },
            indent=1,
        )
        + "\n"
    )
