"""Full-text search over components, applications and messages.

Triggers keep the index in step (`store/migrations/v2.py`). What a user types is words, never a query language: a row is
found when for each of them it has a word that starts so; case and accents do not matter.
"""

from __future__ import annotations

import re
from typing import Final

from inos.core.errors import BadInput
from inos.core.rows.calls import MAX_FOUND
from inos.core.rows.row import Found
from inos.store.cursor import Cursor, first, one
from inos.store.database import Database

# The place in this list is what a row's number is told apart by in the index.
SEARCHED: Final = ("components", "applications", "messages")
_SPREAD: Final = 4
_LOOKUPS: Final = {
    "components": "SELECT component_id, name FROM components WHERE number = ?",
    "applications": "SELECT application_id, name FROM applications WHERE number = ?",
    "messages": "SELECT message_id, subject FROM messages WHERE number = ?",
}
_MAX_TEXT: Final = 500
_MAX_WORDS: Final = 16
_WORD: Final = re.compile(r"\w+")


class Search:
    """Finds rows by words in them. Blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, text: str, kind: str = "", limit: int = MAX_FOUND) -> tuple[Found, ...]:
        """Rows of `kind` ("" for any) that have all words of `text`, best first."""
        if not 0 < limit <= MAX_FOUND:
            raise BadInput(f"a search gives 1 to {MAX_FOUND} rows, not {limit}")
        if kind and kind not in SEARCHED:
            raise BadInput(f"{kind[:80]!r} cannot be searched", hint=f"these can: {', '.join(SEARCHED)}")
        query = parse_words(text, kind)
        return self._database.read(lambda cursor: _find(cursor, query, limit))

    def problems(self) -> list[str]:
        """What is wrong with the index: damage, or rows that it does not have or has without need."""
        return self._database.read(_problems)


def parse_words(text: str, kind: str) -> str:
    """What a user typed as a question to the index: each word quoted, so that none is an operator. Raises BadInput."""
    words = _WORD.findall(text) if len(text) <= _MAX_TEXT else []
    if not 0 < len(words) <= _MAX_WORDS:
        raise BadInput(f"a search is 1 to {_MAX_WORDS} words of at most {_MAX_TEXT} characters in all")
    wanted = " AND ".join(f'"{word}"*' for word in words)
    return f'text : ({wanted}) AND kind : "{kind}"' if kind else f"text : ({wanted})"


def _find(cursor: Cursor, query: str, limit: int) -> tuple[Found, ...]:
    sql = "SELECT rowid FROM search WHERE search MATCH ? ORDER BY rank, rowid LIMIT ?"
    found = []
    for (rowid,) in list(cursor.execute(sql, (query, limit))):
        number, place = divmod(rowid, _SPREAD)
        row = first(cursor.execute(_LOOKUPS[SEARCHED[place]], (number,)))
        if row is not None:
            found.append(Found(SEARCHED[place], *row))
    return tuple(found)


def _problems(cursor: Cursor) -> list[str]:
    problems = []
    for place, kind in enumerate(SEARCHED):
        missing = f"SELECT count(*) FROM {kind} WHERE number * {_SPREAD} + {place} NOT IN"
        extra = f"SELECT count(*) FROM search_docsize WHERE id % {_SPREAD} = {place} AND id / {_SPREAD} NOT IN"
        if count := one(cursor.execute(f"{missing} (SELECT id FROM search_docsize)"))[0]:
            problems.append(f"{count} {kind} are missing from the full-text index")
        if count := one(cursor.execute(f"{extra} (SELECT number FROM {kind})"))[0]:
            problems.append(f"the full-text index has {count} {kind} that are not there")
    return problems
