"""What agents may hold for long: each a share, none that shuts out the others, and never the owner."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from inos.api import gate, message_files, message_sync
from inos.api.gate import MAX_OF_AGENTS
from inos.api.message_events import MAX_STREAMS
from inos.api.server import MAX_CONNECTIONS
from inos.testing.corpus import message
from served import Served

WAIT_S = 20.0


def bearer(ask: Any, agent: str) -> str:
    made = ask("POST", "/v1/messages/tokens", {"agent": agent, "scopes": ["read", "files", "post"]})
    return f"Bearer {made.json['token']}"


@contextmanager
def begun(node: Served, method: str, path: str, **headers: str) -> Iterator[http.client.HTTPConnection]:
    """A request whose head was sent; close it, or read its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=WAIT_S)
    try:
        connection.putrequest(method, path)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        yield connection
    finally:
        connection.close()


def status_of(connection: http.client.HTTPConnection) -> int:
    return connection.getresponse().status


def wait_for(what: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_streams_of_one_agent_leave_room_for_the_others_and_the_owner(node: Served, ask: Any) -> None:
    flood, quiet = bearer(ask, "flood"), bearer(ask, "quiet")
    code = ask("POST", "/v1/messages/login-codes", {}).json["code"]
    entered = ask("POST", "/messages/session", {"code": code}, authorization="none")
    page = {"cookie": entered.headers["set-cookie"].partition(";")[0]}

    def opened(stack: ExitStack, **who: str) -> http.client.HTTPResponse:
        return stack.enter_context(begun(node, "GET", "/events", **who)).getresponse()

    with ExitStack() as stack:
        assert [opened(stack, authorization=flood).status for _ in range(MAX_STREAMS // 2)] == [200] * (
            MAX_STREAMS // 2
        )
        refused = opened(stack, authorization=flood)
        assert (refused.status, refused.getheader("retry-after")) == (429, "1")
        error = json.loads(refused.read())["error"]
        assert (error["code"], "close one" in error["hint"]) == ("busy", True)
        assert opened(stack, authorization=quiet).status == 200
        assert opened(stack, **page).status == 200
        owners = [opened(stack, authorization=f"Bearer {node.token}").status for _ in range(MAX_STREAMS)]
        assert owners == [200] * (MAX_STREAMS - 1) + [429]
    wait_for(lambda: _opens(node, flood))  # what was closed is given back


def _opens(node: Served, authorization: str) -> bool:
    with begun(node, "GET", "/events", authorization=authorization) as again:
        return status_of(again) == 200


def test_requests_of_agents_that_do_not_end_leave_connections_to_the_owner(node: Served, ask: Any) -> None:
    """Bodies that do not come, of as many agents as it takes."""
    assert MAX_OF_AGENTS <= MAX_CONNECTIONS * 3 // 4
    agents = [bearer(ask, f"flood-{number}") for number in range(3)]
    slow = {"content_length": "100"}
    with ExitStack() as stack:
        for authorization in agents:
            for _ in range(MAX_OF_AGENTS // 3):
                stack.enter_context(begun(node, "POST", "/sync/message", authorization=authorization, **slow))
        wait_for(lambda: ask("GET", "/query/messages", authorization=agents[0]).status == 429)
        assert ask("GET", "/query/messages", authorization=agents[0]).code == "busy"
        assert ask("GET", "/query/messages", authorization=bearer(ask, "quiet")).status == 200
        assert ask("GET", "/v1/status").status == 200
        assert ask("POST", "/sync/message", message(1).encode()).status == 200
    wait_for(lambda: ask("GET", "/query/messages", authorization=agents[0]).status == 200)


def test_uploads_of_one_agent_leave_room_for_the_others(
    node: Served, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood, quiet = bearer(ask, "flood"), bearer(ask, "quiet")
    form = {"content_type": "multipart/form-data; boundary=x", "content_length": "1000"}
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1\r\n--x--\r\n'
    whole = {"content_type": form["content_type"]}
    with ExitStack() as stack:
        for _ in range(message_files.MAX_UPLOADS // 2):
            stack.enter_context(begun(node, "POST", "/sync/files", authorization=flood, **form))
        wait_for(lambda: ask("POST", "/sync/files", body, authorization=flood, **whole).status == 429)
        assert ask("POST", "/sync/files", body, authorization=quiet, **whole).status == 200
        named = b'--x\r\nContent-Disposition: form-data; name="agent"\r\n\r\nada\r\n' + body
        assert ask("POST", "/sync/files", named, **whole).status == 200
    wait_for(lambda: ask("POST", "/sync/files", body, authorization=flood, **whole).status == 200)


@pytest.mark.parametrize(
    ("path", "who"), [("/messages/session", ""), ("/v1/messages/marks", "agent"), ("/sync/message", "agent")]
)
def test_a_body_that_does_not_come_is_not_waited_for_for_ever(
    node: Served, ask: Any, monkeypatch: pytest.MonkeyPatch, path: str, who: str
) -> None:
    monkeypatch.setattr(gate, "BODY_S", 0.3)
    monkeypatch.setattr(message_sync, "BODY_S", 0.3)
    headers = {"content_length": "100", "content_type": "application/json"}
    headers |= {"authorization": f"Bearer {node.token}"} if who else {}
    with begun(node, "POST", path, **headers) as connection:
        connection.send(b'{"')
        answer = connection.getresponse()
        error = json.loads(answer.read())["error"]
        assert (answer.status, error["code"]) == (503, "unavailable")
        assert "was not here within" in error["message"]
