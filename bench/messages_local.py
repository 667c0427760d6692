"""Messages on the agent's side: what an append takes at each level of durability, how fast a backlog drains, what a
search and a query take.

Appends are one at a time, from one thread, each synced before the next, beside a bare write and sync of 8 KiB over a
file that is there already, taken in turn with them: on a disk that others use too, the difference is what is ours. What
the same disk takes for one page of 4 KiB, in place and at the end of a growing file, stands beside.
Draining is into a hub's real corpus in the same process, so both sides share the processor; the network is not in it.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio

from bench.context import Context, say
from bench.rows import HIGHER, LOWER, Baseline, Row, percentile
from inos.core.env import RealEnv
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessageQuery
from inos.core.messages.sync import Ack, Result, decode_batch
from inos.messages import open_agent
from inos.messages.cache import AgentCache, CacheLimits
from inos.messages.config import AgentSettings
from inos.messages.sender import Sender
from inos.messages.sending import batch_body
from inos.messages.sqlite_corpus import SqliteCorpus

PART: Final = "messages-local"
AGENT: Final = "bench"
KEY: Final = bytes(range(32))
LIMITS: Final = CacheLimits(4_000_000_000)
SYNCED_BYTES: Final = 8192
P50_TARGET_MS: Final = 0.2
P99_TARGET_MS: Final = 1.0
DRAIN_TARGET: Final = 5_000.0
WORDS: Final = ("river", "bank", "apples", "pears", "mesh", "node", "hub", "agent", "lead", "report", "found", "page")


def content(number: int) -> dict[str, Any]:
    """Some 400 bytes, as agents write."""
    chosen = [WORDS[(number * 7 + n * n) % len(WORDS)] for n in range(50)]
    return {"number": number, "text": " ".join(chosen), "score": number / 7}


def run(context: Context) -> list[Row]:
    """Rows for appends, draining and reading."""
    count = 1_000 if context.quick else 5_000
    rows: list[Row] = []
    for durability in ("disk", "process"):
        say(f"{count} appends, durability {durability}")
        rows += _appends(context.fresh("appends"), count, durability)
    say(f"{count} appends through an open agent whose hub is away")
    rows += _appends_of_agent(context.fresh("agent"), count)
    backlog = 20_000 if context.quick else 100_000
    say(f"a backlog of {backlog} messages")
    return rows + _backlog(context.fresh("backlog"), backlog)


def _appends(folder: Path, count: int, durability: str) -> list[Row]:
    cache = AgentCache(folder / "c.db", KEY, AGENT, RealEnv(), limits=LIMITS, synced=durability == "disk")
    cache.prepare_log()
    bare = _BareSync(folder / "bare")
    page, growing = _BareSync(folder / "page", 4096), _BareSync(folder / "growing", 4096, 0)
    times, bares, pages, grown, began_cpu = [], [], [], [], time.process_time()
    for number in range(count):
        times.append(_ms(lambda: cache.append(Draft(AGENT, content(number), task="t"))))  # noqa: B023
        if number % 5 == 0:
            bares.append(bare.once())
        if durability == "disk" and number % 10 == 0:
            pages.append(page.once())
            grown.append(growing.once())
        if number % 500 == 499:
            cache.upkeep()
    cpu_ms = (time.process_time() - began_cpu) * 1000 / count
    cache.close()
    for each in (bare, page, growing):
        each.close()
    synced = durability == "disk"
    said = f"append, {'synced' if synced else 'not synced: durable when the process dies'}"
    named = {"in place": pages, "at the end of a growing file": grown} if synced else {}
    return [
        *_percentiles(said, times, bares if synced else None),
        *(
            Row(PART, f"bare write and sync of 4 KiB, {where}: p50", percentile(each, 0.5), "ms", LOWER, tuple(each))
            for where, each in named.items()
        ),
        Row(PART, f"{said}: processor time", cpu_ms, "ms", LOWER, (cpu_ms,), note="bare syncs and upkeep included"),
    ]


def _appends_of_agent(folder: Path, count: int) -> list[Row]:
    settings, bare, bares, times = AgentSettings(max_bytes=LIMITS.max_bytes), _BareSync(folder / "bare"), [], []
    with open_agent(AGENT, home=folder, settings=settings, linger_s=0.0) as agent:
        for number in range(count):
            times.append(_ms(lambda: agent.append(content(number), task="t")))  # noqa: B023
            if number % 5 == 0:
                bares.append(bare.once())
    bare.close()
    return _percentiles("append by an open agent, synced, its hub away", times, bares)


def _percentiles(name: str, times: list[float], bares: list[float] | None) -> list[Row]:
    rows = []
    for share, target in ((0.5, P50_TARGET_MS), (0.95, None), (0.99, P99_TARGET_MS)):
        baseline = Baseline("bare write and sync", percentile(bares, share)) if bares else None
        value = percentile(times, share)
        rows.append(Row(PART, f"{name}: p{share * 100:.0f}", value, "ms", LOWER, (value,), baseline, target))
    return rows


class _BareSync:
    """Writing over a part of a file, or behind its end, and syncing it: what no durable append can do without."""

    def __init__(self, path: Path, size_bytes: int = SYNCED_BYTES, there_bytes: int = 4 << 20) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.write(self._file, bytes(there_bytes))
        os.fsync(self._file)
        self._size, self._there, self._at = size_bytes, there_bytes, 0

    def once(self) -> float:
        self._at += self._size
        if self._there:
            self._at %= self._there
        return _ms(self._write)

    def _write(self) -> None:
        os.pwrite(self._file, bytes(self._size), self._at)
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


class CorpusDoor:
    """A hub's corpus in this process as what a sender sends to."""

    def __init__(self, corpus: SqliteCorpus, env: RealEnv) -> None:
        self._corpus = corpus
        self._env = env

    async def send(self, batch: bytes, count: int) -> Ack:
        """Decode, store, synced."""
        del count
        received = await self._env.in_thread(decode_batch, batch)
        messages = [each for each in received.messages if isinstance(each, Message)]
        results = await self._env.in_thread(self._corpus.insert, messages, int(self._env.now_s() * 1000))
        return Ack(self._corpus.identity, tuple(results), results[-1].seq)


