"""The caches that a node holds for programs without one, as far as the node has any: nothing of them is loaded, and
nothing runs for them, before the first message is written or where none was left by an earlier life."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import trio

from inos.core.crew import Crew
from inos.core.env import Env
from inos.core.errors import InosError, NotFound, Unavailable
from inos.core.messages.calls import OutboxReport
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import Ack
from inos.core.worker import Worker, WorkerSet
from inos.node.disk import Disk

if TYPE_CHECKING:
    from inos.messages.desk_outboxes import DeskOutboxes, OutboxSettings

log = logging.getLogger(__name__)

_PARENT: Final = "messages"
_FOLDER: Final = "messages/held"
_SENDING_S: Final = 10.0
_AGAIN_S: Final = 5.0
# An outbox that is behind for so long is worth a look.
_LATE_S: Final = 60.0


class SettingsOf(Protocol):
    """How the cache of an agent is kept and sent."""

    def __call__(self, agent: str) -> OutboxSettings: ...


class Way(Protocol):
    """The way to the hub."""

    async def send(self, batch: bytes, count: int) -> Ack: ...


class NodeOutboxes:
    """Caches by agent, opened when needed. `key` opens them; `name` is the node's, for the log of the hub; `settings`
    are asked for an agent when its cache is opened."""

    def __init__(
        self,
        disk: Disk,
        key: bytes,
        name: str,
        settings: SettingsOf | None,
        crew: Crew,
        workers: WorkerSet,
        env: Env,
    ) -> None:
        self._disk = disk
        self._key = key
        self._name = name
        self._settings = settings
        self._crew = crew
        self._workers = workers
        self._env = env
        self._opening = trio.Lock()
        self._desk: DeskOutboxes | None = None
        self._worker: Worker | None = None
        self._trouble = ""
        self.way: Way

    async def begin(self) -> None:
        """Take up what an earlier life left."""
        if await self._env.in_thread(self._any_left):
            await self._opened()

    def _any_left(self) -> bool:
        folder = self._disk.root / _FOLDER
        return self._disk.files.exists(folder) and bool(self._disk.files.listed(folder))

    async def _opened(self) -> DeskOutboxes:
        async with self._opening:
            if self._desk is None:
                self._desk = await self._env.in_thread(self._made)
                self._worker = self._workers.add("outbox", self._look, interval_s=_SENDING_S)
                self._crew.start(self._run, self._desk)
            return self._desk

    def _made(self) -> DeskOutboxes:
        from inos.messages.desk_outboxes import DeskOutboxes, OutboxSettings  # most nodes have none

        disk = self._disk
        disk.files.make_folders(disk.root, [_PARENT, _FOLDER])
        folder, settings = disk.root / _FOLDER, self._settings or (lambda _agent: OutboxSettings())
        return DeskOutboxes(folder, self._key, self._env, files=disk.files, settings=settings, node=self._name)

    async def _run(self, desk: DeskOutboxes) -> None:
        """Bring them to the hub for as long as the node runs."""
        try:
            while True:
                try:
                    await desk.run(self.way)
                except* InosError as group:
                    self._trouble = str(group.exceptions[0])
                    log.warning("sending messages has stopped and begins again: %s", self._trouble)
                await trio.sleep(_AGAIN_S)
        finally:
            await desk.aclose()

    async def _look(self) -> None:
        """Say how sending stands. Raises Unavailable when it does not get on."""
        reports = await self.reports()
        late = [each for each in reports if each.pending and each.lag_s > _LATE_S]
        if self._worker is not None:
            self._worker.status.detail.update(
                pending=sum(each.pending for each in reports), parked=sum(each.parked for each in reports),
                lag_s=max((each.lag_s for each in reports if each.pending), default=0.0),
            )  # fmt: skip
        if late or self._trouble:
            why = self._trouble or next((each.last_error for each in late if each.last_error), "")
            self._trouble = ""
            raise Unavailable(f"messages of {len(late)} agents are not on the hub yet: {why}", hint="inos msg stats")

    # What the desk asks

    async def post(self, drafts: Sequence[Draft]) -> list[Message]:
        """Write messages; synced when it returns."""
        return await (await self._opened()).post(drafts)

    async def query(self, query: MessageQuery) -> MessagePage:
        """A page of what the caches hold."""
        return MessagePage(()) if self._desk is None else await self._desk.query(query)

    async def get(self, message_id: str) -> StoredMessage:
        """One message. NotFound."""
        if self._desk is None:
            raise NotFound(f"no message {message_id} is on this node, and the hub cannot be reached")
        return await self._desk.get(message_id)

    async def reports(self) -> tuple[OutboxReport, ...]:
        """How each cache stands."""
        return () if self._desk is None else await self._desk.reports()

    def poke(self, agent: str = "") -> None:
        """A hub was found: send now."""
        if self._desk is not None:
            self._desk.poke(agent)
