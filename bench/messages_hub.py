"""A hub's corpus at 200,000 messages: what storing, finding and searching take, and what a running hub costs.

Inserts are one at a time from one thread, each synced. Queries and searches are asked of a warm corpus, every shape in
turn, a thousand messages not indexed yet. A running hub is asked over HTTP on loopback, in batches as outboxes send
them, and indexes when a node would; what is left at the end is indexed too and counted. What the web server takes is
measured by the same requests at the same rate to a route behind the same gate that reads the body whole, does nothing
with it and answers as many bytes.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import trio
from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bench.context import Context, say
from bench.rows import LOWER, Baseline, Row, percentile
from inos.api.app import make_app
from inos.api.gate import Gate
from inos.api.message_sync import read_body
from inos.api.server import Bound, serve_app
from inos.api.sessions import Sessions
from inos.api.timing import Timed, Timings
from inos.core.env import RealEnv
from inos.core.messages.ids import next_id
from inos.core.messages.message import Message
from inos.core.messages.query import MessageQuery
from inos.core.messages.sync import MAX_BATCH_BYTES
from inos.messages.indexing import Pacing
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.testing.memory_messages import MemoryMessages
from inos.testing.memory_service import MemoryService

PART: Final = "messages-hub"
KEY: Final = bytes(range(32))
TOKEN: Final = "bench"
START_MS: Final = 1_800_000_000_000
BATCH: Final = 500
INSERT_TARGET_MS: Final = 5.0
VISIBLE_TARGET_MS: Final = 10.0
QUERY_TARGET_MS: Final = 50.0
RATE: Final = 1_000
BARE: Final = "/bench/bare"
ANSWER_BYTES: Final = RATE // 10 * 76  # what a result of a message takes in an answer
CPU_TARGET_SHARE: Final = 0.05
MEMORY_TARGET_MB: Final = 50.0
_CHANCE: Final = random.Random(1)
_VOCABULARY: Final = ["".join(_CHANCE.choices("abcdefghijklmnopqrstuvwxyz", k=3 + n % 7)) for n in range(20_000)]


def made(number: int) -> Message:
    """Some 500 bytes, in words as common as words are."""
    time_ms = START_MS + number * 1000
    words = [_VOCABULARY[int(len(_VOCABULARY) ** _CHANCE.random()) - 1] for _ in range(60)]
    return Message(
        next_id(time_ms, number.to_bytes(10, "big"), None), time_ms, f"agent-{number % 50}", {"text": " ".join(words)},
        ("report", "report", "error", "lead", "completion")[number % 5], number * 7 % 10,
        f"task-{number % 2000}" if number % 3 else "", ("recruiter", "coder", "reasoner", "")[number % 4],
        recipient="eve" if number % 997 == 0 else "",
    )  # fmt: skip


QUERIES: Final[dict[str, Callable[[int], MessageQuery]]] = {
    "newest": lambda _: MessageQuery(),
    "of an agent": lambda n: MessageQuery(agent=f"agent-{n % 50}"),
    "of a task": lambda n: MessageQuery(task=f"task-{n * 7}"),
    "for a recipient": lambda _: MessageQuery(recipient="eve"),
    "two common values": lambda n: MessageQuery(role="coder", kind="lead", after=str(200_000 - n * 1000)),
    "two common values that never meet": lambda n: MessageQuery(agent=f"agent-{n % 5 * 10}", kind="completion"),
    "urgent": lambda n: MessageQuery(priority=7, after=str(200_000 - n * 1000)),
    "open": lambda n: MessageQuery(state="open", after=str(200_000 - n * 1000)),
    "a short time": lambda n: MessageQuery(since_ms=START_MS + n * 10**6, until_ms=START_MS + n * 10**6 + 300_000),
    "a long time ago": lambda n: MessageQuery(until_ms=START_MS + 5 * 10**7, agent=f"agent-{n % 50}"),
}
SEARCHES: Final[dict[str, Callable[[int], MessageQuery]]] = {
    "a rare word": lambda n: MessageQuery(text=_VOCABULARY[-n - 1]),
    "a usual word": lambda n: MessageQuery(text=_VOCABULARY[100 + n]),
    "a common word": lambda n: MessageQuery(text=_VOCABULARY[n % 5]),
    "three letters": lambda n: MessageQuery(text=_VOCABULARY[300 + n][:3]),
    "two letters": lambda n: MessageQuery(text=_VOCABULARY[300 + n][:2]),
    "two words, ranked": lambda n: MessageQuery(text=f"{_VOCABULARY[20 + n]} {_VOCABULARY[n]}", order="best"),
    "a usual word, ranked": lambda n: MessageQuery(text=_VOCABULARY[100 + n], order="best"),
    "a common word, ranked": lambda n: MessageQuery(text=_VOCABULARY[n % 5], order="best"),
}


def run(context: Context) -> list[Row]:
    """Rows for the corpus, and for a hub that runs."""
    count = 20_000 if context.quick else 200_000
    say(f"a corpus of {count} messages")
    corpus = SqliteCorpus(context.fresh("corpus") / "corpus.db", KEY, RealEnv())
    try:
        for start in range(0, count, BATCH):
            corpus.insert([made(number) for number in range(start, start + BATCH)], START_MS)
            if start % 20_000 == 0:
                corpus.database.checkpoint()
        while corpus.index_step(BATCH):
            pass
        rows = [*_inserts(corpus, count), *_asked(corpus, "query", QUERIES), *_asked(corpus, "search", SEARCHES)]
    finally:
        corpus.close()
    say(f"a hub that takes {RATE} messages a second")
    return rows + _running(context.fresh("hub"), 3.0 if context.quick else 20.0)


def _inserts(corpus: SqliteCorpus, count: int) -> list[Row]:
    messages = [made(count + number) for number in range(1000)]
    times = [_ms(lambda: corpus.insert([each], START_MS)) for each in messages]  # noqa: B023
    return [
        _row("insert, one message, synced: p50", percentile(times, 0.5), times),
        _row("insert, one message, synced: p95", percentile(times, 0.95), times, INSERT_TARGET_MS),
    ]


def _asked(corpus: SqliteCorpus, what: str, shapes: dict[str, Callable[[int], MessageQuery]]) -> Iterator[Row]:
    everything: list[float] = []
    for name, shape in shapes.items():
        times = [_ms(lambda: corpus.query(shape(number))) for number in range(40)]  # noqa: B023
        everything += times
        yield _row(f"{what}, {name}: p95", percentile(times, 0.95), times, QUERY_TARGET_MS)
    yield _row(f"{what}, every shape: p95", percentile(everything, 0.95), everything, QUERY_TARGET_MS)


def _row(name: str, value: float, samples: list[float], target: float | None = None) -> Row:
    return Row(PART, name, value, "ms", LOWER, tuple(samples), target=target)


def _ms(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


class _Hub(MemoryService):
    """The API of a node over a corpus on this machine's disk."""

    def __init__(self, folder: Path) -> None:
        env = RealEnv()
        super().__init__(env)
        self.corpus = SqliteCorpus(folder / "corpus.db", KEY, env)
        self._messages = MemoryMessages(self.corpus, env)


