"""A real Chromium in front of a served node with a real corpus: what the tests of the inbox need, and what holds after
each of them. No script failed, no policy was violated, and nothing was asked for beyond the node."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inbox_page import WAIT_MS, InboxPage, Node, Seen
from playwright.sync_api import Browser, BrowserContext, Request, expect, sync_playwright

from inos.core.env import RealEnv
from inos.testing.memory_service import MemoryService
from served import served

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ARGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Tells the test of what a policy stopped, from the first script on.
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => violations.push(`${e.effectiveDirective} ${e.blockedURI}`));
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert path, "the tests of the inbox need Chromium; install it with: sh scripts/browser.sh"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    service = MemoryService(RealEnv())
    with served(service, tmp_path / "home") as at:
        yield Node(at, service)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def new_context(chromium: Browser, node: Node, seen: Seen) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browsers that know nothing of each other, and looks after them."""
    contexts: list[BrowserContext] = []

    def beyond(request: Request) -> None:
        if not request.url.startswith((node.url, "data:")):
            seen.outside.append(request.url)

    def make(**options: Any) -> BrowserContext:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}} | options)
        context.set_default_timeout(WAIT_MS)
        context.add_init_script(WATCH)
        context.on("weberror", lambda error: seen.errors.append(str(error.error)))
        context.on("request", beyond)
        contexts.append(context)
        return context

    expect.set_options(timeout=WAIT_MS)
    yield make
    for context in contexts:
        for page in context.pages:
            seen.errors += page.evaluate("() => window.violations ?? []")
        context.close()
    assert not seen.errors
    assert not seen.outside


@pytest.fixture
def inbox(new_context: Callable[..., BrowserContext], node: Node, seen: Seen) -> InboxPage:
    """A browser of desktop size, still on an empty page."""
    return InboxPage(new_context().new_page(), node, seen)
