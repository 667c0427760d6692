"""What can be done with messages, by mouse and by keys, and that every bit of it can be taken back."""

from __future__ import annotations

import pytest
from inbox_page import InboxPage, Node
from playwright.sync_api import expect

from inos.messages.hook import MAX_TIMEOUT_S


def test_acknowledge_archive_and_undo(node: Node, inbox: InboxPage) -> None:
    ids = node.post_many(["one", "two", "three"])
    inbox.open()
    inbox.row("two").click()
    expect(inbox.row("two")).to_contain_text("Read.")
    inbox.reader.get_by_role("button", name="Acknowledge").click()
    expect(inbox.row("two")).to_contain_text("Acknowledged.")
    expect(inbox.notices).to_contain_text("Message acknowledged")
    inbox.reader.get_by_role("button", name="Archive").click()
    inbox.shows("three", "one")
    expect(inbox.reader.get_by_role("heading", name="Message from scout-1")).to_be_visible()
    node.becomes(ids[1], "archived")
    inbox.notices.get_by_role("button", name="Undo").last.click()
    inbox.shows("three", "two", "one")
    expect(inbox.row("two")).to_contain_text("Acknowledged.")
    inbox.press("z")
    expect(inbox.row("two")).to_contain_text("Read.")
    node.becomes(ids[1], "read")


def test_the_whole_inbox_by_keys(node: Node, inbox: InboxPage) -> None:
    ids = dict(zip("abcd", node.post_many(["message a", "message b", "message c", "message d"]), strict=True))
    inbox.open()
    inbox.press("j", "a")
    expect(inbox.row("message c")).to_contain_text("Acknowledged.")
    inbox.press("k", "Enter")
    expect(inbox.reader.locator(".text")).to_have_text("message d")
    inbox.press("j")
    expect(inbox.reader.locator(".text")).to_have_text("message c")
    inbox.press("e")
    inbox.shows("message d", "message b", "message a")
    expect(inbox.reader.locator(".text")).to_have_text("message b")
    expect(inbox.row("message b")).to_contain_text("Read.")
    inbox.press("u")
    expect(inbox.row("message b")).to_contain_text("Unread.")
    inbox.press("Escape")
    expect(inbox.reader).to_contain_text("Nothing is open")
    expect(inbox.page.get_by_role("listbox")).to_be_focused()
    inbox.press("?")
    dialog = inbox.page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    inbox.press("e", "Escape")
    expect(dialog).to_have_count(0)
    inbox.press("/")
    inbox.page.keyboard.type("a e x j")
    inbox.press("Escape", "Escape")
    inbox.press("Control+a", "a")
    for row in ("message d", "message b", "message a"):
        expect(inbox.row(row)).to_contain_text("Acknowledged.")
    for name, state in zip("abdc", ["acknowledged"] * 3 + ["archived"], strict=True):
        node.becomes(ids[name], state)


def test_several_at_once(node: Node, inbox: InboxPage) -> None:
    ids = node.post_many([f"item {n}" for n in range(6)])
    inbox.open()
    inbox.row("item 4").locator(".pick").click()
    inbox.row("item 1").click(modifiers=["Shift"])
    expect(inbox.page.get_by_text("4 messages selected")).to_be_visible()
    expect(inbox.row("item 3")).to_have_attribute("aria-selected", "true")
    inbox.row("item 3").click(modifiers=["Control"])
    bar = inbox.page.get_by_role("region", name="Selected messages")
    bar.get_by_role("button", name="Archive").click()
    inbox.shows("item 5", "item 3", "item 0")
    expect(inbox.notices).to_contain_text("3 messages archived")
    inbox.press("z")
    inbox.shows(*(f"item {n}" for n in reversed(range(6))))
    inbox.page.get_by_role("listbox").focus()
    inbox.press("Home", "Space", "Shift+ArrowDown")
    expect(inbox.page.get_by_text("2 messages selected")).to_be_visible()
    inbox.press("Escape")
    expect(bar).to_have_count(0)
    for each in ids:
        node.becomes(each, "unread")


