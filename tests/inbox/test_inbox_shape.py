"""How the inbox looks and is reached: phones, screen readers, contrast in both schemes, thousands of messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from inbox_page import InboxPage, Node, Seen
from playwright.sync_api import BrowserContext, Page, expect

# WCAG 2: contrast of text with what is painted behind it, wherever text is visible.
CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const shown = element.checkVisibility({ visibilityProperty: true });
    if (!own || !shown || element.closest(".unseen, datalist, select, :disabled")) continue;
    const back = behind(element);
    const text = over(rgba(getComputedStyle(element).color), back);
    const [a, b] = [light(text), light(back)].sort((x, y) => y - x);
    texts.push({ text: element.textContent.trim().slice(0, 40), ratio: (a + 0.05) / (b + 0.05) });
  }
  return texts;
}
"""
# Controls without a name, and controls too small to hit.
CONTROLS = """
() => [...document.querySelectorAll("button, input, select, summary, [role=option], [role=listbox], [role=button]")]
  .filter((each) => each.checkVisibility({ visibilityProperty: true }))
  .map((each) => ({ tag: each.outerHTML.slice(0, 80), height: each.getBoundingClientRect().height,
                    inText: each.matches(".link, summary") }))
"""

OUTLINE = """
() => {
  const style = getComputedStyle(document.activeElement);
  return [document.activeElement.tagName, style.outlineStyle, style.outlineWidth];
}
"""
# A longer list than before, or the whole of it.
LONGER = """
(height) => parseInt(document.querySelector(".long").style.height) > height
  || document.querySelector('[aria-setsize]:not([aria-setsize="-1"])')
"""
# The most rows that are in the page at any time while somebody scrolls through them.
MOST_ROWS = """
async () => {
  const box = document.querySelector("[role=listbox]");
  let most = 0;
  for (let n = 0; n < 100; n++) {
    box.scrollTop = n * 3.5 * box.clientHeight;
    await new Promise(requestAnimationFrame);
    most = Math.max(most, box.querySelectorAll("[role=option]").length);
  }
  return most;
}
"""


def no_sideways_scroll(page: Page) -> None:
    assert page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= innerWidth"
    )


def low_contrast(page: Page) -> list[dict[str, Any]]:
    texts = page.evaluate(CONTRAST)
    assert len(texts) > 10
    return [text for text in texts if text["ratio"] < 4.5]


def test_a_phone(node: Node, new_context: Callable[..., BrowserContext], seen: Seen) -> None:
    context = new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    node.post(
        {"title": "Long " * 30, "text": "x" * 500, "long": {"y" * 200: ["z" * 300]}},
        agent="a" * 128,
        kind="k" * 32,
        priority=9,
    )
    node.post("short")
    inbox = InboxPage(context.new_page(), node, seen).open()
    no_sideways_scroll(inbox.page)
    inbox.page.get_by_role("button", name="Filters").tap()
    expect(inbox.page.get_by_label("Agent", exact=True)).to_be_visible()
    no_sideways_scroll(inbox.page)
    inbox.page.get_by_role("button", name="Filters").tap()
    inbox.row("Long").tap()
    expect(inbox.reader.get_by_role("heading")).to_be_visible()
    expect(inbox.page.get_by_role("listbox")).to_be_hidden()
    no_sideways_scroll(inbox.page)
    inbox.reader.get_by_role("button", name="Acknowledge").tap()
    inbox.reader.get_by_role("button", name="Back to the list").tap()
    expect(inbox.row("Long")).to_contain_text("Acknowledged.")
    inbox.row("short").tap()
    inbox.page.go_back()
    expect(inbox.page.get_by_role("listbox")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(
    node: Node, new_context: Callable[..., BrowserContext], seen: Seen, scheme: str
) -> None:
    inbox = InboxPage(new_context(color_scheme=scheme).new_page(), node, seen)
    inbox.page.goto(f"{node.url}/messages")
    expect(inbox.page.get_by_label("Code")).to_be_visible()
    assert not [text for text in inbox.page.evaluate(CONTRAST) if text["ratio"] < 4.5]
    for kind in ("error", "lead", "completion", "report"):
        node.post({"title": kind, "text": "words", "n": 1, "list": [True, None, "s"]}, kind=kind, priority=9)
    inbox.open()
    inbox.press("a", "Enter")
    expect(inbox.reader.get_by_role("heading")).to_be_visible()
    assert not low_contrast(inbox.page)
    inbox.page.get_by_role("listbox").press("Control+a")
    node.service.messages.hook = False
    inbox.press("x")
    inbox.page.get_by_role("dialog").get_by_role("button", name="Execute").click()
    expect(inbox.page.get_by_role("alert")).to_be_visible()
    assert not low_contrast(inbox.page)
    background = inbox.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == (scheme == "dark")


def test_controls_have_names_and_can_be_hit(node: Node, inbox: InboxPage) -> None:
    node.post({"title": "one", "text": "words", "fields": {"a": 1}})
    inbox.open("text=one").row("one").click()
    expect(inbox.reader.get_by_role("heading")).to_be_visible()
    controls = inbox.page.evaluate(CONTROLS)
    assert len(controls) > 15
    assert not [each for each in controls if each["height"] < 24 and not each["inText"]]
    tree = inbox.page.locator("body").aria_snapshot()
    nameless = [
        line
        for line in tree.splitlines()
        if line.strip(" -:") in ("button", "textbox", "searchbox", "combobox", "option", "listbox", "img")
    ]
    assert not nameless, tree
    for landmark in ("banner", "main", "search"):
        expect(inbox.page.get_by_role(landmark)).to_have_count(1)  # type: ignore[arg-type]
    listbox = inbox.page.get_by_role("listbox")
    active = listbox.get_attribute("aria-activedescendant")
    expect(inbox.page.locator(f"[id='{active}']")).to_contain_text("one")


def test_the_focus_is_seen(node: Node, inbox: InboxPage) -> None:
    node.post("one")
    inbox.open()
    inbox.page.locator("body").evaluate("document.activeElement.blur()")
    for _ in range(14):
        inbox.press("Tab")
        tag, *outline = inbox.page.evaluate(OUTLINE)
        assert tag == "BODY" or outline == ["solid", "2px"], (tag, outline)


def test_thousands_of_messages_stay_quick(node: Node, inbox: InboxPage) -> None:
    node.post_many([{"title": f"Message {n}", "text": f"words of {n}"} for n in range(5000)])
    inbox.open()
    expect(inbox.page).to_have_title("(5,000) Inbox · INOS")
    listbox = inbox.page.get_by_role("listbox")
    listbox.focus()
    loaded, title = 0, "Message 4999"
    while title != "Message 0":
        inbox.press("End")
        inbox.page.wait_for_function(LONGER, arg=loaded)
        loaded = int(listbox.locator(".long").evaluate("x => parseInt(x.style.height)"))
        title = inbox.page.locator(".row.chosen .title").inner_text()
    expect(inbox.row("Message 0").last).to_have_attribute("aria-posinset", "5000")
    inbox.press("Home")
    expect(inbox.row("Message 4999")).to_be_visible()
    most = inbox.page.evaluate(MOST_ROWS)
    assert most < 60, f"{most} rows are in the page at once"
    node.post_many([f"flood {n}" for n in range(1000)])
    listbox.evaluate("box => box.scrollTop = 0")
    expect(inbox.row("flood 999")).to_be_visible()