def _filled(path: Path, count: int, env: RealEnv) -> AgentCache:
    cache = AgentCache(path, KEY, AGENT, env, limits=LIMITS)
    for first in range(0, count, 500):
        numbers = range(first, first + 500)
        cache.append_many([Draft(AGENT, content(number), task=f"t{number % 100}") for number in numbers])
    return cache


def _agent_side(path: Path, env: RealEnv) -> Row:
    """What draining costs an agent: reading, putting together, packing, and writing down what the hub answered."""
    count, place = 10_000, 0
    cache = _filled(path, count, env)
    began_cpu = time.process_time()
    while batch := cache.outbox.take():
        gzip.compress(batch_body("b", "n", cache.outbox.hub, batch), 1, mtime=0)
        results = tuple(Result(each.id, "stored", place + number) for number, each in enumerate(batch, 1))
        place += len(batch)
        cache.outbox.settle(batch, Ack("hub", results, 0), 0)
    cpu_us = (time.process_time() - began_cpu) * 1e6 / count
    cache.close()
    return Row(PART, "draining, the agent's side: processor time", cpu_us, "us/message", LOWER, (cpu_us,))


def _backlog(folder: Path, count: int) -> list[Row]:
    env = RealEnv()
    cache = _filled(folder / "c.db", count, env)
    corpus = SqliteCorpus(folder / "corpus.db", KEY, env)
    wall_s, cpu_s = trio.run(_drained, cache, corpus, env)
    arrived = corpus.stats().messages
    assert arrived == count, f"{arrived} of {count} arrived"
    corpus.close()
    note = f"{cpu_s / wall_s:.2f} of a processor, the hub's corpus included"
    rate = count / wall_s
    rows = [
        Row(PART, f"draining a backlog of {count}", rate, "messages/s", HIGHER, (rate,), None, DRAIN_TARGET, note),
        _agent_side(folder / "alone.db", env),
    ]
    say("indexing it")
    began = time.perf_counter()
    while cache.index_step():
        pass
    indexed = count / (time.perf_counter() - began)
    rows.append(Row(PART, "indexing for search", indexed, "messages/s", HIGHER, (indexed,)))
    rows += _reads(cache, count)
    cache.close()
    return rows


async def _drained(cache: AgentCache, corpus: SqliteCorpus, env: RealEnv) -> tuple[float, float]:
    sender = Sender(cache, CorpusDoor(corpus, env), env)
    async with trio.open_nursery() as nursery:
        began, began_cpu = time.perf_counter(), time.process_time()
        nursery.start_soon(sender.run)
        await sender.drained()
        found = time.perf_counter() - began, time.process_time() - began_cpu
        nursery.cancel_scope.cancel()
    return found


def _reads(cache: AgentCache, count: int) -> list[Row]:
    ids = [each.message.id for each in cache.query(MessageQuery(limit=100, after=str(count // 2))).messages]
    asked: dict[str, Callable[[int], object]] = {
        "the newest 50 of a kind": lambda n: cache.query(MessageQuery(kind="report", limit=min(50, n + 50))),
        "the newest 50 of a task": lambda n: cache.query(MessageQuery(task=f"t{n}", limit=50)),
        "one by its id": lambda n: cache.get(ids[n]),
        "two words, the newest 50": lambda n: cache.query(MessageQuery(text=f"apples {n}", limit=50)),
        "two words, the best 20": lambda n: cache.search(f"river {n}"),
    }
    rows = []
    for name, ask in asked.items():
        times = [_ms(lambda: ask(n)) for n in range(100)]  # noqa: B023
        value = percentile(times, 0.95)
        rows.append(Row(PART, f"{name}, of {count}: p95", value, "ms", LOWER, (value,)))
    return rows
