"""Which requests are about messages, what each of them needs, and who sent it.

A request with another path needs the node's own token, whoever sends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import Scope as AsgiScope

from inos.core.errors import Refused, Unauthorised
from inos.core.messages.access import Caller, Scope

_KEY: Final = "inos.caller"
_RECHECK: Final = "inos.recheck"
_PATHS: Final[dict[tuple[str, str], Scope]] = {
    ("POST", "/sync/message"): "post",
    ("POST", "/sync/messages"): "post",
    ("POST", "/v1/messages"): "post",
    ("POST", "/sync/files"): "files",
    ("GET", "/query/messages"): "read",
    ("GET", "/events"): "read",
    ("GET", "/v1/messages/unread"): "read",
    ("GET", "/v1/messages/report"): "read",
    ("POST", "/v1/messages/marks"): "mark",
}


def scope_for(method: str, path: str) -> Scope | None:
    """What an agent's token needs for a request; None for one that it never opens."""
    found = _PATHS.get((method, path))
    if found is None and method == "GET" and path.startswith("/query/messages/"):
        return "read"
    if found is None and method == "POST" and path.startswith("/v1/messages/") and path.endswith("/execute"):
        return "execute"
    return found


def set_caller(scope: AsgiScope, caller: Caller) -> None:
    """Remember who sent the request."""
    scope[_KEY] = caller


def caller_of(scope: AsgiScope) -> Caller:
    """Who sent a request that passed the gate."""
    caller: Caller = scope[_KEY]
    return caller


def set_recheck(scope: AsgiScope, recheck: Callable[[], Awaitable[Caller]]) -> None:
    """Remember how to ask once more whether the request is admitted."""
    scope[_RECHECK] = recheck


async def still_admitted(scope: AsgiScope) -> bool:
    """Whether a request that goes on for long would be let in now: a token may be revoked meanwhile, a session end."""
    try:
        await scope[_RECHECK]()
    except (Unauthorised, Refused):
        return False
    return True
