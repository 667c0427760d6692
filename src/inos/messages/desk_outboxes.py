"""Caches that a node holds for programs that have none: those that write over HTTP, MCP or `inos msg`.

One cache for each agent, `<agent>.db` in one folder of the data root, whose lock is the node's. They are opened when
they are needed and at most `most_open` at a time stay so; one that still has something to send is not closed. `run`
brings all of them to the hub through one door, looks after them, and begins with what an earlier life of the node left.
When another hub answers, closed ones with messages that the one before could still lose are opened again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import trio

from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, Corrupt, InosError, NotFound
from inos.core.messages.calls import OutboxReport
from inos.core.messages.message import Draft, Message, check_agent
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import Ack
from inos.messages.cache import AgentCache, CacheLimits, CacheStats
from inos.messages.sender import HubDoor, Sender
from inos.messages.sending import Pace
from inos.store.filesystem import REAL_FILES, Files

T = TypeVar("T")

# Each has up to 2 MB of pages in memory.
MOST_OPEN: Final = 16
MAX_POST: Final = 500
UPKEEP_INTERVAL_S: Final = 1.0
# The others have their turn even while one has a backlog to index.
_UPKEEP_ROUNDS: Final = 5
_ENDING: Final = ".db"


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """How the cache of an agent is kept, and how it is sent."""

    limits: CacheLimits = field(default_factory=CacheLimits)
    pace: Pace = field(default_factory=Pace)


@dataclass(slots=True, eq=False)
class _Held:
    """An open cache, who uses it just now, and the task that sends it, while `run` runs."""

    cache: AgentCache
    settings: OutboxSettings
    users: int = 0
    unused: trio.Event = field(default_factory=trio.Event)
    used_at: int = 0
    trouble: str = ""
    sender: Sender | None = None
    sending: trio.CancelScope = field(default_factory=trio.CancelScope)
    sent: trio.Event = field(default_factory=trio.Event)


class _Watched:
    """A door that tells which hub answered."""

    def __init__(self, door: HubDoor, answered: Callable[[str], None]) -> None:
        self._door = door
        self._answered = answered

    async def send(self, batch: bytes, count: int) -> Ack:
        ack = await self._door.send(batch, count)
        self._answered(ack.hub)
        return ack


class DeskOutboxes:
    """The caches of one node. All calls on its trio loop."""

    def __init__(
        self,
        folder: Path,
        key: bytes,
        env: Env,
        *,
        files: Files = REAL_FILES,
        settings: Callable[[str], OutboxSettings] = lambda agent: OutboxSettings(),  # noqa: ARG005
        node: str = "",
        most_open: int = MOST_OPEN,
    ) -> None:
        """`folder` exists; `key` (32 bytes) opens all of them; `settings` are asked for an agent when its cache is
        opened; `node` is the node's name in the log of the hub."""
        self._folder = folder
        self._key = key
        self._env = env
        self._files = files
        self._settings = settings
        self._node = node
        self._most_open = most_open
        self._held: dict[str, _Held] = {}
        self._reports: dict[str, OutboxReport] = {}
        self._uncovered: dict[str, str] = {}  # closed ones, and the hub that could still lose what it has of them
        self._hub = ""
        self._opening = trio.Lock()
        self._tick = 0
        self._door: HubDoor | None = None
        self._nursery: trio.Nursery | None = None

    # What programs do

    async def post(self, drafts: Sequence[Draft]) -> list[Message]:
        """Write messages, all of one agent or of several; on this disk, synced, when it returns. Messages of one agent
        are written all or none. Raises BadInput, StorageFull, Corrupt."""
        if len(drafts) > MAX_POST:
            raise BadInput(f"at most {MAX_POST} messages at a time, not {len(drafts)}")
        by_agent: dict[str, list[Draft]] = {}
        for draft in drafts:
            by_agent.setdefault(check_agent(draft.agent), []).append(draft)
        written = {agent: iter(await self._post_of(agent, mine)) for agent, mine in by_agent.items()}
        return [next(written[draft.agent]) for draft in drafts]

    async def _post_of(self, agent: str, drafts: Sequence[Draft]) -> list[Message]:
        async with self._using(agent) as held:
            messages = await self._env.in_thread(held.cache.append_many, drafts)
            if held.sender is not None:
                held.sender.poke()
            return messages

    async def query(self, query: MessageQuery) -> MessagePage:
        """A page of what these caches hold, for when the hub is away: of one agent when the query names one; else the
        newest (or oldest) of all, one page without a next."""
        if query.agent:
            if query.agent not in await self.agents():
                return MessagePage(())
            return await self._with(query.agent, lambda cache: cache.query(query))
        found: list[StoredMessage] = []
        for agent in await self.agents():
            page = await self._with(agent, lambda cache: cache.query(dataclasses.replace(query, after="")))
            found += page.messages
        if query.order != "best":
            found.sort(key=lambda each: each.message.id, reverse=query.order == "newest")
        return MessagePage(tuple(found[: query.limit]))

    async def get(self, message_id: str) -> StoredMessage:
        """One message, of whichever agent. NotFound."""
        for agent in await self.agents():
            with suppress(NotFound):
                return await self._with(agent, lambda cache: cache.get(message_id))
        raise NotFound(f"no message {message_id[:80]!r} on this node")

    async def parked(self, agent: str, work: Callable[[AgentCache], T]) -> T:
        """`work(cache)` in a thread, with the cache of an agent that has one here: to list, retry or drop what is
        parked. NotFound."""
        if agent not in await self.agents():
            raise NotFound(f"this node keeps no messages of {agent[:140]!r}")
        result = await self._with(agent, work)
        self.poke(agent)
        return result

    # What the node does

    async def run(self, door: HubDoor) -> None:
        """Bring everything to the hub until cancelled; then nothing is in flight any more."""
        async with trio.open_nursery() as nursery:
            self._door, self._nursery = _Watched(door, self._answered), nursery
            try:
                for held in self._held.values():
                    self._begin_sending(held)
                for agent in await self.agents():
                    if agent not in self._held:
                        await self._look_into(agent)
                while True:
                    await self._look_after_all()
                    await self._reopen()
                    await self._env.pause(UPKEEP_INTERVAL_S)
            finally:
                self._door = self._nursery = None
                nursery.cancel_scope.cancel()

    def poke(self, agent: str = "") -> None:
        """Try again now: of one agent, or of all (a hub was found). From the node's loop."""
        for held in self._held.values():
            if held.sender is not None and agent in ("", held.cache.agent):
                held.sender.hurry()

    async def agents(self) -> list[str]:
        """All agents that have a cache here, by name."""
        found = await self._env.in_thread(self._files.listed, self._folder)
        return sorted(name.removesuffix(_ENDING) for name, _ in found if name.endswith(_ENDING))

    async def reports(self) -> tuple[OutboxReport, ...]:
        """How each stands; of one that is closed, how it stood then: nothing was pending."""
        for agent, held in list(self._held.items()):
            self._reports[agent] = await self._report(held)
        return tuple(report for _, report in sorted(self._reports.items()))

    async def aclose(self) -> None:
        """Close all. Not while `run` runs."""
        with trio.CancelScope(shield=True):
            for agent in list(self._held):
                await self._close(agent)

    # Open caches

    @asynccontextmanager
    async def _using(self, agent: str) -> AsyncGenerator[_Held, None]:
        held = self._held.get(agent)
        while held is None:
            held = await self._opened(agent)
        self._tick += 1
        held.used_at = self._tick
        held.users += 1
        try:
            yield held
        finally:
            held.users -= 1
            held.unused.set()

    async def _with(self, agent: str, work: Callable[[AgentCache], T]) -> T:
        async with self._using(agent) as held:
            return await self._env.in_thread(work, held.cache)

    async def _opened(self, agent: str) -> _Held | None:
        async with self._opening:
            if agent in self._held:
                return self._held[agent]
            await self._close_some()
            settings = self._settings(agent)
            cache = await self._env.in_thread(self._open, agent, settings)
            held = self._held[agent] = _Held(cache, settings)
            self._uncovered.pop(agent, None)
            self._begin_sending(held)
            return held

    def _open(self, agent: str, settings: OutboxSettings) -> AgentCache:
        path = self._folder / (check_agent(agent) + _ENDING)
        try:
            return AgentCache(path, self._key, agent, self._env, limits=settings.limits, files=self._files)
        except Conflict as error:
            hint = "on this file system names that differ in case only are one: choose another"
            raise Conflict(error.message, hint=hint) from None

    def _begin_sending(self, held: _Held) -> None:
        if self._door is None or self._nursery is None:
            return
        held.sender = Sender(held.cache, self._door, self._env, pace=held.settings.pace, node=self._node)
        held.sending, held.sent = trio.CancelScope(), trio.Event()
        self._nursery.start_soon(self._send, held, held.sender)

    async def _send(self, held: _Held, sender: Sender) -> None:
        try:
            with held.sending:
                await sender.run()
        finally:
            held.sender = None
            held.sent.set()

    async def _close_some(self) -> None:
        """Make room for one more: the longest unused go, but for those in use or with something to send."""
        spare = sorted(self._held.items(), key=lambda item: item[1].used_at)
        for agent, held in spare:
            if len(self._held) < self._most_open:
                return
            if not held.users and not (await self._report(held)).pending and not held.users:
                await self._close(agent)

    async def _close(self, agent: str) -> None:
        held = self._held.pop(agent)
        if held.sender is not None:
            held.sending.cancel()
            await held.sent.wait()
        while held.users:
            held.unused = trio.Event()
            await held.unused.wait()
        self._reports[agent] = await self._report(held)
        with suppress(Corrupt):  # it is in its report
            if (await self._env.in_thread(held.cache.outbox.state)).uncovered:
                self._uncovered[agent] = held.cache.outbox.hub
        await self._env.in_thread(held.cache.close)

    # Looking after them

    async def _look_into(self, agent: str) -> None:
        """Open one that an earlier life left: it is sent then; one that has nothing to send makes room when needed."""
        try:
            async with self._using(agent) as held:
                self._reports[agent] = await self._report(held)
        except InosError as error:
            self._reports[agent] = _unreadable(agent, error)

    def _answered(self, hub: str) -> None:
        self._hub = hub

    async def _reopen(self) -> None:
        """Of those that another hub has left uncovered, as many as may be open; the rest the next time."""
        behind = [agent for agent, hub in self._uncovered.items() if self._hub and hub != self._hub]
        for agent in behind[: max(1, self._most_open // 2)]:
            await self._look_into(agent)

    async def _look_after_all(self) -> None:
        for agent in list(self._held):
            if agent in self._held:
                await self._look_after(agent)

    async def _look_after(self, agent: str) -> None:
        async with self._using(agent) as held:
            try:
                rounds = 0
                while await self._env.in_thread(held.cache.upkeep) and rounds < _UPKEEP_ROUNDS:
                    rounds += 1
                held.trouble = ""
            except InosError as error:
                held.trouble = f"{error.code}: {error.message}"

    async def _report(self, held: _Held) -> OutboxReport:
        error = held.trouble or (held.sender.report.last_error if held.sender else "")
        try:
            return _report_of(held.cache.agent, await self._env.in_thread(held.cache.stats), error)
        except Corrupt as damage:
            return _unreadable(held.cache.agent, damage)


def _report_of(agent: str, stats: CacheStats, error: str) -> OutboxReport:
    return OutboxReport(
        agent, stats.messages, stats.used_bytes, stats.max_bytes, stats.pending, stats.parked, stats.lag_s, error
    )  # fmt: skip


def _unreadable(agent: str, error: InosError) -> OutboxReport:
    return OutboxReport(agent, 0, 0, 0, 0, 0, 0.0, f"{error.code}: {error.message}")
