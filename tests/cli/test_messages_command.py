"""inos msg: written, followed, found, marked, as a user does it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import AsyncGenerator
from typing import Any

from inos.core.messages.calls import MessageEvent
from inos.core.messages.ids import parse_id
from inos.testing.corpus import message
from inos.testing.memory_service import MemoryService

Cli = Any


def test_a_message_is_posted_listed_searched_shown_and_acknowledged(inos: Cli) -> None:
    posted = inos("msg", "post", "the backup ran through", "--agent", "me", "--kind", "completion", "-t", "nightly")
    message_id = posted.text.strip()
    assert posted.code == 0 and parse_id(message_id)
    inos(
        "msg", "post", "the disk is full", "-a", "disk-watch", "-k", "error", "-p", "9", "--to", "me", "--role", "coder"
    )
    listed = inos("msg", "tail", "--json").lines
    assert [each["message"]["content"]["text"] for each in listed] == ["the backup ran through", "the disk is full"]
    assert [each["message"]["kind"] for each in inos("msg", "tail", "--kind", "error", "--json").lines] == ["error"]
    assert [each["message"]["agent"] for each in inos("msg", "tail", "--priority", "8", "--json").lines] == [
        "disk-watch"
    ]
    found = inos("msg", "search", "backup", "through", "--json").lines
    assert [each["message"]["id"] for each in found] == [message_id]
    assert "\x02backup\x03" in found[0]["snippet"]
    assert "the backup ran through" in inos("msg", "search", "backup").text
    assert inos("msg", "search", "nowhere").err == "nothing found\n"
    assert inos("msg", "ack", message_id, "--json").lines == [
        {"id": message_id, "state": "acknowledged", "covered": True}
    ]
    assert inos("msg", "show", message_id, "--json").json["state"] == "acknowledged"
    assert "completion" in inos("msg", "show", message_id).text
    assert [each["message"]["agent"] for each in inos("msg", "tail", "--state", "unread", "--json").lines] == [
        "disk-watch"
    ]
    assert inos("msg", "mark", "acknowledged", message_id, "--off", "--json").lines[0]["state"] == "unread"


def test_content_comes_from_standard_input_and_may_be_data_and_have_files(inos: Cli) -> None:
    piped = inos("msg", "post", "-", "-a", "me", "--json", stdin=b"two\nlines\n").json
    assert piped["content"] == {"text": "two\nlines"}
    data = inos("msg", "post", '{"n": [1, null]}', "-a", "me", "--as-data", "--json").json
    assert data["content"] == {"n": [1, None]}
    (inos.cwd / "a report.txt").write_text("12345")
    attached = inos("msg", "post", "see there", "-a", "me", "--attach", "a report.txt", "--json").json["attachments"]
    assert [(each["name"], each["size_bytes"]) for each in attached] == [("a report.txt", 5)]
    assert inos("get", attached[0]["reference"], "-o", "-").out == b"12345"


def test_ids_of_many_messages_come_from_standard_input(inos: Cli) -> None:
    ids = [inos("msg", "post", f"number {number}", "-a", "me").text for number in range(2)]
    marked = inos("msg", "mark", "archived", "-", "--json", stdin="".join(ids).encode()).lines
    assert [each["state"] for each in marked] == ["archived", "archived"]
    assert inos("msg", "tail", "--state", "open").text == ""


def test_what_comes_in_is_followed(inos: Cli) -> None:
    inos("msg", "post", "before", "-a", "me")
    with inos.popen("msg", "tail", "-f", "--json", "--kind", "report") as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["message"]["content"] == {"text": "before"}
        inos("msg", "post", "other", "-a", "me", "-k", "error")
        inos("msg", "post", "after", "-a", "me")
        assert json.loads(following.stdout.readline())["message"]["content"] == {"text": "after"}
        following.terminate()


def test_what_comes_in_while_the_stream_opens_is_followed_too(service: MemoryService, inos: Cli) -> None:
    """The corpus was empty when it was listed: what came right after has no message before it to go on from."""
    events = service.messages.events
    late = message(1, content={"text": "right after the list"})

    async def after_one_more(seq: int | None) -> AsyncGenerator[MessageEvent, None]:
        service.messages.corpus.insert([late], late.time_ms)
        return await events(seq)

    service.messages.events = after_one_more  # type: ignore[method-assign,assignment]
    with inos.popen("msg", "tail", "-f", "--json") as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["message"]["id"] == late.id
        following.terminate()


def test_what_a_terminal_would_obey_is_not_shown(inos: Cli) -> None:
    inos("msg", "post", "red \x1b[31m alert \x07", "-a", "me")
    shown = inos("msg", "tail").text + inos("msg", "search", "red").text
    assert "alert" in shown and "\x1b" not in shown and "\x07" not in shown


def test_stats_and_hub_say_where_messages_are(inos: Cli) -> None:
    inos("msg", "post", "hello", "-a", "me")
    stats = inos("msg", "stats", "--json").json
    assert stats["role"] == "hub" and stats["messages"] == 1 and stats["unread"] == 1
    assert "this node is the hub" in inos("msg", "stats").text
    assert inos("msg", "hub", "--json").json["role"] == "hub"


def test_a_token_is_shown_once_written_for_its_user_only_and_revoked(inos: Cli) -> None:
    made = inos("msg", "token", "scout-1", "--scope", "post", "--json").json
    assert made["token"] and made["scopes"] == ["post"]
    listed = inos("msg", "token", "--json").lines
    assert [each["token_id"] for each in listed] == [made["token_id"]] and "token" not in listed[0]
    assert inos("msg", "token", "scout-2", "-o", "scout.token").out == b""
    path = inos.cwd / "scout.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.read_text().strip()
    assert inos("msg", "token", "scout-2", "-o", "scout.token", "--json").error["code"] == "bad_input"
    assert inos("msg", "token", "--revoke", made["token_id"]).code == 0
    assert made["token_id"] not in inos("msg", "token").text


def test_the_inbox_opens_by_an_address_that_works_once(inos: Cli, node: Any) -> None:
    url = inos("messages", "--print", "--json").json["url"]
    assert url.startswith(node.url + "/messages#code=") and len(url.partition("#code=")[2]) >= 20


def test_wrong_input_says_what_and_what_to_do(inos: Cli) -> None:
    assert inos("msg", "post", "x", "-a", "-no-", "--json").error["code"] == "bad_input"
    assert "agent" in inos("msg", "post", "x", "-a", "no spaces", "--json").error["message"]
    assert inos("msg", "post", "{", "-a", "me", "--as-data", "--json").error["message"] == "the content is not JSON"
    assert inos("msg", "post", "-", "-a", "me", "--json", stdin=b"\xff").error["code"] == "bad_input"
    assert inos("msg", "tail", "--state", "lost", "--json").error["code"] == "bad_input"
    assert inos("msg", "tail", "--since", "soon", "--json").error["code"] == "bad_input"
    assert inos("msg", "ack", "nonsense", "--json").error["code"] == "bad_input"
    not_utf_8 = inos("msg", "search", os.fsdecode(b"caf\xe9"), "--json").error
    assert (not_utf_8["message"], "UTF-8" in not_utf_8["hint"]) == ("text holds half a character", True)
    missing = "01900000-0000-7000-8000-000000000000"
    assert inos("msg", "show", missing, "--json").error["code"] == "not_found"
    assert inos("msg", "ack", missing, "--json").error["code"] == "not_found"
    assert inos("msg", "mark", "lost", missing, "--json").error["code"] == "bad_input"
    assert inos("msg", "token", "a", "--scope", "all", "--json").error["code"] == "bad_input"
    assert not list(inos.cwd.iterdir())
