"""Reading for an agent: its own messages from its cache, others from the hub, and from copies while the hub is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, Protocol, get_args

from inos.core.env import Env
from inos.core.errors import BadInput, InosError, NotFound
from inos.core.messages.message import Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage, check_query
from inos.core.messages.saying import said
from inos.core.messages.words import has_words, query_words, shown, text_of
from inos.messages.cache import AgentCache
from inos.messages.cache_search import fits

Of = Literal["own", "all"]
# Copies gone through while the hub is away: some 50 ms.
_COPIES: Final = 2000


class HubReader(Protocol):
    """What can be read from the hub."""

    async def get(self, message_id: str) -> StoredMessage:
        """NotFound when the hub has none; another InosError when it cannot be asked."""

    async def query(self, query: MessageQuery) -> MessagePage:
        """A page."""


class Reading:
    """Reads of one agent. `hub` None: there is none to be asked."""

    def __init__(self, cache: AgentCache, hub: HubReader | None, env: Env) -> None:
        self._cache = cache
        self._hub = hub
        self._env = env

    async def get(self, message_id: str) -> StoredMessage:
        """One message: from the cache, else from the hub, else as the hub showed it before. NotFound; when the hub is
        away and nobody here knows the message, why it could not be asked."""
        try:
            return await self._env.in_thread(self._cache.get, message_id)
        except NotFound as missing:
            return await self.get_elsewhere(message_id, missing)

    async def get_elsewhere(self, message_id: str, missing: NotFound) -> StoredMessage:
        """One message that is not the agent's own, or not here any more."""
        if self._hub is None:
            raise missing
        try:
            stored = await self._hub.get(message_id)
        except InosError as away:
            if away.code == NotFound.code:
                raise
            try:
                return await self._env.in_thread(self._cache.copies.get, message_id)
            except NotFound:
                raise away from None
        await self._env.in_thread(self._cache.copies.keep, (stored,))
        return stored

    async def query(self, query: MessageQuery, of: Of = "own") -> MessagePage:
        """A page of the agent's `own` messages, at once from the cache; or of `all` agents', from the hub. While the
        hub is away: of what is here, in one page."""
        if of not in get_args(Of):
            raise BadInput(f"no such messages: {said(of)}", hint=f"there are: {', '.join(get_args(Of))}")
        check_query(query)
        if of == "own" or self._hub is None:
            return await self._env.in_thread(self._cache.query, query)
        try:
            page = await self._hub.query(query)
        except InosError:
            if query.after:  # a cursor of the hub means nothing here
                raise
            return await self._env.in_thread(self._here, query)
        others = [each for each in page.messages if each.message.agent != self._cache.agent]
        await self._env.in_thread(self._cache.copies.keep, others)
        return page

    def _here(self, query: MessageQuery) -> MessagePage:
        own = self._cache.query(query).messages if query.agent in ("", self._cache.agent) else ()
        found = [*own, *matching(self._cache.copies.newest(_COPIES), query)]
        if query.order != "best":
            found.sort(key=lambda each: each.message.id, reverse=query.order == "newest")
        return MessagePage(tuple(found[: query.limit]), whole=False)


def matching(copies: Sequence[StoredMessage], query: MessageQuery) -> list[StoredMessage]:
    """Those that `query` asks for."""
    wanted = query_words(query.text)
    found = []
    for each in copies:
        text = text_of(each.message) if wanted else ""
        if _is_asked(each, query) and (not wanted or has_words(text, wanted)):
            found.append(replace(each, snippet=shown(each.message, wanted) if wanted else ""))
    return found


def _is_asked(stored: StoredMessage, query: MessageQuery) -> bool:
    message: Message = stored.message
    state = stored.marks.state
    return (
        query.agent in ("", message.agent)
        and query.since_ms <= message.time_ms < query.until_ms
        and (query.state in ("", state) or (query.state == "open" and state != "archived"))
        and fits(message, query)
    )
