"""Pages that the owner signed in: a code that works once, within a minute, is exchanged for the cookie of a session.

Both are chance, in memory only; a node that starts again has none. A session ends when it was not used for IDLE_S, when
it is signed out, or when more than MAX_SESSIONS are open and it is the one that was not used for longest.
"""

from __future__ import annotations

import hmac
from typing import Final

from inos.core.env import Env
from inos.core.errors import Unauthorised

# The port follows: browsers send a cookie to every port of a host, and two nodes there must not sign each other out.
COOKIE: Final = "inos_messages"
CODE_S: Final = 60.0  # to get from a terminal into a browser
IDLE_S: Final = 12 * 3600.0  # a working day
MAX_CODES: Final = 16
MAX_SESSIONS: Final = 16  # one person's browsers
_CODE_BYTES: Final = 16
_SESSION_BYTES: Final = 32


class Sessions:
    """The codes and sessions of one node."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._codes: dict[str, float] = {}
        self._sessions: dict[str, float] = {}

    def make_code(self) -> str:
        """A code for one session; the oldest of too many is given up."""
        self._forget_old()
        while len(self._codes) >= MAX_CODES:
            del self._codes[next(iter(self._codes))]
        code = self._env.token_bytes(_CODE_BYTES).hex()
        self._codes[code] = self._env.monotonic_s() + CODE_S
        return code

    def enter(self, code: str) -> str:
        """The cookie of a new session. Unauthorised for a code that is wrong, used or too old."""
        self._forget_old()
        given = code.strip().encode()
        found = [each for each in self._codes if hmac.compare_digest(each.encode(), given)]
        if not found:
            raise Unauthorised(
                "the code is wrong, was used, or is over a minute old", hint="get a new one: inos messages"
            )
        del self._codes[found[0]]
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[min(self._sessions, key=self._sessions.__getitem__)]
        session = self._env.token_bytes(_SESSION_BYTES).hex()
        self._sessions[session] = self._env.monotonic_s() + IDLE_S
        return session

    def use(self, cookies: str) -> bool:
        """Whether a Cookie header holds a session; it is used thereby."""
        session = self._of(cookies)
        if session is not None:
            self._sessions[session] = self._env.monotonic_s() + IDLE_S
        return session is not None

    def has(self, cookies: str) -> bool:
        """Whether a Cookie header holds a session, which is not used thereby."""
        return self._of(cookies) is not None

    def leave(self, cookies: str) -> None:
        """End the session of a Cookie header."""
        session = self._of(cookies)
        if session is not None:
            del self._sessions[session]

    def _of(self, cookies: str) -> str | None:
        self._forget_old()
        given = [value.encode("utf-8", "replace") for value in _cookies(cookies)]
        found = (s for s in self._sessions for value in given if hmac.compare_digest(s.encode(), value))
        return next(found, None)

    def _forget_old(self) -> None:
        now_s = self._env.monotonic_s()
        for kept in (self._codes, self._sessions):
            for each in [each for each, until_s in kept.items() if until_s <= now_s]:
                del kept[each]


def cookie_name(port: int | None) -> str:
    """The name of the cookie of a node whose page was reached on `port`."""
    return f"{COOKIE}_{port or 80}"


def _cookies(header: str) -> list[str]:
    """The values that may be sessions; a session cannot be guessed, so it matters not under which port's name it is."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return [value for name, _, value in pairs if name.startswith(COOKIE)][:MAX_SESSIONS]
