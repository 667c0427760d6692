"""Who may do what with messages: the scopes of an agent's token, and the caller that a request turned out to come from.

The node's own token, and a page of the node that its owner signed in, may do everything with messages. An agent's token
does what its scopes name, and writes in the name of that agent alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from inos.core.errors import BadInput, Refused
from inos.core.messages.message import check_text
from inos.core.messages.saying import said

Scope = Literal["post", "read", "mark", "execute", "files"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
OWNER: Final = "owner"
"""Who marks, where nobody else is named."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request: an agent, or the owner ("")."""

    agent: str = ""
    scopes: frozenset[Scope] = frozenset(SCOPES)

    def may_write_as(self, agent: str) -> None:
        """Raises Refused for a message in another agent's name."""
        if self.agent and agent != self.agent:
            raise Refused(
                f"this token writes as {self.agent!r}, not as {said(agent, 130)}", hint="use that agent's own token"
            )

    def name(self, given: str = "") -> str:
        """In whose name a mark is made: an agent cannot choose. Raises BadInput."""
        return self.agent or check_text("by", given, 0, 200) or OWNER


@dataclass(frozen=True, slots=True)
class AgentToken:
    """What is known of a token: everything but itself. Its secret part is nowhere kept, only the SHA-256 of it."""

    token_id: str
    agent: str
    scopes: tuple[Scope, ...]
    created_at_s: int


class TokenCalls(Protocol):
    """Tokens of agents."""

    async def make(self, agent: str, scopes: tuple[Scope, ...]) -> tuple[AgentToken, str]:
        """A new one, and its text, which is nowhere kept. Conflict when there are too many."""

    async def list(self) -> list[AgentToken]:
        """All that are good."""

    async def revoke(self, token_id: str) -> AgentToken:
        """From now on it opens nothing. NotFound."""

    async def of(self, text: str) -> AgentToken | None:
        """The token that `text` is; None where it is none. In constant time for any text of a token's length."""


def check_scopes(names: object) -> tuple[Scope, ...]:
    """Scopes, each once, in order. Raises BadInput."""
    if not isinstance(names, list | tuple) or not names:
        raise BadInput("a token has one scope at least", hint=f"there are: {', '.join(SCOPES)}")
    for name in names:
        if name not in SCOPES:
            raise BadInput(f"no such scope: {said(name)}", hint=f"there are: {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in names)
