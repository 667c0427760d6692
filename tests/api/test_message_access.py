"""Who may do what with messages: agents' tokens, the session of the inbox, and those who try without."""

from __future__ import annotations

from typing import Any, Final

import pytest

from inos.api.app import make_app
from inos.api.sessions import CODE_S, COOKIE, IDLE_S, MAX_CODES, MAX_SESSIONS, Sessions
from inos.core.env import RealEnv
from inos.core.errors import Unauthorised
from inos.core.messages.access import SCOPES
from inos.node.token_desk import PREFIX
from inos.testing.chunks import Clock
from inos.testing.corpus import message, message_id
from inos.testing.memory_service import MemoryService
from served import Served

# What each scope opens; everything else is shut.
CALLS: Final[dict[str, list[tuple[str, str, Any]]]] = {
    "post": [
        ("POST", "/sync/message", message(1).to_json()),
        ("POST", "/sync/messages", {"messages": [message(2).to_json()]}),
        ("POST", "/v1/messages", {"messages": [{"agent": "ada", "content": 1}]}),
    ],
    "read": [
        ("GET", "/query/messages", None),
        ("GET", f"/query/messages/{message_id(1)}", None),
        ("GET", "/v1/messages/unread", None),
        ("GET", "/v1/messages/report", None),
    ],
    "mark": [("POST", "/v1/messages/marks", {"ids": [message_id(1)], "mark": "read"})],
    "execute": [("POST", f"/v1/messages/{message_id(1)}/execute", {})],
}
OWNERS: Final[list[tuple[str, str, Any]]] = [
    ("GET", "/v1/messages/tokens", None),
    ("POST", "/v1/messages/tokens", {"agent": "ada", "scopes": ["read"]}),
    ("DELETE", "/v1/messages/tokens/x", None),
    ("POST", "/v1/messages/login-codes", {}),
    ("POST", "/v1/messages/hub", {"take": True}),
    ("GET", "/v1/status", None),
    ("GET", "/v1/objects", None),
    ("PUT", "/v1/objects", {}),
    ("GET", "/metrics", None),
    ("POST", "/query/messages", {}),
    ("GET", "/sync/message", None),
    ("GET", "/v1/db", None),
    ("POST", "/v1/keys/derive", {}),
]


def made(ask: Any, *scopes: str, agent: str = "ada") -> dict[str, Any]:
    answer = ask("POST", "/v1/messages/tokens", {"agent": agent, "scopes": list(scopes)})
    assert answer.status == 200, answer.body
    return dict(answer.json)


@pytest.mark.parametrize("scope", sorted(CALLS))
def test_a_token_opens_what_its_scope_names_and_nothing_else(ask: Any, scope: str) -> None:
    ask("POST", "/sync/message", message(1).encode())
    bearer = f"Bearer {made(ask, scope)['token']}"
    for each, calls in CALLS.items():
        for method, path, body in calls:
            answer = ask(method, path, body, authorization=bearer)
            assert answer.status == (200 if each == scope else 403), (path, answer.body)
    for method, path, body in OWNERS:
        answer = ask(method, path, body, authorization=bearer)
        assert (answer.status, answer.code) == (403, "refused"), path


def test_an_agent_writes_and_marks_as_itself(ask: Any) -> None:
    bearer = f"Bearer {made(ask, 'post', 'mark')['token']}"
    other = message(3, agent="bob")
    for path, body in (
        ("/sync/message", other.to_json()),
        ("/sync/messages", {"messages": [message(4).to_json(), other.to_json()]}),
        ("/v1/messages", {"messages": [{"agent": "ada", "content": 1}, {"agent": "bob", "content": 1}]}),
    ):
        answer = ask("POST", path, body, authorization=bearer)
        assert (answer.status, answer.code) == (403, "refused")
    assert ask("GET", "/query/messages").json["messages"] == []
    ask("POST", "/sync/message", other.encode())
    body = {"ids": [other.id], "mark": "read", "by": "somebody else"}
    marked = ask("POST", "/v1/messages/marks", body, authorization=bearer).json["messages"]
    assert marked[0]["marks"]["read"]["by"] == "ada"


def test_a_token_is_shown_once_and_kept_nowhere(ask: Any, service: MemoryService) -> None:
    token = made(ask, "read", "post")
    secret = token["token"].rpartition("-")[2]
    listed = ask("GET", "/v1/messages/tokens").json["tokens"]
    assert listed == [{name: token[name] for name in ("token_id", "agent", "scopes", "created_at_s")}]
    assert listed[0]["scopes"] == ["post", "read"]
    rows = service.database.read(lambda cursor: list(cursor.execute("SELECT key, value FROM settings")))
    assert not any(secret.encode() in bytes(value) or secret in key for key, value in rows)


