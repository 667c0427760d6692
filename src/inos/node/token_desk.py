"""Makes, lists and revokes the tokens of agents, and knows one when it sees it.

A token is `inos-agent-<id>-<secret>`: the id finds it, the SHA-256 of the secret is compared in constant time. All are
held in memory from the first question on, so that a request costs no look at the disk.
"""

from __future__ import annotations

import hmac
from typing import Final

from inos.core.env import Env
from inos.core.errors import NotFound
from inos.core.messages.access import AgentToken, Scope, check_scopes
from inos.core.messages.message import check_agent
from inos.crypto.digest import sha256_digest
from inos.store.agent_tokens import AgentTokens, KeptToken
from inos.store.database import Database

PREFIX: Final = "inos-agent-"
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32
_LENGTH: Final = len(PREFIX) + 2 * _ID_BYTES + 1 + 2 * _SECRET_BYTES


class TokenDesk:
    """`TokenCalls` of one node."""

    def __init__(self, database: Database, env: Env) -> None:
        self._tokens = AgentTokens(database)
        self._env = env
        self._known: dict[str, KeptToken] | None = None
        self._changes = 0

    async def make(self, agent: str, scopes: tuple[Scope, ...]) -> tuple[AgentToken, str]:
        check_agent(agent)
        check_scopes(scopes)
        token_id, secret = self._env.token_bytes(_ID_BYTES).hex(), self._env.token_bytes(_SECRET_BYTES).hex()
        token = AgentToken(token_id, agent, scopes, int(self._env.now_s()))
        kept = KeptToken(token, sha256_digest(secret.encode()))
        await self._env.in_thread(self._tokens.add, kept)
        self._changed()
        return token, f"{PREFIX}{token_id}-{secret}"

    async def list(self) -> list[AgentToken]:
        return [each.token for each in (await self._all()).values()]

    async def revoke(self, token_id: str) -> AgentToken:
        kept = (await self._all()).get(token_id)
        if kept is None:
            raise NotFound(f"no token has the id {token_id[:40]!r}", hint="list them with: inos msg token")
        await self._env.in_thread(self._tokens.remove, token_id)
        self._changed()
        return kept.token

    async def of(self, text: str) -> AgentToken | None:
        if len(text) != _LENGTH or not text.startswith(PREFIX):
            return None
        token_id, _, secret = text.removeprefix(PREFIX).partition("-")
        kept = (await self._all()).get(token_id)
        expected = kept.digest if kept is not None else bytes(32)
        same = hmac.compare_digest(sha256_digest(secret.encode()), expected)
        return kept.token if kept is not None and same else None

    async def _all(self) -> dict[str, KeptToken]:
        while (known := self._known) is None:
            before = self._changes
            found = {each.token.token_id: each for each in await self._env.in_thread(self._tokens.all)}
            if self._changes == before:  # else it may be without what changed meanwhile
                self._known = found
        return known

    def _changed(self) -> None:
        self._changes += 1
        self._known = None
