"""Getting in, being thrown out, the hub and the node going away and coming back, and the badge on other pages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inbox_page import WAIT_MS, InboxPage, Node, Seen
from playwright.sync_api import APIResponse, BrowserContext, Page, Route, expect

from inos.core.components import AppFile
from inos.core.env import RealEnv
from inos.testing.memory_service import MemoryService
from served import served


def test_without_a_session_the_page_says_how_to_get_in(node: Node, inbox: InboxPage) -> None:
    node.post("secret words")
    page = inbox.page
    page.goto(f"{node.url}/messages")
    expect(page.get_by_text("inos messages", exact=True)).to_be_visible()
    page.get_by_label("Code").fill("wrong")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert "secret words" not in page.content()
    page.get_by_label("Code").fill(f" {node.code()} ")
    page.get_by_label("Code").press("Enter")
    inbox.shows("secret words")


def test_a_code_leaves_the_address_works_once_and_no_script_sees_the_session(
    node: Node, inbox: InboxPage, new_context: Callable[..., BrowserContext]
) -> None:
    code = node.code()
    inbox.page.goto(f"{node.url}/messages#code={code}")
    expect(inbox.page.get_by_role("heading", name="Inbox")).to_be_visible()
    assert inbox.page.url == f"{node.url}/messages"
    assert inbox.page.evaluate("document.cookie") == ""
    assert code not in str(
        inbox.page.evaluate("[localStorage, sessionStorage, history.state].map((x) => JSON.stringify(x))")
    )
    (cookie,) = inbox.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    inbox.page.reload()
    expect(inbox.page.get_by_role("heading", name="Inbox")).to_be_visible()
    other = new_context().new_page()
    other.goto(f"{node.url}/messages#code={code}")
    expect(other.get_by_role("alert")).to_be_visible()
    assert other.url == f"{node.url}/messages"


def test_an_ended_session_asks_for_a_new_code_and_goes_on_where_it_was(node: Node, inbox: InboxPage) -> None:
    node.post("here again")
    inbox.open("agent=scout-1")
    inbox.page.context.clear_cookies()
    inbox.press("a")
    expect(inbox.page.get_by_role("heading", name="Open your inbox")).to_be_visible()
    inbox.page.get_by_label("Code").fill(node.code())
    inbox.page.get_by_label("Code").press("Enter")
    inbox.shows("here again")
    expect(inbox.page.get_by_label("Agent", exact=True)).to_have_value("scout-1")


def test_a_refusal_that_comes_after_signing_in_again_ends_nothing(node: Node, inbox: InboxPage) -> None:
    node.post("still here")
    holding: list[bool] = []
    held: list[Route] = []
    answers: list[APIResponse] = []

    def hold_the_first(route: Route) -> None:
        if held or not holding:
            route.fallback()
            return
        held.append(route)
        answers.append(route.fetch())

    # Before the page is there: one that is loaded may send a request past a route that was only just made.
    inbox.page.route("**/v1/messages/unread", hold_the_first)
    inbox.open()
    holding.append(True)
    inbox.page.context.clear_cookies()
    inbox.press("a")
    inbox.page.wait_for_timeout(1100)
    inbox.press("a")  # whatever it changes, the number of unread messages is asked for again
    expect(inbox.page.get_by_role("heading", name="Open your inbox")).to_be_visible()
    while not answers:  # on its way still where the machine is slow
        inbox.page.wait_for_timeout(20)
    assert [answer.status for answer in answers] == [401]
    inbox.page.get_by_label("Code").fill(node.code())
    inbox.page.get_by_label("Code").press("Enter")
    inbox.shows("still here")
    held[0].fulfill(response=answers[0])
    inbox.page.wait_for_timeout(300)
    inbox.shows("still here")


def test_a_lost_hub_is_said_and_comes_back_by_itself(node: Node, inbox: InboxPage) -> None:
    node.post("before")
    inbox.open()
    node.at.call(node.service.messages.lose)
    status = inbox.page.get_by_role("alert")
    expect(status).to_contain_text("No new messages arrive. The hub cannot be reached. Messages are kept")
    expect(inbox.page.get_by_text("Not connected")).to_be_visible()
    inbox.shows("before")
    node.service.messages.reachable = True
    node.post("after")
    inbox.shows("after", "before")
    expect(status).to_have_count(0)


def test_a_list_without_what_the_hub_has_says_so(node: Node, inbox: InboxPage) -> None:
    node.post("kept here")
    node.service.messages.whole = False
    inbox.open()
    inbox.shows("kept here")
    said = inbox.page.get_by_text("Shown is what this node keeps for its agents.")
    expect(said).to_be_visible()
    node.service.messages.whole = True
    inbox.page.get_by_role("button", name="Ask again").click()
    expect(said).to_have_count(0)


def test_a_node_that_knows_its_hub_is_away_says_so(node: Node, inbox: InboxPage) -> None:
    """The streams of such a node open, and end at once or stay silent: its report is what tells, and the count of
    unread messages that the hub is there again."""
    node.post("shown")
    away = {"hub": "", "reachable": False, "unread": 1}
    refused = {"error": {"code": "unavailable", "message": "the hub does not answer"}}
    inbox.page.route("**/v1/messages/report", lambda route: route.fulfill(json=away))
    inbox.page.route("**/v1/messages/unread", lambda route: route.fulfill(status=503, json=refused))
    inbox.open()
    expect(inbox.page.get_by_role("alert")).to_contain_text("The hub cannot be reached.")
    inbox.shows("shown")
    inbox.page.unroute("**/v1/messages/unread")
    expect(inbox.page.get_by_role("alert")).to_have_count(0, timeout=2 * WAIT_MS)


def test_a_hub_that_is_away_from_the_start(node: Node, inbox: InboxPage) -> None:
    node.post("kept")
    code = node.code()
    node.at.call(node.service.messages.lose)
    inbox.page.goto(f"{node.url}/messages#code={code}")
    expect(inbox.page.get_by_text("Messages cannot be shown")).to_be_visible()
    node.service.messages.reachable = True
    inbox.shows("kept")


def test_a_node_that_restarts_is_found_again(
    tmp_path: Path, new_context: Callable[..., BrowserContext], node: Node, seen: Seen
) -> None:
    service = MemoryService(RealEnv())
    with served(service, tmp_path / "first") as at:
        first = Node(at, service)
        first.post("one")
        inbox = InboxPage(new_context().new_page(), first, seen)
        node.at = at
        inbox.open()
    expect(inbox.page.get_by_role("alert")).to_contain_text("The node does not answer.")
    again = MemoryService(RealEnv())
    with served(again, tmp_path / "second", port=at.port) as at:
        second = Node(at, again, count=1)
        second.post("two")
        expect(inbox.page.get_by_role("heading", name="Open your inbox")).to_be_visible()
        inbox.page.goto(f"{at.url}/messages#code={second.code()}")
        inbox.shows("two")
        inbox.page.close()


INDEX = b"""<!doctype html><title>A component</title><script type="module" src="/messages/assets/badge.js"></script>
<script type="module" src="app.js"></script><inos-unread-badge every="5"></inos-unread-badge>"""
# What a front end could try: to call the API with its owner's cookie, and to reach into an inbox that it opened.
APP = b"""
const tried = {};
window.tried = tried;
window.pry = async () => {
  for (const path of ["/query/messages", "/v1/messages/report", "/events", "/v1/status"]) {
    tried[path] = await fetch(path).then((answer) => answer.status, () => "stopped");
  }
  for (const path of ["/messages", "/messages/assets/badge.js", "/v1/messages/unread"]) {
    const opened = window.open(path);
    const seen = () => {
      try {
        if (opened.closed) return "stopped";
        const there = opened.location.href !== "about:blank" && opened.document.readyState === "complete";
        return there ? opened.document.documentElement.outerHTML : "";
      } catch (error) {
        return "stopped"; // in a process of its own
      }
    };
    for (let n = 0; n < 200 && !seen(); n++) await new Promise((resolve) => setTimeout(resolve, 50));
    tried[`open ${path}`] = seen();
  }
};
"""


class FrontEnd(MemoryService):
    """A node with the front end of a component."""

    @property
    def components(self) -> Any:
        return self

    async def app_file(self, component_id: str, path: str) -> AppFile:
        assert component_id == "demo"
        return AppFile("text/html", INDEX) if not path else AppFile("text/javascript", APP)


@pytest.fixture
def with_front_end(tmp_path: Path, node: Node) -> Iterator[Node]:
    service = FrontEnd(RealEnv())
    with served(service, tmp_path / "with") as at:
        node.at, node.service = at, service
        yield node


def unread_is(page: Page, count: int | None) -> None:
    """Wait until the badge has heard it. Asked again from here: what waits in the page needs an `eval` for each look
    but the first, which the page's policy forbids."""
    said, awaited = "", "null" if count is None else str(count)
    until = time.monotonic() + WAIT_MS / 1000
    while said != awaited:
        assert time.monotonic() < until, f"the badge says {said}, not {awaited}"
        page.wait_for_timeout(20)
        said = page.evaluate("String(document.querySelector('inos-unread-badge').unread)")