def test_a_revoked_token_opens_nothing(ask: Any) -> None:
    token, other = made(ask, "read"), made(ask, "read", agent="bob")
    bearer = f"Bearer {token['token']}"
    assert ask("GET", "/query/messages", authorization=bearer).status == 200
    assert ask("DELETE", f"/v1/messages/tokens/{token['token_id']}").json["agent"] == "ada"
    assert ask("GET", "/query/messages", authorization=bearer).code == "unauthorised"
    assert ask("GET", "/query/messages", authorization=f"Bearer {other['token']}").status == 200
    assert ask("DELETE", f"/v1/messages/tokens/{token['token_id']}").code == "not_found"


def test_tokens_outlive_the_node(ask: Any, service: MemoryService) -> None:
    bearer = f"Bearer {made(ask, 'read')['token']}"
    service._message_tokens = None
    assert ask("GET", "/query/messages", authorization=bearer).status == 200


def test_what_only_looks_like_a_token(ask: Any) -> None:
    text = made(ask, "read")["token"]
    last = "0" if text[-1] != "0" else "1"
    for wrong in (
        text[:-1] + last,
        text[:-1],
        text + "0",
        PREFIX,
        text.replace("-", "_"),
        "é" * len(text),
        text.upper(),
    ):
        assert ask("GET", "/query/messages", authorization=f"Bearer {wrong}".encode().decode("latin-1")).status == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"agent": "ada"},
        {"agent": "ada", "scopes": []},
        {"agent": "ada", "scopes": ["all"]},
        {"agent": "a b", "scopes": ["read"]},
    ],
)
def test_wrong_wishes_are_refused(ask: Any, body: Any) -> None:
    assert ask("POST", "/v1/messages/tokens", body).code == "bad_input"
    assert ask("GET", "/v1/messages/tokens").json == {"tokens": []}


# The inbox


def signed_in(ask: Any) -> dict[str, str]:
    """The headers of a page that is in."""
    code = ask("POST", "/v1/messages/login-codes", {}).json
    assert code["path"] == "/messages"
    answer = ask("POST", "/messages/session", {"code": code["code"]}, authorization="none")
    assert answer.status == 204 and answer.body == b""
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert {each.lower() for each in attributes} == {"httponly", "samesite=strict", "path=/"}
    return {"authorization": "none", "cookie": f"theme=dark; {cookie}"}


def origin(node: Served) -> str:
    return f"http://127.0.0.1:{node.port}"


def test_a_code_opens_the_inbox_once(ask: Any, node: Served) -> None:
    page = signed_in(ask)
    ask("POST", "/sync/message", message(1).encode())
    assert ask("GET", "/query/messages", **page).json["messages"]
    own = {"origin": origin(node), "sec_fetch_site": "same-origin"}
    body = {"ids": [message_id(1)], "mark": "read"}
    marked = ask("POST", "/v1/messages/marks", body, **page, **own).json["messages"]
    assert marked[0]["marks"]["read"]["by"] == "owner"
    code = ask("POST", "/v1/messages/login-codes", {}).json["code"]
    assert ask("POST", "/messages/session", {"code": code}, authorization="none").status == 204
    for wrong in (code, "0" * len(code), "é", " "):
        assert ask("POST", "/messages/session", {"code": wrong}, authorization="none").code == "unauthorised"


def test_a_page_may_use_messages_and_nothing_else(ask: Any, node: Served) -> None:
    page = signed_in(ask) | {"origin": origin(node)}
    for method, path, body in OWNERS:
        answer = ask(method, path, body, **page)
        assert (answer.status, answer.code) == (403, "refused"), path


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_another_page_cannot_ride_on_the_cookie(ask: Any, headers: dict[str, str]) -> None:
    page = signed_in(ask)
    ask("POST", "/sync/message", message(1).encode())
    answer = ask("POST", "/v1/messages/marks", {"ids": [message_id(1)], "mark": "read"}, **page, **headers)
    assert (answer.status, answer.code) == (403, "refused")
    assert ask("GET", "/v1/messages/unread").json == {"unread": 1}
    if headers:
        assert ask("GET", "/query/messages", **page, **headers).status == 403
        code = ask("POST", "/v1/messages/login-codes", {}).json["code"]
        assert ask("POST", "/messages/session", {"code": code}, authorization="none", **headers).status == 403


