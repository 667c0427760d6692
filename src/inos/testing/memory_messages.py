"""What a node does with messages, over one corpus and no mesh: the node is the hub, an agent's cache is the corpus."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import trio

from inos.core.env import Env
from inos.core.errors import Conflict, Unavailable
from inos.core.messages.calls import Marked, MessageEvent, MessagesReport
from inos.core.messages.ids import TAIL_BYTES, MessageId, next_id
from inos.core.messages.marks import Mark, MarkName
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import Ack, Result
from inos.messages.corpus import Corpus

_PART = 100


class MemoryMessages:
    """`MessageCalls` on a corpus. A test may take the hub away (`reachable`), have it answer with less (`covered`,
    `whole`), and see what was executed."""

    def __init__(self, corpus: Corpus, env: Env) -> None:
        self.corpus = corpus
        self.reachable = True
        self.covered = self.whole = True
        self.hook = True
        self.executed: list[str] = []
        self._env = env
        self._last: MessageId | None = None
        self._news = trio.Event()

    async def sync(self, batch: Sequence[Message | Result], node: str, hub: str = "") -> Ack:
        """Into the corpus; results that are there already stay in their places."""
        del node
        self._check_reachable()
        if hub not in ("", self.corpus.identity):
            return Ack(self.corpus.identity, (), 0)
        messages = [each for each in batch if isinstance(each, Message)]
        stored = iter(await self._env.in_thread(self.corpus.insert, messages, self._now_ms()))
        results = tuple(next(stored) if isinstance(each, Message) else each for each in batch)
        self._tell()
        return Ack(self.corpus.identity, results, 0)

    async def post(self, drafts: Sequence[Draft]) -> list[Message]:
        """Straight into the corpus."""
        messages = []
        for draft in drafts:
            self._last = next_id(self._now_ms(), self._env.token_bytes(TAIL_BYTES), self._last)
            messages.append(draft.written(self._last, self._now_ms()))
        await self.sync(messages, "")
        return messages

    async def query(self, query: MessageQuery) -> MessagePage:
        """A page."""
        self._check_reachable()
        page = await self._env.in_thread(self.corpus.query, query)
        return replace(page, whole=self.whole)

    async def get(self, message_id: str) -> StoredMessage:
        """One message."""
        self._check_reachable()
        return await self._env.in_thread(self.corpus.get, message_id)

    async def mark(self, ids: Sequence[str], name: MarkName, on: bool, by: str) -> Marked:
        """Set a mark, or take it away."""
        self._check_reachable()
        marked = await self._env.in_thread(self.corpus.mark, ids, name, Mark(self._now_ms(), by, on))
        self._tell()
        return Marked(tuple(marked), self.covered)

    async def execute(self, message_id: str, by: str) -> Marked:
        """Write down that it was asked for."""
        if not self.hook:
            raise Conflict("no hook is configured for follow-up tasks", hint="name one in config/hub.yaml")
        await self.get(message_id)
        self.executed.append(message_id)
        return await self.mark([message_id], "executed", True, by)

    async def unread(self) -> int:
        """The counter."""
        self._check_reachable()
        return (await self._env.in_thread(self.corpus.stats)).unread

    async def events(self, after_seq: int | None) -> AsyncGenerator[MessageEvent, None]:
        """Messages and marks as they come."""
        self._check_reachable()
        stats = await self._env.in_thread(self.corpus.stats)
        return self._events(stats.last_seq if after_seq is None else after_seq, stats.last_mark_seq)

    async def _events(self, seq: int, mark_seq: int) -> AsyncGenerator[MessageEvent, None]:
        while self.reachable:
            news = self._news
            for stored in await self._env.in_thread(self.corpus.after, seq, _PART):
                seq = stored.seq
                yield MessageEvent("message", seq, stored.message.id, stored)
            for change in await self._env.in_thread(self.corpus.marks_after, mark_seq, _PART):
                mark_seq = change.mark_seq
                yield MessageEvent("marks", seq, change.id, None, change.marks)
            if (await self._env.in_thread(self.corpus.stats)).last_seq == seq:
                await news.wait()

    async def report(self) -> MessagesReport:
        """A hub without outboxes."""
        stats = await self._env.in_thread(self.corpus.stats)
        return MessagesReport(
            "hub", self.corpus.identity, "", self.reachable, stats.messages, stats.unread, 0, stats.last_seq, "sqlite"
        )

    async def take_hub(self) -> MessagesReport:
        """It is the hub."""
        return await self.report()

    def lose(self) -> None:
        """The hub is gone; streams end."""
        self.reachable = False
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _check_reachable(self) -> None:
        if not self.reachable:
            raise Unavailable("the hub cannot be reached", hint="messages are kept until it can")

    def _now_ms(self) -> int:
        return int(self._env.now_s() * 1000)
