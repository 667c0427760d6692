"""What a node says of itself when it is asked, without anything given: calls that are answered without FastAPI as well.

What a call returns is what FastAPI describes and sends; no docstrings, as they would be part of that description.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, is_dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from inos.api.service import Reporting
from inos.api.streaming import send_start
from inos.core.reports import PeerReport, StatusReport


class Reports:
    """The calls."""

    def __init__(self, service: Reporting) -> None:
        self._service = service

    async def status(self) -> StatusReport:
        return await self._service.status()

    async def peers(self) -> list[PeerReport]:
        return list(await self._service.peers())

    async def health(self) -> dict[str, str]:
        return {"status": "ok"}


class Answered:
    """Such a call as raw ASGI. Its answer is the one that FastAPI gives, to the byte."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self._call = call

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        body = json.dumps(await self._call(), default=_as_dict, ensure_ascii=False, separators=(",", ":")).encode()
        await send_start(send, 200, {"content-length": str(len(body)), "content-type": "application/json"})
        await send({"type": "http.response.body", "body": body})


def _as_dict(report: Any) -> dict[str, Any]:
    assert is_dataclass(report) and not isinstance(report, type)
    return asdict(report)
