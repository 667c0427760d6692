"""How long requests take and how they end, by what they are for: what alerts on a node's health go by (row OP1).

A request is timed from its arrival to the head of its answer: the first byte of a file that is read, the
acknowledgement of one that is stored. A write counts as failed when the node is to blame (a status of 500 or more), not
when its input was wrong. Streams that live as long as somebody looks are left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inos.core.env import Env

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Purpose = Literal["read", "write", "message_write", "message_read", "other"]
# Dense around the targets: 20 to 50 ms for a first byte, 100 to be good, 200 to be told about.
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.35, 0.5, 1, 2.5, 10)
_SERVER_FAULT: Final = 500
_ENDS: Final = ("done", "refused", "failed")
_PURPOSES: Final[dict[tuple[str, str], Purpose]] = {
    ("GET", "/v1/objects/content"): "read",
    ("POST", "/v1/objects:write"): "read",
    ("PUT", "/v1/objects"): "write",
    ("POST", "/v1/objects:batch"): "write",
    ("POST", "/v1/objects:store"): "write",
    ("POST", "/sync/message"): "message_write",
    ("POST", "/sync/messages"): "message_write",
    ("POST", "/v1/messages"): "message_write",
    ("GET", "/query/messages"): "message_read",
}


@dataclass(slots=True)
class _Seconds:
    """How many requests took how long: one count for each of BUCKETS_S, and one for what took longer."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0


class Timings:
    """The times and ends of one node's requests since it started. Plain numbers: the Prometheus client, which makes its
    metrics of them, is loaded when they are asked for."""

    def __init__(self) -> None:
        purposes = dict.fromkeys(_PURPOSES.values())
        self._seconds: dict[Purpose, _Seconds] = {purpose: _Seconds() for purpose in purposes}
        self._ended: dict[tuple[Purpose, str], int] = {(purpose, end): 0 for purpose in purposes for end in _ENDS}

    def note(self, purpose: Purpose, seconds: float, status: int) -> None:
        """One request was answered."""
        if status < 400:
            took = self._seconds[purpose]
            took.counts[bisect_left(BUCKETS_S, seconds)] += 1
            took.sum_s += seconds
        end = "failed" if status >= _SERVER_FAULT else "refused" if status >= 400 else "done"
        self._ended[purpose, end] += 1

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        name, what = "inos_request_seconds", "Time from a request to the head of its answer"
        seconds = HistogramMetricFamily(name, what, labels=["purpose"])
        for purpose, took in self._seconds.items():
            limits = [*(str(float(limit)) for limit in BUCKETS_S), "+Inf"]
            seconds.add_metric([purpose], list(zip(limits, accumulate(took.counts), strict=True)), took.sum_s)
        yield seconds
        ended = CounterMetricFamily("inos_requests", "Requests, by how they ended", labels=["purpose", "end"])
        for (purpose, end), count in self._ended.items():
            ended.add_metric([purpose, end], count)
        yield ended


class Timed:
    """ASGI middleware that notes in `timings` what the application behind it answers."""

    def __init__(self, app: ASGIApp, timings: Timings, env: Env) -> None:
        self._app = app
        self._timings = timings
        self._env = env

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        purpose = _PURPOSES.get((scope["method"], scope["path"]), "other") if scope["type"] == "http" else "other"
        if purpose == "other":
            await self._app(scope, receive, send)
            return
        began_s = self._env.monotonic_s()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._timings.note(purpose, self._env.monotonic_s() - began_s, message["status"])
            await send(message)

        await self._app(scope, receive, noted)
