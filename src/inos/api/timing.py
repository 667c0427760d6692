"""How long requests take and how they end, by what they are for: what alerts on a node's health go by (row OP1).

A request is timed from its arrival to the head of its answer: the first byte of a file that is read, the
acknowledgement of one that is stored. A write counts as failed when the node is to blame (a status of 500 or more), not
when its input was wrong. Streams that live as long as somebody looks are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inos.core.env import Env

Purpose = Literal["read", "write", "message_write", "message_read", "other"]
# Dense around the targets: 20 to 50 ms for a first byte, 100 to be good, 200 to be told about.
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.35, 0.5, 1, 2.5, 10)
_SERVER_FAULT: Final = 500
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


class Timings:
    """The times and ends of one node's requests since it started."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._seconds = Histogram(
            "inos_request_seconds",
            "Time from a request to the head of its answer",
            ["purpose"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._ended = Counter(
            "inos_requests", "Requests, by how they ended", ["purpose", "end"], registry=self._registry
        )
        for purpose in dict.fromkeys(_PURPOSES.values()):
            self._seconds.labels(purpose)
            for end in ("done", "refused", "failed"):
                self._ended.labels(purpose, end)

    def note(self, purpose: Purpose, seconds: float, status: int) -> None:
        """One request was answered."""
        if status < 400:
            self._seconds.labels(purpose).observe(seconds)
        end = "failed" if status >= _SERVER_FAULT else "refused" if status >= 400 else "done"
        self._ended.labels(purpose, end).inc()

    def collect(self) -> Iterator[Metric]:
        """All of it, without the moments at which counters were made, which no alert needs."""
        for metric in self._registry.collect():
            metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
            yield metric


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
