"""A served in-memory node for the API's tests, and a plain HTTP client that hides nothing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inos.core.env import RealEnv
from inos.testing.memory_service import MemoryService
from served import Served, served


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == "application/json"
        assert set(self.json["error"]) == {"code", "message", "hint", "retryable"}
        return str(self.json["error"]["code"])


@dataclass(frozen=True)
class Browser:
    """Requests to a served node, with its token unless told otherwise."""

    node: Served

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=20)
        try:
            sent = {"authorization": f"Bearer {self.node.token}"}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            if isinstance(body, dict):
                body, sent["content-type"] = json.dumps(body), "application/json"
            sent = {name: value for name, value in sent.items() if value != "none"}
            with suppress(
                BrokenPipeError, ConnectionResetError
            ):  # refused before all of it was sent: the answer is there
                connection.request(method, path, body, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()


@pytest.fixture
def service() -> MemoryService:
    return MemoryService(RealEnv())


@pytest.fixture
def node(service: MemoryService, tmp_path: Path) -> Iterator[Served]:
    with served(service, tmp_path / "home") as running:
        yield running


@pytest.fixture
def ask(node: Served) -> Browser:
    return Browser(node)
