"""The inbox as a person uses it, and the node in front of which it is: what its tests speak through."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Locator, Page, Request, expect

from inos.core.env import RealEnv
from inos.core.messages.ids import next_id
from inos.core.messages.message import Message
from inos.core.messages.sync import MAX_BATCH, Batch
from inos.testing.memory_service import MemoryService
from served import Served

WAIT_MS = 10_000


@dataclass
class Seen:
    """What happened in a browser beside what it shows. What a test provokes it removes."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@dataclass
class Node:
    """The served node: agents write to it, its owner signs in."""

    at: Served
    service: MemoryService
    count: int = 0

    @property
    def url(self) -> str:
        return self.at.url

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.at.port, timeout=20)
        try:
            sent = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
            headers = {"authorization": f"Bearer {self.at.token}", "content-type": "application/json"}
            connection.request(method, path, sent, headers)
            response = connection.getresponse()
            answer = response.read()
            assert response.status < 300, answer
            return json.loads(answer)
        finally:
            connection.close()

    def post(self, content: Any, *, age_s: float = 0, **fields: Any) -> str:
        """One message of an agent; its id."""
        return self.post_many([content], age_s=age_s, **fields)[0]

    def post_many(self, contents: list[Any], *, age_s: float = 0, **fields: Any) -> list[str]:
        """Messages of an agent, as its outbox sends them."""
        messages = [self._message(content, age_s, fields) for content in contents]
        for at in range(0, len(messages), MAX_BATCH):
            batch = Batch(f"batch-{self.count}", "node-1", tuple(messages[at : at + MAX_BATCH]))
            self.ask("POST", "/sync/messages", batch.encode())
        return [message.id for message in messages]

    def _message(self, content: Any, age_s: float, fields: dict[str, Any]) -> Message:
        self.count += 1
        now_ms = int((RealEnv().now_s() - age_s) * 1000)
        made = next_id(now_ms, self.count.to_bytes(10, "big"), None)
        return Message(made, now_ms, **{"agent": "scout-1", "content": content} | fields)

    def state(self, message_id: str) -> str:
        return str(self.ask("GET", f"/query/messages/{message_id}")["state"])

    def becomes(self, message_id: str, state: str) -> None:
        """Wait until the page's change has come to the node."""
        deadline_s = RealEnv().monotonic_s() + WAIT_MS / 1000
        while (now := self.state(message_id)) != state:
            assert RealEnv().monotonic_s() < deadline_s, f"the message is {now}, not {state}"
            time.sleep(0.05)

    def code(self) -> str:
        return str(self.ask("POST", "/v1/messages/login-codes", {})["code"])


class _ListsAsked:
    """How many lists a page asked for to the end: one to begin with; one that was not there before another, when its
    stream is there and a report came. After that it asks for none by itself."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._count = 0
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)  # given up for a later one

    def _answered(self, request: Request) -> None:
        self._count += "/query/messages" in request.url

    def are(self, count: int) -> None:
        """Wait until there were so many."""
        for _ in range(WAIT_MS // 20):
            if self._count >= count:
                return
            self._page.wait_for_timeout(20)
        raise AssertionError(f"{self._count} lists were answered, not {count}")


@dataclass
class InboxPage:
    """The page as a person uses it."""

    page: Page
    node: Node
    seen: Seen

    def open(self, view: str = "") -> InboxPage:
        """Sign in, and see the list. All that a page asks for at its beginning is answered then."""
        asked, fresh = _ListsAsked(self.page), not self.page.url.startswith(self.node.url)
        self.page.goto(f"{self.node.url}/messages#code={self.node.code()}")
        expect(self.page.get_by_role("heading", name="Inbox")).to_be_visible()
        if view:
            self.page.goto(f"{self.node.url}/messages#{view}")
        expect(self.page.get_by_role("listbox")).to_have_attribute("aria-busy", "false")
        expect(self.page.get_by_text("Live", exact=True)).to_be_visible()
        asked.are(2 if fresh else 1)
        return self

    @property
    def rows(self) -> Locator:
        return self.page.get_by_role("listbox", name="Messages").get_by_role("option")

    def row(self, text: str) -> Locator:
        return self.rows.filter(has_text=text)

    @property
    def reader(self) -> Locator:
        return self.page.get_by_role("article", name="Message")

    @property
    def notices(self) -> Locator:
        return self.page.get_by_role("log")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def shows(self, *titles: str) -> None:
        """The list is exactly these, in this order."""
        expect(self.rows.locator(".title")).to_have_text(list(titles))
