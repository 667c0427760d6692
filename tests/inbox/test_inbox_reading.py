"""What the inbox shows: the list, a message, filters, a search, what arrives; and nothing a message smuggles in."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from inbox_page import InboxPage, Node
from playwright.sync_api import BrowserContext, expect

HOSTILE = "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script>{@html '<b>'}${alert(1)}&lt;\u202e\x07"


def test_the_newest_is_first_and_a_message_is_shown_whole(node: Node, inbox: InboxPage) -> None:
    content = {"title": "Index rebuilt", "text": "Line one\n  line two", "files": {"read": 18204, "names": ["a", "b"]}}
    file = {"name": "report.pdf", "reference": "inos:/messages/scout-1/report.pdf", "size_bytes": 123_456}
    node.post("plain words")
    draft = {"agent": "indexer", "content": content, "kind": "completion", "priority": 8, "attachments": [file]}
    node.ask("POST", "/v1/messages", {"messages": [draft | {"role": "coder", "task": "build-7"}]})
    inbox.open().shows("Index rebuilt", "plain words")
    expect(inbox.page).to_have_title("(2) Inbox · INOS")
    expect(inbox.row("Index rebuilt")).to_contain_text("P8")
    inbox.row("Index rebuilt").click()
    reader = inbox.reader
    expect(reader.get_by_role("heading", name="Index rebuilt")).to_be_focused()
    expect(reader.locator(".text")).to_have_text("Line one\n  line two", use_inner_text=True)
    for text in ("indexer", "coder", "build-7", "Priority 8", "report.pdf", "123 KB", file["reference"], "18204"):
        expect(reader.get_by_text(str(text), exact=False).first).to_be_visible()
    expect(reader.get_by_text("names", exact=True)).to_be_visible()
    expect(reader.get_by_text("b", exact=True)).to_have_count(0)
    reader.get_by_text("names", exact=True).click()
    expect(reader.get_by_text("b", exact=True)).to_be_visible()
    expect(inbox.page).to_have_title("(1) Inbox · INOS")
    node.becomes(inbox.page.url.partition("open=")[2], "read")


def test_filters_narrow_the_list_and_stay_in_the_address(node: Node, inbox: InboxPage) -> None:
    node.post("old one", age_s=3 * 86_400, agent="watcher", kind="report")
    node.post("a lead", agent="scout-1", kind="lead", role="recruiter", priority=8)
    node.post("an error", agent="indexer", kind="error", role="coder", priority=9, task="build-7")
    inbox.open().shows("an error", "a lead", "old one")
    page = inbox.page
    page.get_by_label("Time").select_option("24h")
    inbox.shows("an error", "a lead")
    page.get_by_label("Agent", exact=True).fill("scout-1")
    page.get_by_label("Agent", exact=True).press("Enter")
    inbox.shows("a lead")
    page.reload()
    inbox.shows("a lead")
    assert {"agent=scout-1", "range=24h"} <= set(page.url.partition("#")[2].split("&"))
    page.get_by_role("button", name="Clear all").click()
    inbox.shows("an error", "a lead", "old one")
    page.get_by_label("Time").select_option("between")
    page.get_by_label("Until").fill("2020-01-01T00:00")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_label("Until").fill("")
    page.get_by_label("From").fill("2020-01-01T00:00")
    inbox.shows("an error", "a lead", "old one")
    page.get_by_label("Time").select_option("")
    page.get_by_label("Priority").select_option("9")
    inbox.shows("an error")
    page.get_by_label("Priority").select_option("0")
    for label, value, title in (("Role", "recruiter", "a lead"), ("Kind", "error", "an error")):
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(label, exact=True).press("Tab")
        inbox.shows(title)
        page.get_by_label(label, exact=True).fill("")
        page.get_by_label(label, exact=True).press("Tab")
    inbox.row("an error").click()
    inbox.reader.get_by_role("button", name="build-7").click()
    inbox.shows("an error")
    page.get_by_role("button", name="Remove the filter Task build-7").click()
    inbox.shows("an error", "a lead", "old one")
    page.get_by_label("Agent", exact=True).fill("not an agent!")
    page.get_by_label("Agent", exact=True).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Not the name of an agent")
    page.get_by_role("button", name="Clear all").click()
    inbox.shows("an error", "a lead", "old one")


def test_a_search_finds_as_one_types_and_marks_what_it_found(node: Node, inbox: InboxPage) -> None:
    node.post({"title": "Cats", "text": "the white cat sleeps <b>here</b>"})
    node.post({"title": "Dogs", "text": "the white dog barks"})
    inbox.open()
    asked: list[str] = []
    inbox.page.on("request", lambda request: asked.extend([request.url] if "text=" in request.url else []))
    inbox.press("/")
    inbox.page.keyboard.type("white cat", delay=15)
    inbox.shows("Cats")
    expect(inbox.rows.locator("mark")).to_have_text(["white", "cat", "Cats"])
    assert len(asked) < len("white cat")
    expect(inbox.rows.locator("b")).to_have_count(0)
    # Its own answer may still be on its way, and would hold what is posted next.
    with inbox.page.expect_response(lambda response: "order=best" in response.url):
        inbox.page.get_by_label("Order").select_option("best")
    inbox.shows("Cats")
    node.post({"title": "More", "text": "white cats"})
    expect(inbox.page.get_by_text("arrived since this search")).to_be_visible()
    inbox.page.get_by_role("button", name="Search again").click()
    expect(inbox.rows).to_have_count(2)
    inbox.page.get_by_label("Search messages").press("Escape")
    expect(inbox.rows).to_have_count(3)
    inbox.page.get_by_label("Search messages").fill("zebra")
    expect(inbox.page.get_by_text("Nothing matches")).to_be_visible()


def test_what_arrives_appears_and_does_not_move_the_reader(node: Node, inbox: InboxPage) -> None:
    inbox.open()
    expect(inbox.page.get_by_text("inos msg post")).to_be_visible()
    node.post("first")
    inbox.shows("first")
    expect(inbox.page.get_by_role("status")).to_have_text("1 new message")
    expect(inbox.page).to_have_title("(1) Inbox · INOS")
    node.post_many([f"number {n}" for n in range(60)])
    expect(inbox.row("number 59")).to_be_visible()
    listbox = inbox.page.get_by_role("listbox")
    listbox.evaluate("box => box.scrollTop = 1000")
    expect(inbox.row("number 40")).to_be_visible()
    before = inbox.row("number 40").bounding_box()
    node.post_many(["late one", "late two"])
    inbox.page.get_by_role("button", name="2 new messages").wait_for()
    assert inbox.row("number 40").bounding_box() == before
    inbox.page.get_by_role("button", name="2 new messages").click()
    expect(inbox.row("late two")).to_be_visible()
    expect(inbox.page.get_by_role("button", name="2 new messages")).to_have_count(0)


def test_marks_made_elsewhere_show_here(node: Node, inbox: InboxPage) -> None:
    one, two = node.post("one"), node.post("two")
    inbox.open().shows("two", "one")
    node.ask("POST", "/v1/messages/marks", {"ids": [one], "mark": "acknowledged", "on": True})
    expect(inbox.row("one")).to_contain_text("Acknowledged.")
    node.ask("POST", "/v1/messages/marks", {"ids": [two], "mark": "archived", "on": True})
    inbox.shows("one")
    expect(inbox.page).to_have_title("Inbox · INOS")


@pytest.mark.parametrize("view", ["", "text=window"])
def test_nothing_in_a_message_is_markup(node: Node, inbox: InboxPage, view: str) -> None:
    text = HOSTILE.replace("\x07", "")
    node.post(
        {"title": HOSTILE, "text": HOSTILE, HOSTILE: [HOSTILE, {"__proto__": HOSTILE}], "constructor": None},
        task=text, sender=text, recipient=text,
    )  # fmt: skip
    file = {"name": text, "reference": "javascript:window.pwned=1"}
    node.ask("POST", "/v1/messages", {"messages": [{"agent": "a", "content": HOSTILE, "attachments": [file]}]})
    inbox.open(view)
    expect(inbox.rows).to_have_count(2)
    for row in (0, 1):
        inbox.rows.nth(row).click()
        expect(inbox.reader.locator(".text")).to_contain_text("<script>window.pwned=1</script>")
        expect(inbox.page.locator("main img, main script, main b, main a")).to_have_count(0)
    expect(inbox.reader.get_by_role("heading")).to_contain_text("onerror")
    assert inbox.page.evaluate("window.pwned") is None


def test_only_the_node_is_asked_and_its_policy_is_strict(node: Node, inbox: InboxPage) -> None:
    answers = []
    inbox.page.on("response", lambda answer: answers.append(answer))
    inbox.open()
    page = next(answer for answer in answers if answer.url.split("#")[0] == f"{node.url}/messages")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    wanted = dict.fromkeys(["default-src", "base-uri", "form-action", "frame-ancestors"], "'none'")
    wanted |= dict.fromkeys(["script-src", "style-src", "connect-src"], "'self'") | {"img-src": "'self' data:"}
    assert policy == wanted
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert all(
        re.match(rf"{node.url}/(messages|v1/messages|query/messages|events)\b", answer.url) for answer in answers
    )


def test_the_address_of_a_message_opens_it_and_back_closes_it(
    node: Node, inbox: InboxPage, new_context: Callable[..., BrowserContext]
) -> None:
    first = node.post({"title": "Linked", "text": "words"})
    inbox.open(f"open={first}")
    expect(inbox.reader.get_by_role("heading", name="Linked")).to_be_visible()
    inbox.open()
    inbox.row("Linked").click()
    expect(inbox.reader.get_by_role("heading", name="Linked")).to_be_visible()
    inbox.page.go_back()
    expect(inbox.reader).to_contain_text("Nothing is open")
    inbox.page.goto(f"{node.url}/messages#open=01a21e36-349d-7e16-bb92-0e7629c48c05")
    expect(inbox.reader.get_by_role("alert")).to_be_visible()
