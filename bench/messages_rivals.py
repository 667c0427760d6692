"""Messages beside JetStream, Redis streams and PostgreSQL: one at a time, and in batches of 500, in turns on one disk.

Ours are an agent's append (message and outbox row, synced, encrypted) and a hub's insert (indexed by agent, task, role,
kind, recipient and time, synced, encrypted); each in this process, as the rivals' servers are in theirs, so that what
differs is stated and not hidden: they pay for a socket, we pay for indices and the cipher. What a rival's
acknowledgement means stands in its name: `synced` is on the disk, `kept` outlives the process only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.context import Context, say
from bench.message_rivals import Rival, Taker, rivals
from bench.messages_local import AGENT, KEY, LIMITS, content
from bench.rows import HIGHER, LOWER, Baseline, Row, percentile
from inos.core.env import RealEnv
from inos.core.messages.ids import next_id
from inos.core.messages.message import Draft, Message, canonical
from inos.messages.cache import AgentCache
from inos.messages.sqlite_corpus import SqliteCorpus

PART: Final = "messages-rivals"
BATCH: Final = 500
ROUND: Final = 100  # singles of one program before the next has its turn, so that a noisy minute hits all of them


def run(context: Context) -> list[Row]:
    """Rows of ours, each beside every rival that is installed."""
    singles, batches = (500, 5) if context.quick else (3_000, 20)
    with ExitStack() as stack:
        folder = context.fresh("rivals")
        takers: dict[str, Taker] = {"append": _Cache(folder, stack), "hub insert": _Hub(folder, stack)}
        for rival in rivals():
            if rival.start is None:
                say(f"{rival.name} is not installed and is left out")
                continue
            say(f"starting {rival.name}")
            takers[_name(rival)] = stack.enter_context(rival.start(folder / str(len(takers))))
        one = _turns(takers, singles, _one)
        many = _turns(takers, batches, _many)
    return [*_rows("append", one, many), *_rows("hub insert", one, many)]


def _name(rival: Rival) -> str:
    return f"{rival.name} ({rival.acknowledged})"


def _turns(takers: dict[str, Taker], count: int, measure: Callable[[Taker, int], float]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in takers}
    for first in range(0, count, ROUND):
        for name, taker in takers.items():
            times[name] += [measure(taker, number) for number in range(first, min(first + ROUND, count))]
    return times


def _one(taker: Taker, number: int) -> float:
    """Milliseconds of one message."""
    message = canonical("message", content(number))
    began = time.perf_counter()
    taker.one(message)
    return (time.perf_counter() - began) * 1000


def _many(taker: Taker, number: int) -> float:
    """Messages a second of one batch."""
    messages = [canonical("message", content(number * BATCH + each)) for each in range(BATCH)]
    began = time.perf_counter()
    taker.many(messages)
    return BATCH / (time.perf_counter() - began)


def _rows(ours: str, one: dict[str, list[float]], many: dict[str, list[float]]) -> list[Row]:
    rows = []
    for rival in [name for name in one if name not in ("append", "hub insert")]:
        for share in (0.5, 0.99):
            value = percentile(one[ours], share)
            baseline = Baseline(rival, percentile(one[rival], share))
            rows.append(Row(PART, f"{ours}: p{share * 100:.0f}", value, "ms", LOWER, (value,), baseline))
        rate = percentile(many[ours], 0.5)
        baseline = Baseline(rival, percentile(many[rival], 0.5))
        rows.append(Row(PART, f"{ours}, batches of {BATCH}", rate, "messages/s", HIGHER, tuple(many[ours]), baseline))
    return rows


class _Cache:
    """An agent's cache as a taker."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._cache = AgentCache(folder / "cache.db", KEY, AGENT, RealEnv(), limits=LIMITS)
        stack.callback(self._cache.close)

    def one(self, message: bytes) -> None:
        self._cache.append(Draft(AGENT, message.decode()))

    def many(self, messages: Sequence[bytes]) -> None:
        self._cache.append_many([Draft(AGENT, each.decode()) for each in messages])


class _Hub:
    """A hub's corpus as a taker."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._env = RealEnv()
        self._corpus = SqliteCorpus(folder / "corpus.db", KEY, self._env)
        self._last = next_id(int(self._env.now_s() * 1000), os.urandom(10), None)
        stack.callback(self._corpus.close)

    def one(self, message: bytes) -> None:
        self.many([message])

    def many(self, messages: Sequence[bytes]) -> None:
        now_ms = int(self._env.now_s() * 1000)
        made = []
        for each in messages:
            self._last = next_id(now_ms, os.urandom(10), self._last)
            made.append(Message(self._last, now_ms, AGENT, each.decode(), task="t"))
        self._corpus.insert(made, now_ms)
