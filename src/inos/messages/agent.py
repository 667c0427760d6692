"""What a program uses to be an agent: `open_agent` blocking, `open_agent_async` on asyncio or trio.

    with open_agent("recruiter-1", role="recruiter") as agent:
        agent.append({"text": "found it"}, kind="lead", task="t-7", priority=8)

`append` returns when the message is on this machine's disk, and never waits for the network; it reaches the hub beside,
by a task that belongs to the open agent. What it had no time for goes out the next time the agent is opened.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio
import trio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from inos.client.tasks import first_error
from inos.core.endpoint import data_root
from inos.core.env import Env
from inos.core.errors import BadInput, InosError, Locked, NotFound
from inos.core.messages.message import Attachment, Draft, Json, Message, check_agent, check_attachments
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.messages.cache import AgentCache, CacheStats
from inos.messages.cache_folder import agents_folder, open_cache
from inos.messages.cache_outbox import Parked, Status
from inos.messages.config import AgentSettings, load_settings
from inos.messages.given import check_key, check_path, check_seconds
from inos.messages.http_door import HttpDoor
from inos.messages.program_env import ProgramEnv
from inos.messages.reading import Of, Reading
from inos.messages.sender import Sender
from inos.store.swap import swap_pending

T = TypeVar("T")

UPKEEP_INTERVAL_S: Final = 1.0
# At the end, what was just written has this long to reach a hub that is there. A hub answers in milliseconds.
LINGER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class AgentStats:
    """How an agent's cache and outbox stand; `last_error` is why messages do not reach the hub, "" when they do."""

    cache: CacheStats
    sent: int
    failures: int
    last_error: str


class AsyncAgent:
    """An open agent, on the event loop that opened it."""

    def __init__(self, cache: AgentCache, settings: AgentSettings, env: Env, door: HttpDoor | None) -> None:
        self.name = cache.agent
        self.settings = settings
        self.cache = cache
        self._env = env
        self._door = door
        self._reading = Reading(cache, door, env)
        self._trouble = ""
        self.sender = None if door is None else Sender(cache, door, env, pace=settings.pace())

    def draft(
        self,
        content: Json,
        *,
        kind: str = "report",
        task: str = "",
        priority: int = 5,
        sender: str = "",
        recipient: str = "",
        reply_to: str | None = None,
        attachments: Sequence[Attachment] = (),
    ) -> Draft:
        """A message of this agent, still to be written (`append_drafts`)."""
        return Draft(
            self.name, content, kind, priority, task, self.settings.role, sender, recipient,
            reply_to, check_attachments(attachments),  # type: ignore[arg-type]  # checked when it is written
        )  # fmt: skip

    async def append(self, content: Json, **fields: Any) -> Message:
        """Write a message; `fields` are those of `draft`. On the disk when this returns. BadInput, StorageFull."""
        return (await self.append_drafts((self.draft(content, **fields),)))[0]

    async def append_drafts(self, drafts: Sequence[Draft]) -> list[Message]:
        """Write several in order, all or none, at the price of one."""
        written = await self._env.in_thread(self.cache.append_many, drafts)
        self.poke()
        return written

    def poke(self) -> None:
        """Have the sender look."""
        if self.sender is not None:
            self.sender.poke()

    async def get(self, message_id: str) -> StoredMessage:
        """One message, of any agent: from here, else from the hub. NotFound."""
        return await self._reading.get(message_id)

    async def get_elsewhere(self, message_id: str, missing: NotFound) -> StoredMessage:
        """As `get`, when it is known not to be here."""
        return await self._reading.get_elsewhere(message_id, missing)

    async def query(self, query: MessageQuery | None = None, *, of: Of = "own") -> MessagePage:
        """A page of the agent's `own` messages, from here; or of `all` agents', from the hub."""
        return await self._reading.query(MessageQuery() if query is None else query, of)

    async def search(self, text: str, *, of: Of = "own", limit: int = 20) -> MessagePage:
        """The messages that fit the words best, with snippets."""
        return await self._reading.query(MessageQuery(text=text, order="best", limit=limit), of)

    async def status(self, message_id: str) -> Status:
        """Where a message of the agent's own stands: pending, sending, acked, settled, failed. NotFound."""
        return await self._env.in_thread(self.cache.outbox.status, message_id)

    async def parked(self) -> list[Parked]:
        """Messages that the hub refused, and why."""
        return await self._env.in_thread(self.cache.outbox.parked)

    async def retry(self, ids: Sequence[str] = ()) -> int:
        """Send parked messages again, all when none is named; how many."""
        count = await self._env.in_thread(self.cache.outbox.retry, ids)
        self.poke()
        return count

    async def drop(self, ids: Sequence[str]) -> int:
        """Give up sending parked messages."""
        return await self._env.in_thread(self.cache.outbox.drop, ids)

    async def flush(self, timeout_s: float) -> bool:
        """Wait until the hub has all that is not parked; whether it has. It tries at once, whatever failed before."""
        with anyio.move_on_after(check_seconds("timeout_s", timeout_s)):
            if self.sender is not None:
                await self.sender.drained()
                return True
        return False

    async def stats(self) -> AgentStats:
        """How it stands."""
        stats = await self._env.in_thread(self.cache.stats)
        if self.sender is None:
            return AgentStats(stats, 0, 0, self._trouble)
        report = self.sender.report
        return AgentStats(stats, report.messages, report.failures, self._trouble or report.last_error)

    async def look_after(self) -> None:
        """Keep the cache in shape until cancelled; what fails is in `stats`, and tried again."""
        while True:
            try:
                while await self._env.in_thread(self.cache.upkeep):
                    pass
                self._trouble = ""
            except InosError as error:
                self._trouble = f"{error.code}: {error.message}"
            await anyio.sleep(UPKEEP_INTERVAL_S)

    async def linger(self, most_s: float) -> None:
        """Give what is pending a moment, unless the hub is known to be away."""
        if self.sender is not None and not self.sender.report.failures_in_row:
            await self.flush(most_s)

    async def hang_up(self) -> None:
        """Close the connections to the hub."""
        if self._door is not None:
            with anyio.CancelScope(shield=True):
                await self._door.aclose()


