"""A hub at work on one node: its corpus, what it puts into the mesh and takes from there, and whoever waits for news.

    opened -> restores what earlier hubs put into the mesh -> serves -> steps down -> hands on what the mesh has not got

Nothing is served before everything is in, so that no agent's message overtakes an earlier one. Times of marks are made
here, each later than the one it follows whatever the clock does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, TypeVar, TypeVarTuple

import trio

from inos.core.env import Env
from inos.core.errors import BadInput, InosError, NotFound, Unavailable
from inos.core.messages.calls import Marked, MessageEvent
from inos.core.messages.marks import Mark, MarkName, Marks
from inos.core.messages.message import Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.shares import Room
from inos.core.messages.sync import MAX_BATCH, Ack, Result
from inos.messages.corpus import Corpus, CorpusStats
from inos.messages.covering import Covering
from inos.messages.hub_memory import HubMemory
from inos.messages.indexing import Pacing
from inos.messages.restoring import PATIENCE_S, Restoring
from inos.messages.segment_store import SegmentStore

# Batches that wait for the disk: 64 of 500 messages are seconds of it. An agent over its share is told to come later.
MAX_WAITING: Final = 64
MAX_MARKED: Final = 1_000
MAX_EVENTS: Final = 100
MARKS_PATIENCE_S: Final = 5.0
_INDEX: Final = 500

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a corpus has come: of messages and of changes of marks."""

    seq: int
    mark_seq: int


