"""Streams of events: one left in the middle is closed on the spot; a hub that is away is an error before any."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from typing import Any

import trio

from inos.api.callers import set_caller, set_recheck
from inos.api.message_events import MessageEvents
from inos.client.connect import connect
from inos.core.env import RealEnv
from inos.core.errors import Unavailable
from inos.core.messages.access import Caller
from inos.core.messages.calls import MessageEvent
from inos.core.messages.message import Draft
from inos.testing.memory_messages import MemoryMessages
from inos.testing.memory_service import MemoryService
from served import TOKEN, Served, served


@contextmanager
def generators() -> Iterator[list[AsyncGenerator[Any, Any]]]:
    """All asynchronous generators that begin inside the block, on this loop, so that none is left to the collector."""
    begun: list[AsyncGenerator[Any, Any]] = []
    before = sys.get_asyncgen_hooks()

    def begin(generator: AsyncGenerator[Any, Any]) -> None:
        begun.append(generator)
        if before.firstiter is not None:
            before.firstiter(generator)

    sys.set_asyncgen_hooks(firstiter=begin)
    try:
        yield begun
    finally:
        sys.set_asyncgen_hooks(firstiter=before.firstiter)


def left_open(begun: list[AsyncGenerator[Any, Any]]) -> list[str]:
    return [str(each) for each in begun if getattr(each, "ag_frame", None) is not None]


def test_a_program_that_leaves_a_stream_leaves_nothing_open(node: Served, ask: Any) -> None:
    ask("POST", "/v1/messages", {"messages": [{"agent": "ada", "content": each} for each in range(3)]})

    async def read_one() -> None:
        async with connect(node.home) as mesh:
            with generators() as begun:
                async with aclosing(mesh.messages.events(0)) as events:
                    assert (await anext(events)).seq == 1
                assert len(begun) >= 3 and left_open(begun) == []

    trio.run(read_one)


async def owner() -> Caller:
    return Caller()


def test_a_browser_that_goes_away_leaves_nothing_open() -> None:
    service = MemoryService(RealEnv())
    gone = trio.Event()
    sent: list[bytes] = []

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if b"event: message" in sent[-1]:
            gone.set()
            await trio.sleep_forever()  # it reads no more

    async def serve() -> None:
        await service.messages.post([Draft("ada", each) for each in range(3)])
        scope = {"type": "http", "headers": [], "query_string": b"after=0"}
        set_caller(scope, Caller())
        set_recheck(scope, owner)
        with generators() as begun, trio.fail_after(20):
            await MessageEvents(service)(scope, receive, send)
        assert len(begun) >= 2 and left_open(begun) == []

    with closing(service):
        trio.run(serve)


class FarAway(MemoryMessages):
    """A hub of which it takes long to find out that it is away."""

    async def events(self, after_seq: int | None) -> AsyncGenerator[MessageEvent, None]:
        await trio.sleep(0.3)
        raise Unavailable("the hub does not answer", hint="messages are kept until it does")


def test_a_hub_that_is_away_is_an_error_however_long_it_takes_to_find_out(tmp_path: Path) -> None:
    service = MemoryService(RealEnv())
    service._messages = FarAway(service.messages.corpus, RealEnv())
    with served(service, tmp_path) as node:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        connection.request("GET", "/events", headers={"authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (503, "unavailable")
        connection.close()
