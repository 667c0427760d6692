"""Segments of other hubs, taken into a corpus: all of them before a new hub serves, later ones when they turn up.

Order matters: terms as they came, then seqs, so that each agent's messages keep their order; marks last, because they
stay only on messages that are there. Names arrive in any order, so nothing is taken in before a majority was compared
with *after* its name was heard: what comes before it was safe before it was put, and so is known then. Nor is anything
behind a segment that cannot be read; only one that was waited for PATIENCE_S, in which enough nodes answered, is passed
over, and comes late when it turns up. What was taken in is noted after each segment, so that whoever is interrupted
goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Final

import trio

from inos.core.env import Env
from inos.core.errors import InosError, StorageFull, Unavailable
from inos.core.messages.message import Message
from inos.messages.corpus import Corpus
from inos.messages.hub_memory import HubMemory
from inos.messages.segment_store import SegmentStore
from inos.messages.segments import Segment, SegmentName, decode_marks

log = logging.getLogger(__name__)

# What no node can read for so long does not keep the others waiting.
PATIENCE_S: Final = 60.0
_BATCH: Final = 200
# Majorities asked in one round, while each knows of segments that the one before did not.
_LOOKS: Final = 8
_AWAY: Final = "inos peers shows who is away"
_AGAIN: Final = f"they are tried again; {_AWAY}"
_STILL_COMING: Final = "more of them are heard of all the time"
_TOO_FEW: Final = "too few nodes answer to know which messages the mesh keeps"


class Restoring:
    """Takes into one corpus what it lacks."""

    def __init__(self, corpus: Corpus, segments: SegmentStore, memory: HubMemory, env: Env) -> None:
        self._corpus = corpus
        self._segments = segments
        self._memory = memory
        self._env = env
        self._busy = trio.Lock()
        self._blocked_s: float | None = None
        self._why = ""
        self.missing = 0
        """Segments known and not taken in."""
        self.taken = 0
        """Segments taken in since the start."""
        self.passed = set(memory.covered.passed)
        """Segments that could not be read and were passed over."""

    async def step(self, *, sure: bool = False) -> None:
        """One round: everything that is known and not there, in order. Raises Unavailable when some of it cannot be
        read now and still keeps what follows waiting, or what comes before it cannot be known. `sure` of every segment
        that was safe before this began, or Unavailable."""
        async with self._busy:
            if not await self._segments.refresh(sure=sure) and sure:
                self._blocked_s = None
                raise Unavailable(_TOO_FEW, hint=_AWAY)
            await self._take_all(await self._without_gaps())

    async def _without_gaps(self) -> list[Segment]:
        """What is known and not there, once a majority had nothing to add to it."""
        seen = self._lacking(await self._segments.known())
        for _ in range(_LOOKS):
            if not seen:
                return []
            if not await self._segments.refresh(sure=True):
                self._blocked_s = None
                raise self._kept_waiting(seen, _TOO_FEW)
            # What was heard of meanwhile may follow something that is not known yet.
            there = self._lacking(await self._segments.known())
            if {each.name for each in there} <= {each.name for each in seen}:
                return there
            seen = there
        raise self._kept_waiting(seen, _STILL_COMING)

    def _kept_waiting(self, lacking: Sequence[Segment], why: str) -> Unavailable:
        self.missing, self._why = len(lacking), why
        return self._not_whole()

    async def latest_term(self) -> int:
        """The latest term in which another corpus put a segment that is known here; 0 where none is."""
        mine = self._corpus.identity
        return max((each.name.term for each in await self._segments.known() if each.name.corpus != mine), default=0)

    def check_whole(self) -> None:
        """Raises Unavailable where something is missing."""
        if self.missing:
            raise self._not_whole()

    def _not_whole(self) -> Unavailable:
        return Unavailable(f"{self.missing} segments of messages cannot be read now: {self._why}", hint=_AGAIN)

    async def _take_all(self, lacking: Sequence[Segment]) -> None:
        self.missing = len(lacking)
        for each in lacking:
            error = await self._take(each)
            if error is None:
                self.missing -= 1
                continue
            self._why = str(error)
            if each.name in self.passed:
                continue
            if not self._waited():
                self.check_whole()
            await self._pass(each.name)
            log.warning("%s cannot be read, what follows it waits no longer: %s", each.name, error)
        self._blocked_s = None

    async def _pass(self, name: SegmentName) -> None:
        """Remembered: when it turns up, after a restart too, its marks have been taken in without effect."""
        self.passed.add(name)
        self._memory.covered.passed.add(name)
        await self._memory.save()

    def _waited(self) -> bool:
        """Whether something has kept what follows it waiting for long enough."""
        now_s = self._env.monotonic_s()
        if self._blocked_s is None:
            self._blocked_s = now_s
        return now_s - self._blocked_s >= PATIENCE_S

    def _lacking(self, there: Iterable[Segment]) -> list[Segment]:
        taken = self._memory.covered.taken
        lacking = [each for each in there if not taken.of(each.name.series).has(*each.name.span)]
        return sorted(lacking, key=lambda each: (each.name.marks, each.name))

    async def _take(self, segment: Segment) -> InosError | None:
        """Take one in; why that was not possible."""
        name, taken = segment.name, self._memory.covered.taken
        if taken.of(name.series).has(*name.span):
            return None  # it lay within one before
        insert = self._insert_marks if name.marks else self._insert_messages
        try:
            async with aclosing(self._segments.lines(name)) as read:
                async for lines in read:
                    for start in range(0, len(lines), _BATCH):
                        await self._env.in_thread(insert, lines[start : start + _BATCH])
        except StorageFull:
            raise  # that is this node's own trouble: what follows would find no room either
        except InosError as error:
            return error
        taken.of(name.series).add(*name.span)
        late = {each for each in self._memory.covered.passed if _within(each, name)}
        if late and not name.marks:
            taken.forget_marks()  # those of its messages found nothing to stay on
        self._memory.covered.passed -= late
        self.taken += 1
        await self._memory.save()
        return None

    def _insert_messages(self, lines: Sequence[bytes]) -> None:
        self._corpus.insert([Message.decode(line) for line in lines], int(self._env.now_s() * 1000))

    def _insert_marks(self, lines: Sequence[bytes]) -> None:
        self._corpus.merge_marks([decode_marks(line) for line in lines])


def _within(inner: SegmentName, outer: SegmentName) -> bool:
    return inner.series == outer.series and outer.first <= inner.first and inner.last <= outer.last
