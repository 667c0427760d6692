"""Segments of other hubs, taken into a corpus: all of them before a new hub serves, later ones when they turn up.

Order matters: terms as they came, then seqs, so that each agent's messages keep their order; marks last, because they
stay only on messages that are there. What was taken in is noted after each segment, so that whoever is interrupted
goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Final

import trio

from inos.core.env import Env
from inos.core.errors import InosError, Unavailable
from inos.core.messages.message import Message
from inos.messages.corpus import Corpus
from inos.messages.hub_memory import HubMemory
from inos.messages.segment_store import SegmentStore
from inos.messages.segments import Segment, decode_marks

_BATCH: Final = 200


class Restoring:
    """Takes into one corpus what it lacks."""

    def __init__(self, corpus: Corpus, segments: SegmentStore, memory: HubMemory, env: Env) -> None:
        self._corpus = corpus
        self._segments = segments
        self._memory = memory
        self._env = env
        self._busy = trio.Lock()
        self.missing = 0
        """Segments known and not taken in."""
        self.taken = 0
        """Segments taken in since the start."""

    async def step(self, *, in_order: bool = False) -> None:
        """One round: everything that is known and not there. Raises Unavailable when some of it cannot be read now;
        the rest is in, but `in_order` nothing behind it."""
        async with self._busy:
            if not await self._segments.refresh() and in_order:
                raise Unavailable(
                    "too few nodes answer to know which messages the mesh keeps", hint="inos peers shows who is away"
                )
            lacking = self._lacking(await self._segments.known())
            self.missing = len(lacking)
            errors: list[InosError] = []
            for each in lacking:
                error = await self._take(each)
                if error is None:
                    self.missing -= 1
                    continue
                errors.append(error)
                if in_order:
                    break
        if errors:
            raise Unavailable(
                f"{len(errors)} segments of messages cannot be read now: {errors[0]}",
                hint="they are tried again; inos peers shows who is away",
            )

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
        except InosError as error:
            return error
        taken.of(name.series).add(*name.span)
        self.taken += 1
        await self._memory.save()
        return None

    def _insert_messages(self, lines: Sequence[bytes]) -> None:
        self._corpus.insert([Message.decode(line) for line in lines], int(self._env.now_s() * 1000))

    def _insert_marks(self, lines: Sequence[bytes]) -> None:
        self._corpus.merge_marks([decode_marks(line) for line in lines])