def test_execute_asks_and_says_what_is_missing(node: Node, inbox: InboxPage) -> None:
    message = node.post("please do")
    inbox.open()
    inbox.press("x")
    dialog = inbox.page.get_by_role("dialog", name="Execute this message?")
    expect(dialog).to_contain_text("please do")
    inbox.press("Escape")
    expect(dialog).to_have_count(0)
    assert node.service.messages.executed == []
    node.service.messages.hook = False
    inbox.press("x")
    dialog.get_by_role("button", name="Execute").click()
    expect(dialog.get_by_role("alert")).to_contain_text("No hook is configured")
    expect(dialog.get_by_role("alert")).to_contain_text("hub.yaml")
    node.service.messages.hook = True
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog).to_have_count(0)
    expect(inbox.row("please do")).to_contain_text("Executed.")
    expect(inbox.notices).to_contain_text("Follow-up started")
    assert node.service.messages.executed == [message]
    inbox.press("u")
    expect(inbox.row("please do")).to_contain_text("Executed.")


def test_after_a_failure_in_the_middle_only_the_rest_is_executed(node: Node, inbox: InboxPage) -> None:
    """And the page waits as long as a hook may take: what it gave up on, it would offer to start a second time."""
    ids = node.post_many(["one", "two", "three"])
    inbox.page.add_init_script("""
      window.limits = [];
      const timeout = AbortSignal.timeout.bind(AbortSignal);
      AbortSignal.timeout = (ms) => { window.limits.push(ms); return timeout(ms); };
    """)
    last = f"**/v1/messages/{ids[0]}/execute"
    inbox.page.route(last, lambda route: route.abort())
    inbox.open()
    inbox.page.get_by_role("listbox").focus()
    inbox.press("Home", "Space", "Shift+ArrowDown", "Shift+ArrowDown", "x")
    dialog = inbox.page.get_by_role("dialog")
    expect(dialog).to_have_accessible_name("Execute 3 messages?")
    dialog.get_by_role("button", name="Execute").click()
    expect(dialog.get_by_role("alert")).to_contain_text("It may have been started all the same")
    expect(dialog).to_have_accessible_name("Execute this message?")
    assert sorted(node.service.messages.executed) == sorted(ids[1:])
    assert max(inbox.page.evaluate("window.limits")) > 1000 * MAX_TIMEOUT_S
    inbox.page.unroute(last)
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog).to_have_count(0)
    assert sorted(node.service.messages.executed) == sorted(ids)


@pytest.mark.parametrize(("state", "titles"), [("archived", ["one"]), ("unread", ["two"]), ("all", ["two", "one"])])
def test_states_are_views_of_their_own(node: Node, inbox: InboxPage, state: str, titles: list[str]) -> None:
    one, _ = node.post("one"), node.post("two")
    node.ask("POST", "/v1/messages/marks", {"ids": [one], "mark": "archived", "on": True})
    inbox.open()
    inbox.shows("two")
    inbox.page.get_by_role("button", name=state.capitalize(), exact=True).click()
    inbox.shows(*titles)
    if state == "archived":
        inbox.row("one").click()
        inbox.reader.get_by_role("button", name="Back to the inbox").click()
        expect(inbox.page.get_by_text("Nothing matches")).to_be_visible()
        node.becomes(one, "unread")


def test_what_the_node_refuses_is_taken_back_on_the_page(node: Node, inbox: InboxPage) -> None:
    message = node.post("stays as it was")
    # Before the page is there: one that is loaded may send a request past a route that was only just made.
    inbox.page.route("**/v1/messages/marks", lambda route: route.abort())
    inbox.open()
    inbox.press("e")
    expect(inbox.notices).to_contain_text("Nothing was changed: The node does not answer.")
    inbox.shows("stays as it was")
    expect(inbox.row("stays as it was")).to_contain_text("Unread.")
    assert node.state(message) == "unread"


def test_what_the_hub_alone_has_is_said(node: Node, inbox: InboxPage) -> None:
    ids = node.post_many(["one", "two"])
    inbox.open()
    node.service.messages.covered = False
    inbox.row("two").click()
    node.becomes(ids[1], "read")
    inbox.reader.get_by_role("button", name="Acknowledge").click()
    expect(inbox.notices).to_contain_text("On the hub's disk alone for now")
    node.becomes(ids[1], "acknowledged")
    node.service.messages.covered = True
    inbox.row("one").click()
    inbox.reader.get_by_role("button", name="Acknowledge").click()
    node.becomes(ids[0], "acknowledged")
    expect(inbox.notices.get_by_text("On the hub's disk alone for now")).to_have_count(1)
