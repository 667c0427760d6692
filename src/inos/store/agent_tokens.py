"""What a node keeps of the tokens of agents: for whom and for what each is, and the SHA-256 of its secret part.

They are settings of the node's database, each a JSON object under a name of its own; a rebuilt database has them again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from inos.core.errors import BadInput, Conflict
from inos.core.messages.access import AgentToken, check_scopes
from inos.core.messages.message import check_agent
from inos.store.cursor import Cursor
from inos.store.database import Database

_PREFIX: Final = "messages/tokens/"
_BEHIND: Final = "messages/tokens0"  # the first text behind all that begin so
MAX_TOKENS: Final = 1_000  # ten times the agents of a large team; all of them are held in memory


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A token, and the SHA-256 of its secret."""

    token: AgentToken
    digest: bytes


class AgentTokens:
    """The tokens in one database. Calls block; what was written is synced when they return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kept: KeptToken) -> None:
        """Keep one more. Conflict when there are MAX_TOKENS."""
        token = kept.token
        said = {
            "agent": token.agent,
            "scopes": token.scopes,
            "created": token.created_at_s,
            "sha256": kept.digest.hex(),
        }
        encoded = json.dumps({"v": 1, **said}).encode()

        def work(cursor: Cursor) -> None:
            count = list(cursor.execute("SELECT count(*) FROM settings WHERE key > ? AND key < ?", (_PREFIX, _BEHIND)))
            if count[0][0] >= MAX_TOKENS:
                raise Conflict(f"there are {MAX_TOKENS} tokens already", hint="revoke one that nobody uses")
            list(cursor.execute("INSERT INTO settings (key, value) VALUES (?, ?)", (_PREFIX + token.token_id, encoded)))

        self._database.write(work)

    def all(self) -> list[KeptToken]:
        """Every token, oldest first."""
        sql = "SELECT key, value FROM settings WHERE key > ? AND key < ?"
        rows = self._database.read(lambda cursor: list(cursor.execute(sql, (_PREFIX, _BEHIND))))
        found = [_decoded(key.removeprefix(_PREFIX), bytes(value)) for key, value in rows]
        return sorted((each for each in found if each), key=lambda each: (each.token.created_at_s, each.token.token_id))

    def remove(self, token_id: str) -> None:
        """Forget one."""
        sql = "DELETE FROM settings WHERE key = ?"
        self._database.write(lambda cursor: list(cursor.execute(sql, (_PREFIX + token_id,))))


def _decoded(token_id: str, encoded: bytes) -> KeptToken | None:
    """None for one that a newer release wrote: what it opens is not known here, so it opens nothing."""
    try:
        said = json.loads(encoded)
        if said["v"] != 1:
            return None
        token = AgentToken(token_id, check_agent(said["agent"]), check_scopes(said["scopes"]), int(said["created"]))
        return KeptToken(token, bytes.fromhex(said["sha256"]))
    except (ValueError, KeyError, TypeError, BadInput):
        return None
