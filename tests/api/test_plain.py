"""Calls that are answered without FastAPI: found as Starlette finds them, answered and refused as FastAPI does."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import inos
from inos.api.plain import Plain, Raw
from inos.api.plain_calls import plain_calls
from inos.api.sessions import Sessions
from inos.api.timing import Timings
from inos.api.whole import make_whole
from inos.core.env import RealEnv
from inos.core.errors import Busy, NotFound, Unauthorised
from inos.core.reports import PeerReport, PutOptions, StatusReport, TicketReport, WorkerReport
from inos.objects.reference import ObjectName
from inos.testing.memory_service import MemoryService
from inos.testing.run import trio_test

SOURCE = Path(inos.__file__).parents[1]
ENV = RealEnv()


def _scope(method: str, target: str, kind: bytes) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", kind)],
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
    }


async def _ask(
    app: ASGIApp,
    method: str,
    target: str,
    seen: list[Message] | None = None,
    *,
    body: Sequence[bytes] = (b"",),
    kind: bytes = b"",
) -> list[Message]:
    left = list(body)
    sent: list[Message] = [] if seen is None else seen

    async def send(message: Message) -> None:
        sent.append({"more_body": False} | dict(message))  # which is what leaving it out means

    async def receive() -> Message:
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    await app(_scope(method, target, kind), receive, send)
    return sent


class _Service(MemoryService):
    """With what is hard to write the same way twice: other scripts, quotes, nothing, small and large numbers."""

    async def status(self) -> StatusReport:
        worker = WorkerReport(
            '"quoted"\n\u2028', "failing", 3, 2, None, "Fehler: schön <b> 📦", {"a": 1, "b": 0.1, "c": "é"}
        )
        return StatusReport(
            "ü", "p", "o", "m", "0", 0.25, ("/ip4/127.0.0.1/tcp/1",), "", "heavy", "", 1, 1, 2**53, 0, 0, 0, 1 << 62,
            (worker,), {"queued": 0.5},
        )  # fmt: skip

    async def invite(self, single_use: bool, lifetime_s: int) -> TicketReport:
        return TicketReport("inos-ticket-1", float(lifetime_s), single_use)

    async def peers(self) -> list[PeerReport]:
        return [PeerReport("p", "n", "o", "alive", 1.5, (), "", "light", None, 0.75, 10**15)]


@pytest.fixture
def service() -> Iterator[_Service]:
    made = _Service(ENV)
    yield made
    made.close()


NAME = "/%C3%BC/a%20b"
SHA = hashlib.sha256(b"x").hexdigest()
PLAIN = [
    *(
        "/health",
        "/v1/status",
        "/v1/peers",
        "/v1/messages/report",
        "/v1/objects",
        "/v1/objects?",
        "/v1/objects?limit=1",
    ),
    *("/v1/objects?prefix=&after=&limit=1000", "/v1/objects?prefix=inos:/a/&limit=007", "/v1/objects?after=%2Fa+b"),
    *(f"/v1/objects/find?sha256={SHA}", f"/v1/objects/find?sha256={SHA}&limit=5", f"/v1/objects/stat?target={NAME}"),
    # Right in form, wrong in what they ask for.
    *("/v1/objects/find?sha256=zz", "/v1/objects?prefix=a%00b", "/v1/objects/stat?target=/nothing"),
]
NOT_PLAIN = [
    *(
        "/v1/objects?limit=0",
        "/v1/objects?limit=1001",
        "/v1/objects?limit=-1",
        "/v1/objects?limit=%20%35",
        "/v1/objects?limit=",
    ),
    *("/v1/objects?limit=1.0", "/v1/objects?limit=1_0", "/v1/objects?limit=%D9%A3", "/v1/objects?limit=1&limit=2"),
    *(
        "/v1/objects?prefix=%ff",
        "/v1/objects?unknown=1",
        "/v1/objects?prefix",
        "/v1/objects?&",
        "/v1/objects?=",
        "/health?x=1",
    ),
    *(
        "/v1/objects/find",
        "/v1/objects/find?sha256=",
        "/v1/objects/stat",
        "/v1/objects/stat?target=",
        "/v1/objects/stat?Target=a",
    ),
    "/v1/objects/stat?target=" + "a" * 8193,
]


class _Both:
    """The calls without FastAPI, the application with it, and how often the first asked the second."""

    def __init__(self, service: Any) -> None:
        self._calls = plain_calls(service)
        self.whole = make_whole(service, [], Sessions(ENV), Timings(), env=ENV, version="9")
        self.asked = 0

    async def plain(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A new one each time: it leaves its calls to FastAPI once that is there."""
        await Plain([], self._calls, lambda: self._counted, ENV)(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await self.whole(scope, receive, send)


@pytest.fixture
def both(service: Any) -> _Both:
    return _Both(service)


async def _same(both: _Both, method: str, path: str, **request: Any) -> int:
    """The status that both answer with, all else being equal as well."""
    plain = await _ask(both.plain, method, path, **request)
    assert plain == await _ask(both.whole, method, path, **request), (path, request)
    return int(plain[0]["status"])


@trio_test
async def test_what_is_plainly_right_is_answered_as_fastapi_does(both: _Both, service: Any) -> None:
    async def body() -> AsyncGenerator[bytes, None]:
        yield b"x"

    for name in ("/ü/a b", "/a/1", "/a/2"):
        await service.put(body(), PutOptions(name=ObjectName.parse(name)))
    good = [await _same(both, "GET", path) for path in PLAIN]
    assert good == [200] * (len(PLAIN) - 3) + [400, 400, 404] and not both.asked


@trio_test
async def test_what_is_not_is_answered_by_fastapi(both: _Both) -> None:
    for count, path in enumerate(NOT_PLAIN, 1):
        await _same(both, "GET", path)
        assert both.asked == count, path
    for method in ("HEAD", "POST", "get"):
        assert await _same(both, method, "/v1/status") == 405


@trio_test
async def test_once_fastapi_is_there_it_answers(service: Any) -> None:
    both = _Both(service)
    app = Plain([], plain_calls(service), lambda: both._counted, ENV)
    for path, asked in (("/v1/status", 0), ("/v1/objects?limit=0", 1), ("/v1/status", 2), ("/health", 3)):
        await _ask(app, "GET", path)
        assert both.asked == asked, path


INVITES = [
    (b"{}", True), (b' {"single_use": true, "lifetime_s": 60} ', True), (b'{"lifetime_s": 2592000}', True),
    (b'{"lifetime_s": 0}', False), (b'{"lifetime_s": 2592001}', False), (b'{"lifetime_s": "60"}', False),
    (b'{"lifetime_s": 60.0}', False), (b'{"lifetime_s": true}', False), (b'{"single_use": 1}', False),
    (b'{"single_use": null}', False), (b'{"other": 1}', False), (b"[]", False), (b"", False), (b"{", False),
    (b"\xff", False), (b'{"lifetime_s": NaN}', False), (b'{"lifetime_s": ' + b"9" * 5000 + b"}", False),
]  # fmt: skip


@trio_test
async def test_an_invitation_in_any_pieces(both: _Both) -> None:
    for body, plain in INVITES:
        for size in (1, 7, 10_000):
            pieces = [body[at : at + size] for at in range(0, len(body), size)][:300] or [b""]
            before = both.asked
            status = await _same(both, "POST", "/v1/invite", body=pieces, kind=b"application/json")
            assert (both.asked == before) == plain and (plain or status in (200, 400, 422)), body
        assert both.asked == before + (not plain)
    for kind in (b"text/plain", b"application/json; charset=utf-8", b"Application/JSON", b""):
        before = both.asked
        await _same(both, "POST", "/v1/invite", body=[b"{}"], kind=kind)
        assert both.asked == before + 1


class _Named:
    """An endpoint to be found."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append((scope["path"], scope["path_params"]))


async def _no_whole(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("asked for the whole application")


ROUTES = [
    ("/v1/objects", ("PUT",)),
    ("/v1/objects:batch", ("POST",)),
    ("/query/messages", ("GET",)),
    ("/query/messages/{id}", ("GET",)),
    ("/messages", ("GET",)),
    ("/messages/assets/{name}", ("GET", "DELETE")),
    ("/apps/{path:path}", ("GET",)),
]
PATHS = [
    *("/", "", "/v1/objects", "/v1/objects/", "/v1/objectsx", "/v1/objects:batch", "/query/messages"),
    *("/query/messages/", "/query/messages/a", "/query/messages/a/", "/query/messages/a/b", "/query/messagesa"),
    *("/messages", "/messages/", "/messages/assets/", "/messages/assets/x.js", "/messages/assets/a/b"),
    *("/apps", "/apps/", "/apps/a", "/apps/a/", "/apps/a//b/c", "/APPS/a", "//apps/a", "/apps/ü\u2028", "/x/apps/a"),
    *("/query/messages/%2f", "/query/messages/{id}", "/query/messages/..", "/messages/assets/a\\b"),
]


@trio_test
async def test_routes_are_found_as_starlette_finds_them() -> None:
    endpoints = [_Named(path) for path, _ in ROUTES]
    raw = [Raw(path, endpoint, methods) for (path, methods), endpoint in zip(ROUTES, endpoints, strict=True)]
    theirs = [Route(each.path, each.endpoint, methods=each.methods) for each in raw]
    handed_on: list[str] = []

    async def whole(scope: Scope, _receive: Receive, _send: Send) -> None:
        handed_on.append(scope["path"])

    app = Plain(raw, {}, lambda: whole, ENV)
    for path in PATHS:
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "get"):
            scope = _scope(method, path, b"")
            matches = [(route.matches(scope), route) for route in theirs]
            found = next(((each[1], route) for each, route in matches if each[0] is Match.FULL), None)
            await _ask(app, method, path)
            if found is None:
                assert handed_on.pop() == path
            else:
                endpoint = cast(_Named, found[1].endpoint)
                assert endpoint.seen.pop() == (path, found[0]["path_params"]), (method, path)
            assert not handed_on and not any(each.seen for each in endpoints), (method, path)


class _Failing:
    """An endpoint that fails before its answer, or after the head of it."""

    def __init__(self, error: Exception, *, begun: bool) -> None:
        self._error = error
        self._begun = begun

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        if self._begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise self._error


class _OneId:
    """An Env whose bytes are the same for both ways."""

    def token_bytes(self, size: int) -> bytes:
        return b"\7" * size

    def __getattr__(self, name: str) -> Any:
        return getattr(ENV, name)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(
    "error", [Busy("come back"), Unauthorised("who are you", hint="say"), NotFound("gone"), ZeroDivisionError("inside")]
)
def test_errors_are_answered_as_fastapi_does(
    error: Exception, begun: bool, service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = _Failing(error, begun=begun)
    env = cast(Any, _OneId())
    raw = [Raw("/broken", endpoint, ("GET",))]
    whole = make_whole(service, raw, Sessions(ENV), Timings(), env=env, version="9")
    outcomes = []
    for app in (Plain(raw, {}, lambda: _no_whole, env), whole):
        seen: list[Message] = []
        raised: str | None = None
        caplog.clear()
        try:
            trio.run(_ask, app, "GET", "/broken", seen)
        except Exception as error:
            raised = type(error).__name__
        logged = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
        assert "inside" not in json.dumps([message.get("body", b"").decode() for message in seen])
        outcomes.append((raised, logged, seen))
    assert outcomes[0] == outcomes[1]


@trio_test
async def test_the_whole_is_made_once_when_it_is_needed_and_again_when_that_failed() -> None:
    made: list[int] = []

    async def whole(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "answered"})

    def make() -> ASGIApp:
        made.append(1)
        if len(made) == 1:
            raise NotFound("the disk is gone")
        return whole

    app = Plain([Raw("/here", _Named("here"), ("GET",))], {}, make, ENV)
    await _ask(app, "GET", "/here")
    assert not made
    with pytest.raises(NotFound, match="the disk is gone"):
        await _ask(app, "GET", "/there")
    seen: list[list[Message]] = [[], [], []]
    async with trio.open_nursery() as nursery:
        for each in seen:
            nursery.start_soon(_ask, app, "GET", "/there", each)
    assert [each[0]["type"] for each in seen] == ["answered"] * 3 and len(made) == 2


# What a node imported at every start and few nodes use; 0.8 of 1.4 s of processor time and 30 MB, measured together.
HEAVY = (
    *("fastapi", "pydantic", "pydantic_core", "starlette.routing", "opentelemetry", "prometheus_client.metrics"),
    *("h2.connection", "hpack", "wsproto", "hypercorn.trio.run", "fsspec", "inos.backup", "dns", "httpx2", "psycopg"),
    *("psutil._common", "wasmtime", "zeroconf", "yaml", "rich", "mcp", "inos.client", "inos.sim"),
)


def test_a_node_starts_without_what_it_may_never_need() -> None:
    assert _loaded("inos.daemon.run", HEAVY) == "[]"


def test_fastapi_comes_without_what_only_its_description_needs() -> None:
    assert _loaded("inos.api.whole", ("fastapi", "pydantic.v1.main")) == "['fastapi']"


def _loaded(module: str, names: tuple[str, ...]) -> str:
    """Which of `names` are there in a process that imports `module`."""
    code = f"import {module}, sys; print([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SOURCE)}
    )
    return done.stdout.strip()