@asynccontextmanager
async def open_agent_async(
    agent: str,
    *,
    role: str = "",
    home: Path | str | None = None,
    folder: Path | str | None = None,
    config: Path | str | None = None,
    settings: AgentSettings | None = None,
    key: bytes | None = None,
    linger_s: float = LINGER_S,
) -> AsyncGenerator[AsyncAgent, None]:
    """The agent called `agent`. Its cache is in `folder`, else in `messages/agents/<agent>` of the data root `home`,
    which need not be a node's. Settings are read from `config`, else from where config.py says, unless they are given
    as `settings`; `role` goes before theirs. `key` (32 bytes) opens the cache, else one kept beside it. Raises Locked
    when another process has it open, BadInput for settings, Corrupt."""
    env, root, linger_s = ProgramEnv(), data_root(check_path("home", home)), check_seconds("linger_s", linger_s)
    with ExitStack() as stack:
        prepare = partial(_open, stack, env, root, check_agent(agent), role, folder, config, settings, key)
        opened = await env.in_thread(prepare)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(opened.look_after)
                if opened.sender is not None:
                    tasks.start_soon(opened.sender.run)
                try:
                    yield opened
                    await opened.linger(linger_s)
                finally:
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            await opened.hang_up()


def _open(
    stack: ExitStack,
    env: Env,
    root: Path,
    agent: str,
    role: str,
    folder: Path | str | None,
    config: Path | str | None,
    given: AgentSettings | None,
    key: bytes | None,
) -> AsyncAgent:
    settings = load_settings(agent, root, check_path("config", config)) if given is None else given
    if not isinstance(settings, AgentSettings):
        raise BadInput("settings are no AgentSettings", hint="make them: AgentSettings(role=…)")
    if role != "":
        settings = settings.with_role(role)
    door = _door(settings, root)
    place = (check_path("folder", folder) or agents_folder(root) / agent).absolute()
    synced = settings.durability == "disk"
    _refuse_while_restored(root, place)
    opening = open_cache(
        place, agent, env, limits=settings.limits(), key=check_key(key), synced=synced, sends=settings.enabled
    )  # fmt: skip
    cache = stack.enter_context(opening)
    _refuse_while_restored(root, place)  # with the cache open: whoever restores looks who has one
    return AsyncAgent(cache, settings, env, door)