def test_the_badge_counts_on_a_component_s_page(
    with_front_end: Node, new_context: Callable[..., BrowserContext], seen: Seen
) -> None:
    node, context = with_front_end, new_context()
    other = InboxPage(context.new_page(), node, seen)
    other.page.goto(f"{node.url}/apps/demo/")
    badge = other.page.locator("inos-unread-badge a")
    unread_is(other.page, None)
    expect(badge).to_be_hidden()
    node.post_many(["one", "two", "three"])
    InboxPage(context.new_page(), node, seen).open()
    other.page.reload()
    expect(badge).to_have_text("3")
    expect(badge).to_have_accessible_name("3 unread messages")
    expect(badge).to_have_css("background-color", "rgb(64, 80, 207)")
    unread_is(other.page, 3)
    badge.click()
    expect(other.page).to_have_url(re.compile(r"/messages$"))
    other.shows("three", "two", "one")


def test_a_component_s_page_learns_the_number_and_nothing_else(
    with_front_end: Node, new_context: Callable[..., BrowserContext], seen: Seen
) -> None:
    node, context = with_front_end, new_context()
    node.post("secret words")
    InboxPage(context.new_page(), node, seen).open()
    page = context.new_page()
    page.goto(f"{node.url}/apps/demo/")
    unread_is(page, 1)
    page.evaluate("pry()")
    tried = page.evaluate("tried")
    assert set(tried.values()) == {"stopped"}, tried
    assert len(tried) == 7
    stopped = page.evaluate("violations")
    assert len(stopped) == 4 and all(each.startswith("connect-src") for each in stopped)
    page.close()