class Hub:
    """One node's hub. `open_hub` makes one; it serves once `ready`."""

    def __init__(self, corpus: Corpus, segments: SegmentStore, memory: HubMemory, term: int, env: Env) -> None:
        self.corpus = corpus
        self.term = term
        self.memory = memory
        self.covering = Covering(corpus, segments, memory, term, env)
        self.restoring = Restoring(corpus, segments, memory, env)
        self.bytes_per_s = 0.0
        """How fast the corpus grew between the last two rounds."""
        self._measured: tuple[float, int] | None = None
        self._env = env
        self._ready = False
        self._closed = self._retired = False
        self._opened_s = env.monotonic_s()
        self._looking = trio.Lock()
        self._asked = self._looked = 0
        self._look_failed: InosError | None = None
        self._room = Room(MAX_WAITING, "batches wait for the disk of the hub")
        self._running = 0
        self._idle = trio.Event()
        self._marking = trio.Lock()
        self._moved = trio.Event()
        self._pacing = Pacing(corpus.index_from)
        self._turns = trio.Semaphore(corpus.at_once) if corpus.at_once else nullcontext()

    # Life

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self._ready and not self._retired

    @property
    def identity(self) -> str:
        return self.corpus.identity

    async def restore(self) -> int:
        """Take in what earlier hubs left, then serve: 0. Or the term of one that is not behind this one's: what this
        hub puts would be read before what it has taken in, so it is to begin again in a later term. Raises what keeps
        it from that; to be tried again, for as long as it takes. One that had everything in this term once waits
        PATIENCE_S: what was covered since then comes late, as it does while it serves."""
        if self._ready:
            return 0
        covered = self.memory.covered
        try:
            await self.restoring.step(sure=True)
        except Unavailable:
            if covered.whole_term != self.term or self._env.monotonic_s() - self._opened_s <= PATIENCE_S:
                raise
        if (term := await self.restoring.latest_term()) >= self.term:
            return term
        if covered.restoring:
            # All of it came out of segments: where these are safe, none of it needs to be put again.
            stats = await self._stats()
            covered.restored = stats.last_seq, stats.last_mark_seq
            self.covering.wake()
        covered.restoring = covered.handed_on = False
        covered.whole_term = self.term
        await self.memory.save()
        self._ready = True
        return 0

    async def step(self) -> None:
        """One round of putting segments, and of taking in those that turned up."""
        if self.ready:
            try:
                await self._measure()
                await self.covering.step()
            finally:
                await self.restoring.step()
            self.restoring.check_whole()

    async def _measure(self) -> None:
        now_s, used_bytes = self._env.monotonic_s(), (await self._stats()).used_bytes
        before_s, before_bytes = self._measured or (now_s, used_bytes)
        if now_s - before_s >= 1 or self._measured is None:
            self.bytes_per_s = max(0, used_bytes - before_bytes) / max(1.0, now_s - before_s)
            self._measured = now_s, used_bytes

    async def index(self) -> bool:
        """Index some messages for searching, when it is time to; whether there may be more to do."""
        if not self.ready or not self._pacing.is_due(await self._stats(), self._env.monotonic_s()):
            return False
        most = max(_INDEX, self.corpus.index_from)
        return await self._in_thread(self.corpus.index_step, most) > 0

    def retire(self) -> None:
        """Serve nothing more; the corpus stays open to be handed on."""
        self._retired = True
        self._tell()

    async def quiet(self) -> None:
        """Wait until what runs on the corpus has ended: once it is retired, nothing is written after that."""
        while self._running:
            if self._idle.is_set():
                self._idle = trio.Event()
            await self._idle.wait()

    async def close(self) -> None:
        """Serve nothing more, let what runs finish, close the corpus."""
        self.retire()
        self._closed = True
        await self.quiet()
        await self._env.in_thread(self.corpus.close)

    # Serving

    async def sync(self, messages: Sequence[Message], expected: str) -> Ack:
        """Store a batch that was meant for the hub called `expected`, "" for any. Raises StorageFull, Busy."""
        self.check_ready()
        if expected not in ("", self.identity):
            await self._look_again()
            return Ack(self.identity, (), self.covering.covered_seq)
        if len(messages) > MAX_BATCH:
            raise BadInput(f"a batch has at most {MAX_BATCH} messages, not {len(messages)}")
        # Several agents in a batch: what came one by one and met on the way.
        agents = {each.agent for each in messages}
        who = agents.pop() if len(agents) == 1 else ""
        self._room.take(who)
        try:
            results = await self._in_thread(self._insert, messages) if messages else []
        finally:
            self._room.give(who)
        if any(each.fate == "stored" for each in results):
            self.covering.grown(max(each.seq for each in results))
            self._tell()
        return Ack(self.identity, tuple(results), self.covering.covered_seq)

    def _insert(self, messages: Sequence[Message]) -> list[Result]:
        return self.corpus.insert(messages, int(self._env.now_s() * 1000))

    async def _look_again(self) -> None:
        """Whoever comes from another hub has messages covered there: those are to be in before what follows them. One
        look serves all who asked before it began, and nobody else."""
        self._asked += 1
        number = self._asked
        async with self._looking:
            if self._looked < number:
                asked, self._look_failed = self._asked, None
                try:
                    await self.restoring.step(sure=True)
                except InosError as error:
                    self._look_failed = error
                self._looked = asked
            failed = self._look_failed
        if failed is not None:
            raise failed.again()

    async def mark(self, ids: Sequence[str], name: MarkName, on: bool, by: str) -> Marked:
        """Set or take away a mark; it is on this disk when this returns, and outlives this node where the answer says
        so: that is waited for, MARKS_PATIENCE_S at most."""
        self.check_ready()
        if not 1 <= len(ids) <= MAX_MARKED:
            raise BadInput(f"1 to {MAX_MARKED} messages are marked at once, not {len(ids)}")
        async with self._marking:
            self.check_ready()
            marked = await self._in_thread(self._mark, ids, name, on, by)
            stats = await self._stats()
        self._tell()
        return Marked(tuple(marked), await self.covering.marks_covered(stats.last_mark_seq, MARKS_PATIENCE_S))

    def _mark(self, ids: Sequence[str], name: MarkName, on: bool, by: str) -> list[StoredMessage]:
        known = [self.corpus.get(each).marks.marks.get(name) for each in ids]
        now_ms = int(self._env.now_s() * 1000)
        time_ms = max([now_ms, *(mark.time_ms + 1 for mark in known if mark is not None)])
        return self.corpus.mark(ids, name, Mark(time_ms, by, on))

    async def merge(self, changes: Sequence[tuple[str, Marks]], expected: str) -> list[str] | None:
        """Merge marks made on a hub before, meant for the hub called `expected`, "" for any; the ids of those whose
        messages are not here. None: they were meant for another one, and are not merged."""
        self.check_ready()
        if expected not in ("", self.identity):
            await self._look_again()
            return None
        missing = await self._in_thread(self._merge, changes)
        stats = await self._stats()
        self._tell()
        await self.covering.marks_covered(stats.last_mark_seq, MARKS_PATIENCE_S)
        return missing

    def _merge(self, changes: Sequence[tuple[str, Marks]]) -> list[str]:
        self.corpus.merge_marks(changes)
        return [each for each, _ in changes if not self._has(each)]

    def _has(self, message_id: str) -> bool:
        try:
            self.corpus.get(message_id)
        except NotFound:
            return False
        return True

    async def query(self, query: MessageQuery) -> MessagePage:
        self.check_ready()
        return await self._in_thread(self.corpus.query, query)

    async def get(self, message_id: str) -> StoredMessage:
        self.check_ready()
        return await self._in_thread(self.corpus.get, message_id)

    async def stats(self) -> CorpusStats:
        self.check_ready()
        return await self._stats()

    async def position(self) -> Position:
        """How far it has come."""
        stats = await self.stats()
        return Position(stats.last_seq, stats.last_mark_seq)

    async def news(self, after: Position, most: int = MAX_EVENTS) -> tuple[list[MessageEvent], Position]:
        """What happened behind `after`, at most `most` of each kind, and where that ends."""
        self.check_ready()
        return await self._in_thread(self._news, after, most)

    def _news(self, after: Position, most: int) -> tuple[list[MessageEvent], Position]:
        stored = self.corpus.after(after.seq, most)
        seq = stored[-1].seq if stored else after.seq
        changes = self.corpus.marks_after(after.mark_seq, most)
        events = [MessageEvent("message", each.seq, each.message.id, stored=each) for each in stored]
        events += [MessageEvent("marks", seq, each.id, marks=each.marks) for each in changes]
        return events, Position(seq, changes[-1].mark_seq if changes else after.mark_seq)

    async def moved(self, behind: Position, wait_s: float) -> Position:
        """Where it is now, once that is beyond `behind` or `wait_s` have passed."""
        with trio.move_on_after(wait_s):
            while True:
                moved, position = self._moved, await self.position()
                if position != behind:
                    return position
                await moved.wait()
        return await self.position()

    async def events(self, after_seq: int | None) -> AsyncGenerator[MessageEvent, None]:
        """What happens from now on, or behind `after_seq`; ends when this node is the hub no more. Raises
        Unavailable when it is not now."""
        now = await self.position()
        return self._events(now if after_seq is None else Position(min(after_seq, now.seq), now.mark_seq))

    async def _events(self, at: Position) -> AsyncGenerator[MessageEvent, None]:
        while self.ready:
            moved = self._moved
            events, at = await self.news(at)
            for event in events:
                yield event
            if not events:
                await moved.wait()

    def check_ready(self) -> None:
        """Raises Unavailable unless it serves."""
        if self._retired:
            raise Unavailable("this node is the hub no more", hint="ask again: the new one is known in a moment")
        if not self.ready:
            raise Unavailable(
                "the hub is taking over and reads what the mesh keeps of the one before",
                hint="it will be there in a moment; what you write now is kept and sent then",
            )

    def _tell(self) -> None:
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    async def _stats(self) -> CorpusStats:
        return await self._in_thread(self.corpus.stats)

    async def _in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run `work` on the corpus, which stays open meanwhile."""
        if self._closed:
            raise Unavailable("this node is the hub no more", hint="ask again: the new one is known in a moment")
        self._running += 1
        try:
            async with self._turns:
                return await self._env.in_thread(work, *args)
        finally:
            self._running -= 1
            self._idle.set()


async def open_hub(corpus: Corpus, segments: SegmentStore, memory: HubMemory, term: int, env: Env) -> Hub:
    """The hub of a corpus that was opened; not ready yet."""
    stats = await env.in_thread(corpus.stats)
    await memory.load(fresh=not stats.last_seq)
    return Hub(corpus, segments, memory, term, env)