def _refuse_while_restored(root: Path, place: Path) -> None:
    """Raises Locked where other messages are about to take the place of those at `place`."""
    if place.is_relative_to(agents_folder(root)) and swap_pending(root):
        hint = "finish it: inos up, or the same restore again"
        raise Locked(f"a restore of {root} was broken off at its very end, and will put other messages here", hint=hint)


def _door(settings: AgentSettings, root: Path) -> HttpDoor | None:
    if not settings.enabled:
        return None
    if settings.hub_url and settings.token_file is not None:
        return HttpDoor.to_url(settings.hub_url, settings.token_file)
    return HttpDoor.to_node(root)


class Agent:
    """An open agent for programs without async: the calls of AsyncAgent, blocking, from any thread. Made by
    `open_agent`. Use it in a `with`, or `close` it."""

    def __init__(self, inner: AsyncAgent, portal: BlockingPortal, stack: ExitStack) -> None:
        self.name = inner.name
        self.settings = inner.settings
        self._inner = inner
        self._portal = portal
        self._stack = stack
        self._loop = portal.call(trio.lowlevel.current_trio_token)

    def append(self, content: Json, **fields: Any) -> Message:
        """Write a message; `fields` are those of AsyncAgent.draft. On the disk when this returns."""
        return self.append_drafts((self._inner.draft(content, **fields),))[0]

    def draft(self, content: Json, **fields: Any) -> Draft:
        """A message still to be written, with the fields of AsyncAgent.draft."""
        return self._inner.draft(content, **fields)

    def append_drafts(self, drafts: Sequence[Draft]) -> list[Message]:
        """Write several in order, all or none, at the price of one."""
        written = self._inner.cache.append_many(drafts)
        self._loop.run_sync_soon(self._inner.poke, idempotent=True)
        return written

    def get(self, message_id: str) -> StoredMessage:
        """One message, of any agent: from here, else from the hub. NotFound."""
        try:
            return self._inner.cache.get(message_id)
        except NotFound as missing:
            return self._portal.call(self._inner.get_elsewhere, message_id, missing)

    def query(self, query: MessageQuery | None = None, *, of: Of = "own") -> MessagePage:
        """A page of the agent's `own` messages, from here; or of `all` agents', from the hub."""
        if of == "own":
            return self._inner.cache.query(MessageQuery() if query is None else query)
        return self._call(partial(self._inner.query, query, of=of))

    def search(self, text: str, *, of: Of = "own", limit: int = 20) -> MessagePage:
        """The messages that fit the words best, with snippets."""
        return self.query(MessageQuery(text=text, order="best", limit=limit), of=of)

    def status(self, message_id: str) -> Status:
        """Where a message of the agent's own stands. NotFound."""
        return self._inner.cache.outbox.status(message_id)

    def parked(self) -> list[Parked]:
        """Messages that the hub refused, and why."""
        return self._inner.cache.outbox.parked()

    def retry(self, ids: Sequence[str] = ()) -> int:
        """Send parked messages again, all when none is named; how many."""
        return self._call(partial(self._inner.retry, ids))

    def drop(self, ids: Sequence[str]) -> int:
        """Give up sending parked messages."""
        return self._inner.cache.outbox.drop(ids)

    def flush(self, timeout_s: float) -> bool:
        """Wait until the hub has all that is not parked; whether it has."""
        return self._call(partial(self._inner.flush, timeout_s))

    def stats(self) -> AgentStats:
        """How it stands."""
        return self._call(self._inner.stats)

    def close(self) -> None:
        """Stop sending, close. May be called twice."""
        self._stack.close()

    def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        return self._portal.call(call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_agent(agent: str, **options: Any) -> Agent:
    """`open_agent_async` for programs without async, with the same options. Sending runs in a thread of its own, which
    ends with the agent."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal(backend="trio"))
        inner = stack.enter_context(portal.wrap_async_context_manager(open_agent_async(agent, **options)))
        return Agent(inner, portal, stack.pop_all())