def test_signing_out(ask: Any, node: Served) -> None:
    page, other = signed_in(ask), signed_in(ask)
    answer = ask("DELETE", "/messages/session", **page, origin=origin(node))
    assert answer.status == 204 and f'{COOKIE}_{node.port}=""' in answer.headers["set-cookie"]
    assert ask("GET", "/query/messages", **page).code == "unauthorised"
    assert ask("GET", "/query/messages", **other).status == 200


@pytest.mark.parametrize("cookie", ["", COOKIE, f"{COOKIE}=", f"{COOKIE}={'0' * 64}", "=;=;;", f"{COOKIE}=é"])
def test_a_made_up_cookie_opens_nothing(ask: Any, cookie: str) -> None:
    signed_in(ask)
    sent = cookie.encode().decode("latin-1")
    assert ask("GET", "/query/messages", authorization="none", cookie=sent).code == "unauthorised"


def test_nodes_of_one_machine_do_not_sign_each_other_out(ask: Any) -> None:
    """A browser sends the cookies of all ports of a host."""
    page = signed_in(ask)
    others = f"{COOKIE}_1={'1' * 64}; {page['cookie']}; {COOKIE}_2={'2' * 64}"
    assert ask("GET", "/query/messages", **(page | {"cookie": others})).status == 200


def test_a_wrong_token_is_not_made_good_by_a_cookie(ask: Any) -> None:
    page = signed_in(ask) | {"authorization": "Bearer wrong"}
    assert ask("GET", "/query/messages", **page).code == "unauthorised"


class MovingClock(Clock):
    """Its monotonic seconds are what a test says."""

    at_s = 0.0

    def monotonic_s(self) -> float:
        return self.at_s


def test_codes_and_sessions_end() -> None:
    clock = MovingClock()
    sessions = Sessions(clock)
    code = sessions.make_code()
    clock.at_s += CODE_S
    with pytest.raises(Unauthorised):
        sessions.enter(code)
    cookie = f"{COOKIE}={sessions.enter(sessions.make_code())}"
    for _ in range(3):
        clock.at_s += IDLE_S - 1
        assert sessions.use(cookie)
    clock.at_s += IDLE_S
    assert not sessions.use(cookie)


def test_codes_and_sessions_are_few() -> None:
    clock = MovingClock()
    sessions = Sessions(clock)
    codes = [sessions.make_code() for _ in range(MAX_CODES + 1)]
    with pytest.raises(Unauthorised):
        sessions.enter(codes[0])
    sessions.enter(codes[-1])
    cookies = []
    for _ in range(MAX_SESSIONS):
        clock.at_s += 1
        cookies.append(f"{COOKIE}={sessions.enter(sessions.make_code())}")
    clock.at_s += 1
    assert sessions.use(cookies[0])
    sessions.enter(sessions.make_code())
    assert [sessions.use(each) for each in cookies[:3]] == [True, False, True]


def test_the_page_is_open_and_keeps_to_itself(ask: Any) -> None:
    page = ask("GET", "/messages", authorization="none")
    assert page.status == 200 and b"<!doctype html>" in page.body.lower()
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    for name in ("inbox.js", "inbox.css", "badge.js"):
        asset = ask("GET", f"/messages/assets/{name}", authorization="none")
        assert asset.status == 200 and asset.headers["content-type"].startswith("text/")
        again = ask("GET", f"/messages/assets/{name}", authorization="none", if_none_match=asset.headers["etag"])
        assert (again.status, again.body) == (304, b"")
    head = ask("HEAD", "/messages", authorization="none")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..", "%2e%2e%2findex.html", "..%2f..%2fgate.py", ".hidden", "a%00b"])
def test_only_files_of_the_page_are_served(ask: Any, name: str) -> None:
    assert ask("GET", f"/messages/assets/{name}", authorization="none").status == 404


def test_no_secret_is_in_what_a_node_says_of_itself() -> None:
    service = MemoryService(RealEnv())
    app = make_app(service, env=RealEnv(), token="the-secret-of-the-node", host="127.0.0.1", version="0")
    assert "the-secret-of-the-node" not in repr(app)
    service.close()


def test_scopes_are_those_that_are_tried() -> None:
    assert set(CALLS) | {"files"} == set(SCOPES)
