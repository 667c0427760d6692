"""A corpus that another machine keeps may be long in answering; the node has its threads for other things too."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import trio

from inos.core.env import RealEnv
from inos.core.messages.query import MessagePage, MessageQuery
from inos.messages.hub import Hub
from inos.messages.hub_memory import HubMemory
from inos.messages.sqlite_corpus import SqliteCorpus


class FarAway(SqliteCorpus):
    """Its queries are answered when `answers` is set. `most` ran side by side."""

    at_once = 3
    running = most = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path, bytes(32), RealEnv())
        self.answers = threading.Event()
        self.full = threading.Event()
        self._counting = threading.Lock()

    def query(self, query: MessageQuery) -> MessagePage:
        with self._counting:
            self.running += 1
            self.most = max(self.most, self.running)
            if self.running == self.at_once:
                self.full.set()
        assert self.answers.wait(20)
        with self._counting:
            self.running -= 1
        return super().query(query)


def test_calls_that_are_not_answered_leave_the_node_threads(tmp_path: Path) -> None:
    corpus = FarAway(tmp_path / "corpus.db")

    async def main() -> None:
        env = RealEnv()
        hub = Hub(corpus, cast("Any", None), HubMemory(cast("Any", None), corpus.identity, env), 1, env)
        hub._ready = True
        pages: list[MessagePage] = []

        async def ask() -> None:
            pages.append(await hub.query(MessageQuery()))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for _ in range(3 * env.THREADS):
                    nursery.start_soon(ask)
                assert await trio.to_thread.run_sync(corpus.full.wait, 20)
                assert await env.in_thread(lambda: "done meanwhile") == "done meanwhile"
                corpus.answers.set()
        assert len(pages) == 3 * env.THREADS and corpus.most == corpus.at_once
        await hub.close()

    trio.run(main)
