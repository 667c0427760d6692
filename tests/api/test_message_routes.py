"""Messages over HTTP: in, out, marked, live; limits and refusals."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from inos.api import message_events, message_sync
from inos.core.env import RealEnv
from inos.core.errors import Busy, InosError, StorageFull
from inos.core.messages.message import MAX_CONTENT_BYTES, MAX_MESSAGE_BYTES, Message
from inos.core.messages.sync import MAX_BATCH, MAX_BATCH_BYTES, Ack, Batch
from inos.testing.corpus import message, message_id
from inos.testing.memory_messages import MemoryMessages
from inos.testing.memory_service import MemoryService
from served import TOKEN, Served, served


def batch(*messages: Message, hub: str = "") -> bytes:
    return Batch("batch-1", "node-1", messages, hub).encode()


def test_a_message_is_stored_once(ask: Any, service: MemoryService) -> None:
    first = message(1)
    answer = ask("POST", "/sync/message", first.encode())
    assert answer.json == {"status": "stored", "id": first.id, "seq": 1, "hub": service.messages.corpus.identity}
    assert (
        ask("POST", "/sync/message", gzip.compress(first.encode()), content_encoding="gzip").json["status"]
        == "duplicate"
    )
    assert ask("GET", f"/query/messages/{first.id}").json["message"] == first.to_json()
    assert service.messages.corpus.get(first.id).message == first


def test_other_content_under_one_id_is_a_conflict(ask: Any) -> None:
    ask("POST", "/sync/message", message(1).encode())
    answer = ask("POST", "/sync/message", message(1, content="other").encode())
    assert (answer.status, answer.code) == (409, "conflict")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b"\xff", b'{"id": "x"}', json.dumps({**message(1).to_json(), "v": 2}).encode()]
)
def test_what_is_no_message_is_refused(ask: Any, body: bytes) -> None:
    answer = ask("POST", "/sync/message", body)
    assert (answer.status, answer.code) == (400, "bad_input")
    assert ask("GET", "/query/messages").json["messages"] == []


def test_a_batch_is_answered_message_by_message(ask: Any) -> None:
    ask("POST", "/sync/message", message(1).encode())
    wrong = {"id": message_id(7), "agent": "no agent at all!", "time_ms": 5, "content": 1}
    body = json.loads(batch(message(1), message(2), message(1, content="other")))
    body["messages"].insert(1, wrong)
    for encoded, headers in (
        (json.dumps(body).encode(), {}),
        (gzip.compress(json.dumps(body).encode()), {"content_encoding": "gzip"}),
    ):
        ack = Ack.from_json(ask("POST", "/sync/messages", encoded, **headers).json)
        assert [each.fate for each in ack.results][0::3] == ["duplicate", "refused"]
        assert [(each.fate, each.error.code) for each in ack.results if each.error] == [
            ("refused", "bad_input"),
            ("refused", "conflict"),
        ]
    assert len(ask("GET", "/query/messages").json["messages"]) == 2


def test_a_batch_for_another_hub_is_not_stored(ask: Any, service: MemoryService) -> None:
    ack = Ack.from_json(ask("POST", "/sync/messages", batch(message(1), hub="the one before")).json)
    assert (ack.hub, ack.results) == (service.messages.corpus.identity, ())
    assert service.messages.corpus.stats().messages == 0


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"no gzip", {"content_encoding": "gzip"}, "bad_input"),
        (gzip.compress(batch(message(1)))[:-9], {"content_encoding": "gzip"}, "bad_input"),
        (gzip.compress(batch(message(1))) + b"more", {"content_encoding": "gzip"}, "bad_input"),
        (b"x", {"content_encoding": "br"}, "bad_input"),
        (gzip.compress(b"[" * (MAX_BATCH_BYTES + 1)), {"content_encoding": "gzip"}, "too_large"),
        (b"[" * (MAX_BATCH_BYTES + 1), {}, "too_large"),
        (b'{"messages": []}', {}, "bad_input"),
        (b'{"messages": [' + b"1," * MAX_BATCH + b"1]}", {}, "bad_input"),
        (b"[" * 100_000, {}, "bad_input"),
    ],
    ids=["no gzip", "cut off", "more behind", "encoding", "a bomb", "too long", "none", "too many", "nested"],
)
def test_bodies_are_bounded(ask: Any, body: bytes, headers: dict[str, str], code: str) -> None:
    assert ask("POST", "/sync/messages", body, **headers).code == code
    assert ask("POST", "/sync/message", body, **headers).code in (code, "too_large")
    assert ask("GET", "/query/messages").json["messages"] == []


def test_the_longest_message_goes_through(ask: Any) -> None:
    longest = message(1, content="x" * (MAX_CONTENT_BYTES - 2))
    assert ask("POST", "/sync/message", longest.encode()).json["status"] == "stored"
    assert ask("POST", "/sync/message", b" " * (MAX_MESSAGE_BYTES + 1)).code == "too_large"


def test_too_much_at_once_is_told_to_wait(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = message_sync.Held(1000)
    with held.holding("flood") as hold:
        hold.take(500)
        with pytest.raises(Busy):
            hold.take(1)
        with held.holding("quiet") as other:
            other.take(250)
        with held.holding("quiet") as other:
            other.take(250)
    with held.holding("quiet") as hold:
        hold.take(500)


class Troubled(MemoryMessages):
    """A hub that stores nothing."""

    trouble: InosError

    async def sync(self, batch: Any, node: str, hub: str = "") -> Ack:
        raise self.trouble


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (StorageFull("no room in corpus.db", hint="free space on this disk"), 507),
        (Busy("an agent writes too much", hint="later", retry_after_s=6.5), 429),
    ],
)
def test_why_a_hub_stores_nothing_is_said(tmp_path: Path, trouble: InosError, status: int) -> None:
    service = MemoryService(RealEnv())
    troubled = Troubled(service.messages.corpus, RealEnv())
    troubled.trouble = trouble
    service._messages = troubled
    with served(service, tmp_path) as node:
        for path, body in (("/sync/message", message(1).encode()), ("/sync/messages", batch(message(1)))):
            connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
            connection.request("POST", path, body, {"authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            error = json.loads(answer.read())["error"]
            assert (answer.status, error["code"], error["message"]) == (status, trouble.code, trouble.message)
            assert (error["hint"], error["retryable"]) == (trouble.hint, True)
            assert answer.getheader("retry-after") == ("7" if status == 429 else None)
            connection.close()


def test_messages_that_come_together_are_stored_in_few_commits(node: Served, service: MemoryService, ask: Any) -> None:
    ask("POST", "/sync/message", message(999).encode())
    corpus: Any = service.messages.corpus
    before = corpus.database.commits
    answers: list[int] = []

    def send(number: int) -> None:
        answers.append(ask("POST", "/sync/message", message(number).encode()).json["seq"])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(2, 42))
    assert corpus.database.commits - before < 40


def test_what_is_asked_for_is_found(ask: Any) -> None:
    ask("POST", "/sync/messages", batch(*(message(number, priority=number % 10) for number in range(30))))
    page = ask("GET", "/query/messages?priority=8&limit=4").json
    assert [each["message"]["priority"] for each in page["messages"]] == [9, 8, 9, 8]
    rest = ask("GET", f"/query/messages?priority=8&limit=4&after={page['next']}").json
    assert len(rest["messages"]) == 2 and rest["next"] == ""
    found = ask("GET", "/query/messages?text=mess%20ge%2012".replace("%20ge", "")).json
    assert [each["snippet"] for each in found["messages"]] == ["\x02message\x03 \x0212\x03"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "state=gone",
        "order=best",
        "after=x",
        "colour=red",
        "text=%ff",
        "text=.",
        "agent=a%20b",
    ],
)
def test_wrong_questions_are_refused(ask: Any, query: str) -> None:
    assert ask("GET", f"/query/messages?{query}").code == "bad_input"


@pytest.mark.parametrize("name", ["agent", "task", "role", "kind", "recipient", "text", "state", "order", "after"])
def test_a_nul_is_no_text_wherever_it_comes(ask: Any, name: str) -> None:
    answer = ask("GET", f"/query/messages?{name}=%00")
    assert answer.code == "bad_input"
    if name in ("task", "role", "kind", "recipient", "text"):
        assert answer.json["error"]["message"] == f"{name} holds a NUL character"
    assert ask("GET", f"/query/messages?{name}=%ed%a0%80").code == "bad_input"
    posted = {"agent": "ada", "content": 1, name: "\ud800"}
    assert (
        ask("POST", "/v1/messages", json.dumps({"messages": [posted]}), content_type="application/json").status == 400
    )
    marked = {"ids": [message_id(1)], "mark": "read", "by": "\0"}
    assert ask("POST", "/v1/messages/marks", marked).json["error"]["message"] == "by holds a NUL character"


def test_one_that_is_not_there(ask: Any) -> None:
    assert ask("GET", f"/query/messages/{message_id(1)}").status == 404
    assert ask("GET", "/query/messages/nonsense").code == "bad_input"


def test_messages_are_written_for_agents(ask: Any) -> None:
    answer = ask(
        "POST", "/v1/messages", {"messages": [{"agent": "ada", "content": {"a": 1}}, {"agent": "bob", "content": 2}]}
    )
    ids = [each["id"] for each in answer.json["messages"]]
    assert ids == sorted(ids)
    assert [ask("GET", f"/query/messages/{each}").json["message"]["agent"] for each in ids] == ["ada", "bob"]
    wrong: list[Any] = [
        {},
        {"messages": []},
        {"messages": [{"agent": "ada"}]},
        {"messages": [{"agent": "a b", "content": 1}]},
    ]
    for body in wrong:
        assert ask("POST", "/v1/messages", body).code == "bad_input"


def test_marks_and_the_badge(ask: Any) -> None:
    ask("POST", "/sync/messages", batch(message(1), message(2), message(3)))
    assert ask("GET", "/v1/messages/unread").json == {"unread": 3}
    body = {"ids": [message_id(1), message_id(2)], "mark": "read", "by": "eve"}
    answer = ask("POST", "/v1/messages/marks", body).json
    assert answer["covered"] is True
    marked = answer["messages"]
    assert [(each["state"], each["marks"]["read"]["by"]) for each in marked] == [("read", "eve")] * 2
    assert ask("GET", "/v1/messages/unread").json == {"unread": 1}
    ask("POST", "/v1/messages/marks", {"ids": [message_id(1)], "mark": "read", "on": False})
    report = ask("GET", "/v1/messages/report").json
    assert (report["role"], report["messages"], report["unread"]) == ("hub", 3, 2)
    assert ask("POST", "/v1/messages/marks", body | {"mark": "burnt"}).code == "bad_input"
    assert ask("POST", "/v1/messages/marks", body | {"ids": []}).code == "bad_input"
    assert ask("POST", "/v1/messages/marks", body | {"ids": [message_id(9)]}).code == "not_found"


def test_a_follow_up_task(ask: Any, service: MemoryService) -> None:
    ask("POST", "/sync/message", message(1).encode())
    assert ask("POST", f"/v1/messages/{message_id(1)}/execute").json["state"] == "executed"
    assert service.messages.executed == [message_id(1)]
    service.messages.hook = False
    assert ask("POST", f"/v1/messages/{message_id(1)}/execute").code == "conflict"


def test_the_hub_is_taken(ask: Any) -> None:
    assert ask("POST", "/v1/messages/hub", {"take": True}).json["role"] == "hub"
    assert ask("POST", "/v1/messages/hub", {"take": False}).code == "bad_input"


def test_without_a_hub(ask: Any, service: MemoryService) -> None:
    service.messages.reachable = False
    for method, path, body in (
        ("POST", "/sync/message", message(1).encode()),
        ("POST", "/sync/messages", batch(message(1))),
        ("GET", "/query/messages", None),
        ("GET", "/events", None),
    ):
        answer = ask(method, path, body)
        assert (answer.status, answer.code) == (503, "unavailable"), path


class Stream:
    """Events of a served node as they come."""

    def __init__(self, node: Served, path: str = "/events", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
        sent = {"authorization": f"Bearer {node.token}"} | {n.replace("_", "-"): v for n, v in headers.items()}
        self._connection.request("GET", path, headers=sent)
        self.response = self._connection.getresponse()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def next(self) -> dict[str, str]:
        """The next block of lines that is an event or a comment; empty at the end."""
        block: dict[str, str] = {}
        while line := self.response.readline().decode():
            if line == "\n":
                if "retry" not in block:
                    return block
                block = {}
            else:
                name, _, value = line.rstrip("\n").partition(": ")
                block[name] = value
        return block


def test_events_come_live_and_are_resumed(node: Served, ask: Any) -> None:
    ask("POST", "/sync/message", message(1).encode())
    with Stream(node) as live:
        assert live.response.status == 200
        assert live.response.getheader("content-type") == "text/event-stream; charset=utf-8"
        ask("POST", "/sync/message", message(2).encode())
        event = live.next()
        assert (event["id"], event["event"]) == ("2", "message")
        assert json.loads(event["data"])["stored"]["message"] == message(2).to_json()
        ask("POST", "/v1/messages/marks", {"ids": [message_id(1)], "mark": "read"})
        event = live.next()
        assert event["event"] == "marks" and json.loads(event["data"])["state"] == "read"
    with Stream(node, last_event_id="1") as resumed:
        assert resumed.next()["id"] == "2"
    with Stream(node, "/events?after=0") as whole:
        assert [whole.next()["id"], whole.next()["id"]] == ["1", "2"]
    assert ask("GET", "/events?after=x").code == "bad_input"


def test_a_quiet_stream_shows_that_it_lives(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_events, "KEEP_ALIVE_S", 0.1)
    with Stream(node) as live:
        assert "" in live.next()
        assert "" in live.next()


@pytest.mark.parametrize("way", ["token", "session"])
def test_a_stream_ends_with_what_opened_it(node: Served, ask: Any, way: str) -> None:
    if way == "token":
        made = ask("POST", "/v1/messages/tokens", {"agent": "ada", "scopes": ["read"]}).json
        headers, leave = {"authorization": f"Bearer {made['token']}"}, f"/v1/messages/tokens/{made['token_id']}"
    else:
        code = ask("POST", "/v1/messages/login-codes", {}).json["code"]
        entered = ask("POST", "/messages/session", {"code": code}, authorization="none")
        headers = {"authorization": "none", "cookie": entered.headers["set-cookie"].partition(";")[0]}
        leave = "/messages/session"
    with Stream(node, **headers) as live, Stream(node) as owners:
        assert live.response.status == 200
        ask("POST", "/sync/message", message(1).encode())
        assert (live.next()["id"], owners.next()["id"]) == ("1", "1")
        origin = f"http://127.0.0.1:{node.port}"
        gone = ask("DELETE", leave, **(headers | {"origin": origin} if way == "session" else {}))
        assert gone.status in (200, 204), gone.body
        ask("POST", "/sync/message", message(2).encode())
        assert (live.next(), owners.next()["id"]) == ({}, "2")


def test_a_stream_ends_cleanly_when_the_node_stops(tmp_path: Path) -> None:
    with served(MemoryService(RealEnv()), tmp_path) as node:
        live = Stream(node)
        assert live.response.status == 200
    with live:
        assert live.next() == {}  # a body that was cut off would raise IncompleteRead
