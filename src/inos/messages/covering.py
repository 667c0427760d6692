"""A hub's segments: what the mesh has not got yet is put there, many small ones become few large ones.

Rules. `covered` moves only when a segment is kept by a quorum, and one is put after the other, so that everything up to
it outlives this node. Marks are put after every message they are on. What a new corpus took out of the segments of
others is covered when the last of each series is kept by a quorum: whoever put it may not have got so far. A segment is
removed only when a larger one that holds all of it is kept by a quorum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from inos.core.env import Env
from inos.core.errors import InosError, NotEnoughNodes, StorageFull
from inos.core.messages.ids import MessageId
from inos.messages.corpus import Corpus
from inos.messages.hub_memory import HubMemory
from inos.messages.restoring import PATIENCE_S
from inos.messages.segment_store import SegmentStore
from inos.messages.segments import (
    MarkLine,
    Segment,
    SegmentName,
    SegmentWriter,
    ends,
    pack_marks,
    plan_merge,
    superfluous,
)

# Packed; a segment is read and written whole when it is merged, and put again whole when a put fails.
SEGMENT_BYTES: Final = 1 << 20
MARKS_IN_SEGMENT: Final = 5_000
_PAGE: Final = 500
# So much behind is put without waiting for the interval.
HURRY_MESSAGES: Final = 5_000


@dataclass(frozen=True, slots=True)
class _Pending:
    name: SegmentName
    packed: list[bytes]


class Covering:
    """The segments of one corpus in one term."""

    def __init__(self, corpus: Corpus, segments: SegmentStore, memory: HubMemory, term: int, env: Env) -> None:
        self._corpus = corpus
        self._segments = segments
        self._memory = memory
        self._term = term
        self._env = env
        self._busy = trio.Lock()
        self._pending: _Pending | None = None
        self._round = trio.Event()
        self._safe: set[SegmentName] = set()
        self._doubted_s = 0.0
        self.wake: Callable[[], None] = lambda: None
        """Called when a round is worth more than waiting for the next: the worker's poke."""

    @property
    def covered_seq(self) -> int:
        """Up to here messages outlive this node."""
        return self._memory.covered.seq

    @property
    def covered_mark_seq(self) -> int:
        """Up to here marks do."""
        return self._memory.covered.mark_seq

    def grown(self, last_seq: int) -> None:
        """To be told of new messages."""
        if last_seq - self.covered_seq >= HURRY_MESSAGES:
            self.wake()

    async def marks_covered(self, mark_seq: int, timeout_s: float) -> bool:
        """Put marks at once; whether they outlive this node when this returns. When the mesh cannot take them now they
        stay to be put later, and whoever waits is not kept."""
        with trio.move_on_after(timeout_s):
            for _ in range(2):  # a round that was under way may have begun before these marks
                if self.covered_mark_seq >= mark_seq:
                    break
                ended = self._round
                self.wake()
                await ended.wait()
        return self.covered_mark_seq >= mark_seq

    async def step(self) -> None:
        """One round: put what is new, then merge once. Raises NotEnoughNodes when the mesh could not take it."""
        async with self._busy:
            try:
                done = await self._put_all()
            finally:
                self._round.set()
                self._round = trio.Event()
            if not done:
                raise NotEnoughNodes(
                    "what is new on the hub is on this node's disk alone", hint="it is put again; inos peers"
                )
            await self._tidy()

    async def _put_all(self) -> bool:
        covered = self._memory.covered
        stats = await self._env.in_thread(self._corpus.stats)
        if any(covered.restored) and not await self._restored_is_safe():
            return False
        if self._pending is not None and not await self._put(self._pending):
            return False
        while covered.seq < stats.last_seq:
            if not await self._put(await self._env.in_thread(self._next_messages, stats.last_seq)):
                return False
        # Every message that was marked up to last_mark_seq has a seq of at most last_seq: it is in by now.
        while covered.mark_seq < stats.last_mark_seq:
            if not await self._put(await self._env.in_thread(self._next_marks, stats.last_mark_seq)):
                return False
        return True

    async def _restored_is_safe(self) -> bool:
        covered = self._memory.covered
        try:
            # Where the mesh can keep none of them, that shows at the smallest.
            for each in ends(await self._taken_in()):
                if not await self._is_safe(each.name):
                    return False
            covered.seq, covered.mark_seq = covered.restored
        except StorageFull:
            raise  # that is this node's own trouble
        except InosError:
            if not self._doubted_long_enough():
                return False
            # Nobody can read it any more, and what was in it is here: all of it is put again.
        covered.restored = (0, 0)
        await self._memory.save()
        return True

    def _doubted_long_enough(self) -> bool:
        now_s = self._env.monotonic_s()
        self._doubted_s = self._doubted_s or now_s
        return now_s - self._doubted_s >= PATIENCE_S

    async def _is_safe(self, name: SegmentName) -> bool:
        if name not in self._safe and await self._segments.safe(name):
            self._safe.add(name)
        return name in self._safe

    async def _taken_in(self) -> list[Segment]:
        """The segments there are, but for what this corpus has not taken in yet: that is left as it is."""
        taken = self._memory.covered.taken
        return [each for each in await self._segments.known() if taken.of(each.name.series).has(*each.name.span)]

    async def _put(self, pending: _Pending) -> bool:
        """Put one and note it. What did not reach a quorum is put again, the same, before anything else."""
        self._pending = pending
        name, covered = pending.name, self._memory.covered
        covered.taken.of(name.series).add(*name.span)  # it came from here, and need not be taken in
        if not await self._segments.put(name, pending.packed):
            return False
        self._pending = None
        if name.marks:
            covered.mark_seq = max(covered.mark_seq, name.last)
        else:
            covered.seq = max(covered.seq, name.last)
        self._safe.add(name)
        await self._memory.save()
        return True

    def _next_messages(self, until: int) -> _Pending:
        first = seq = self.covered_seq + 1
        writer = SegmentWriter("messages")
        packed, size = [writer.begin()], 0
        while seq <= until and size < SEGMENT_BYTES:
            page = self._corpus.after(seq - 1, min(_PAGE, until - seq + 1))
            assert page, "a corpus has every seq up to its last"
            packed.append(b"".join(writer.message(each.message) for each in page))
            size, seq = size + len(packed[-1]), page[-1].seq + 1
        return _Pending(self._named(False, first, seq - 1), [*packed, writer.end()])

    def _next_marks(self, until: int) -> _Pending:
        first, at = self.covered_mark_seq + 1, self.covered_mark_seq
        here: list[MarkLine] = []
        while at < until:
            page = self._corpus.marks_after(at, _PAGE)
            # What changed again since `until` was read is put with that later change.
            here += [(MessageId(each.id), each.marks) for each in page if each.mark_seq <= until]
            at = min(page[-1].mark_seq, until) if page else until
            if len(here) >= MARKS_IN_SEGMENT:
                break
        return _Pending(self._named(True, first, at), [pack_marks(here)])

    def _named(self, marks: bool, first: int, last: int) -> SegmentName:
        return SegmentName(self._term, self._corpus.identity, marks, first, last)

    async def _tidy(self) -> None:
        """Merge some, remove what lies within others."""
        taken, there = self._memory.covered.taken, await self._taken_in()
        current = SegmentName(self._term, self._corpus.identity, False, 1, 1).folder
        plan = plan_merge(there, current)
        if plan is not None:
            into, parts = plan
            if await self._segments.merge(into, parts):
                self._safe = {into}
                taken.of(into.series).add(*into.span)
                await self._memory.save()
                await self._segments.remove(each.name for each in parts)
            return
        for inner, outer in superfluous(there):
            if await self._is_safe(outer.name):
                await self._segments.remove([inner.name])
