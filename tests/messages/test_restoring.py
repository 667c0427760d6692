"""In which order segments are taken in while their names are still coming, and what is not taken in at all."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import pytest
import trio

from inos.core.errors import BadInput, Unavailable
from inos.messages.hub_memory import Covered, HubMemory, decode_covered
from inos.messages.restoring import PATIENCE_S, Restoring
from inos.messages.segments import Segment, SegmentName
from inos.testing.env import SimEnv
from inos.testing.run import sim_test, trio_test

_UUID = "01890a5d-ac96-774b-bcce-b302099a8057"


class Coming:
    """Segments without lines; each look at a majority brings the names of one more batch, for ever after the last."""

    def __init__(self, *batches: Sequence[SegmentName], answers: bool = True) -> None:
        self._batches = list(batches)
        self._known = list(self._batches.pop(0))
        self.answers = answers
        self.read: list[SegmentName] = []
        self.unreadable: set[SegmentName] = set()

    async def refresh(self, *, sure: bool) -> bool:
        if sure and self._batches:
            self._known += self._batches.pop(0)
        return self.answers

    async def known(self) -> list[Segment]:
        return [Segment(name, 1) for name in sorted(self._known)]

    async def lines(self, name: SegmentName) -> AsyncGenerator[list[bytes], None]:
        if name in self.unreadable:
            raise Unavailable("nobody has it")
        self.read.append(name)
        yield []


class Kept:
    """Settings that hold nothing."""

    def get(self, key: str) -> None:
        del key

    def put(self, changes: dict[str, bytes]) -> None:
        del changes


def name(term: int, first: int, *, marks: bool = False, last: int = 0) -> SegmentName:
    return SegmentName(term, f"{term:032x}", marks, first, last or first + 2)


def restoring(segments: Coming) -> Restoring:
    env = SimEnv(1)
    memory = HubMemory(cast("Any", Kept()), "one", env)
    return Restoring(cast("Any", None), cast("Any", segments), memory, env)


@pytest.mark.parametrize(
    ("heard", "then"),
    [
        ([name(2, 1, marks=True)], [name(2, 1)]),
        ([name(2, 1)], [name(1, 1)]),
        ([name(2, 4)], [name(2, 1)]),
    ],
    ids=["marks before their messages", "a later term first", "the second before the first"],
)
@trio_test
async def test_what_is_heard_of_last_is_taken_in_where_it_belongs(
    heard: list[SegmentName], then: list[SegmentName]
) -> None:
    segments = Coming(heard, then)
    await restoring(segments).step()
    assert segments.read == [*then, *heard]


@trio_test
async def test_a_longer_segment_that_replaces_a_known_one_is_waited_for() -> None:
    segments = Coming([name(1, 4)], [name(1, 1, last=6), name(1, 7)], [name(1, 10)])
    await restoring(segments).step()
    assert segments.read == [name(1, 1, last=6), name(1, 7), name(1, 10)]


@trio_test
async def test_nothing_is_taken_in_while_names_keep_coming_or_too_few_answer() -> None:
    for segments in (
        Coming(*([name(1, 3 * number + 1)] for number in range(50))),
        Coming([name(1, 1)], answers=False),
    ):
        one = restoring(segments)
        with pytest.raises(Unavailable):
            await one.step()
        assert segments.read == [] and one.missing > 0


@trio_test
async def test_what_too_few_answered_for_is_taken_in_when_enough_do() -> None:
    segments = Coming([name(1, 4)], [name(1, 1)], answers=False)
    one = restoring(segments)
    for sure in (False, True):
        with pytest.raises(Unavailable):
            await one.step(sure=sure)
    segments.answers = True
    await one.step()
    assert segments.read == [name(1, 1), name(1, 4)] and one.missing == 0


@sim_test
async def test_the_minute_for_what_cannot_be_read_passes_while_enough_nodes_answer() -> None:
    """Who was cut off and has just met the others has not met whoever has it yet."""
    segments = Coming([name(1, 1), name(1, 4)])
    segments.unreadable.add(name(1, 1))
    one = restoring(segments)
    for answers, rest_s in ((True, 20), (False, 100), (True, PATIENCE_S - 1), (True, 2)):
        segments.answers = answers
        with pytest.raises(Unavailable):
            await one.step()
        await trio.sleep(rest_s)
    assert segments.read == []
    await one.step()
    assert segments.read == [name(1, 4)] and one.passed == {name(1, 1)}


def test_a_hub_remembers_what_it_noted_and_what_an_older_release_did() -> None:
    covered = Covered(7, 3, True, True, 4, (5, 2), {SegmentName(1, _UUID, False, 1, 3)})
    covered.taken.of("one").add(1, 5)
    read = decode_covered(covered.encode())
    assert read.encode() == covered.encode() and read.passed == covered.passed and read.restored == (5, 2)
    older = b'{"v": 1, "seq": 7, "mark_seq": 3, "restoring": false, "handed_on": true, "taken": {"one": [[1, 5]]}}'
    assert decode_covered(older).encode() == Covered(7, 3, handed_on=True, taken=covered.taken).encode()


@pytest.mark.parametrize(
    "wrong", ['"restored": [1]', '"restored": [1, -1]', '"passed": ["x"]', '"passed": 5', '"v": 2']
)
def test_a_memory_of_something_else_is_refused(wrong: str) -> None:
    with pytest.raises(BadInput):
        decode_covered(Covered().encode()[:-1] + f", {wrong}}}".encode())
