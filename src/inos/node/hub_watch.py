"""Waits for news of a hub elsewhere, for all who listen on this node, in one call at a time.

Streams to a peer are few (`mesh/calls.MAX_STREAMS_PER_PEER`): listeners that each waited in a call of their own would
leave none for anything else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import trio

from inos.core.crew import Crew
from inos.core.errors import InosError
from inos.messages import hub_calls as wire
from inos.messages.hub import Position
from inos.node.hub_door import HubDoor

# A call that waits for news comes back after this, and the next begins.
_WAIT_S: Final = 20
_TIMEOUT_S: Final = _WAIT_S + 10.0
_AGAIN_S: Final = 1.0


class Watch:
    """The one waiting task, for as long as anybody listens."""

    def __init__(self, door: HubDoor, crew: Crew) -> None:
        self._door = door
        self._crew = crew
        self._listeners = 0
        self._scope = trio.CancelScope()
        self.moved = trio.Event()
        """Set when something has happened, or may have; another one takes its place then."""

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None, None]:
        """Keep `moved` right inside the block."""
        self._listeners += 1
        if self._listeners == 1:
            self._scope = trio.CancelScope()
            self._crew.start(self._run, self._scope)
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._scope.cancel()

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            at: Position | None = None
            hub = ""
            while True:
                try:
                    asked = wire.Behind(at, _WAIT_S if at is not None else 0).encode()
                    news = wire.decode_news(await self._door.ask(wire.MOVED, asked, timeout_s=_TIMEOUT_S))
                except InosError:
                    self._tell()  # listeners ask, and hear the reason themselves
                    await trio.sleep(_AGAIN_S)
                    continue
                if (news.hub, news.at) != (hub, at):
                    hub, at = news.hub, news.at
                    self._tell()

    def _tell(self) -> None:
        moved, self.moved = self.moved, trio.Event()
        moved.set()