@contextmanager
def _served(service: _Hub) -> Iterator[int]:
    """The port it is served on, in a thread of this process."""
    bounds: list[Bound] = []
    started, stop = threading.Event(), trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def main() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        async with trio.open_nursery() as nursery:
            with stop:
                bound = await nursery.start(_serve, service)
                bounds.append(bound)
                started.set()
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    started.wait(30)
    try:
        yield bounds[0].port
    finally:
        tokens[0].run_sync_soon(stop.cancel)
        thread.join()
        service.close()


async def _serve(service: _Hub, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    env, host = RealEnv(), "127.0.0.1"
    hub = make_app(service, env=env, host=host, token=TOKEN, version="0")
    bare = FastAPI()
    bare.router.routes.append(Route(BARE, _Bare(), methods=["POST"]))
    web = Gate(Timed(bare, Timings(), env), token=TOKEN, host=host, tokens=service, sessions=Sessions(env))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (web if scope["path"] == BARE else hub)(scope, receive, send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_index, service.corpus)
        await serve_app(app, host=host, port=0, task_status=task_status)


class _Bare:
    """A route that does nothing with what it is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, receive, MAX_BATCH_BYTES)
        await Response(b" " * ANSWER_BYTES, media_type="application/json")(scope, receive, send)


async def _index(corpus: SqliteCorpus) -> None:
    pacing = Pacing(corpus.index_from)
    while True:
        await trio.sleep(1)
        while pacing.is_due(corpus.stats(), time.monotonic()):
            await trio.to_thread.run_sync(corpus.index_step, corpus.index_from)


def _index_rest(corpus: SqliteCorpus) -> None:
    while corpus.index_step(corpus.index_from):
        pass


def _running(folder: Path, for_s: float) -> list[Row]:
    """Batches of what comes in a tenth of a second, as outboxes send them; and what one message takes to be seen."""
    process = psutil.Process()
    service = _Hub(folder)
    with _served(service) as port:
        bodies = [_batch(number) for number in range(int(for_s * 10))]
        connection = http.client.HTTPConnection("127.0.0.1", port)
        _post(connection, "/sync/messages", _batch(10**6))
        web, _ = _share(connection, BARE, bodies)
        idle_bytes = process.memory_info().rss
        share, wall_s = _share(connection, "/sync/messages", bodies, lambda: _index_rest(service.corpus))
        over_mb = (process.memory_info().rss - idle_bytes) / 1e6
        visible = _visible(port, 300)
        connection.close()
    note = f"{len(bodies) * RATE / 10 / wall_s:.0f} messages/s in batches of {RATE // 10}, indexed"
    name = f"share of a core at {RATE} messages/s"
    return [
        _row(
            "write to visible (POST, then seen on /events): p95", percentile(visible, 0.95), visible, VISIBLE_TARGET_MS
        ),
        Row(PART, f"{name}, the web server's own", web, "", LOWER, (web,), note="the same requests, nothing done"),
        Row(PART, f"{name}, all", share, "", LOWER, (share,), Baseline("the web server", web), note=note),
        Row(PART, f"{name}, beyond the web server", share - web, "", LOWER, (share - web,), target=CPU_TARGET_SHARE),
        Row(PART, "memory over idle", over_mb, "MB", LOWER, (over_mb,), None, MEMORY_TARGET_MB),
    ]


def _share(
    connection: http.client.HTTPConnection, path: str, bodies: list[bytes], finish: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """The share of a core that this process takes beside the sender, and the seconds: a body each tenth of one.
    `finish` is counted, and takes no time."""
    began_cpu, began, sent_cpu = time.process_time(), time.monotonic(), 0.0
    for number, body in enumerate(bodies):
        time.sleep(max(0.0, began + number / 10 - time.monotonic()))
        before = time.thread_time()
        _post(connection, path, body)
        sent_cpu += time.thread_time() - before
    time.sleep(max(0.0, began + len(bodies) / 10 - time.monotonic()))
    wall_s = time.monotonic() - began
    finish()
    return (time.process_time() - began_cpu - sent_cpu) / wall_s, wall_s


def _batch(number: int) -> bytes:
    messages = [made(number * RATE // 10 + each).to_json() for each in range(RATE // 10)]
    return json.dumps({"batch": "b", "node": "n", "messages": messages}).encode()


def _visible(port: int, count: int) -> list[float]:
    """From sending a message to its event on another connection."""
    watching = http.client.HTTPConnection("127.0.0.1", port)
    watching.request("GET", "/events", headers={"authorization": f"Bearer {TOKEN}"})
    lines = watching.getresponse()
    sending = http.client.HTTPConnection("127.0.0.1", port)
    times = []
    for number in range(count):
        body = made(10**7 + number).encode()
        began = time.perf_counter()
        _post(sending, "/sync/message", body)
        while not lines.readline().startswith(b"data:"):
            pass
        times.append((time.perf_counter() - began) * 1000)
    sending.close()
    lines.close()
    watching.close()
    return times


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> None:
    connection.request("POST", path, body, {"authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status == 200, said
