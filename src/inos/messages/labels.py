"""Labels: what a message is besides its words (its agent, its task, its priority…), as words of the same index.

A label begins with a character that no word has, so that no search for words comes across one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from inos.core.messages.message import MAX_PRIORITY
from inos.core.messages.words import PREFIX_FROM

_MARK: Final = "\ue000"
# Values come again and again; making a label takes six times as long as remembering it.
_KNOWN: Final = 4_096


@lru_cache(_KNOWN)
def label(name: str, value: str) -> bytes:
    """The label of a field's value."""
    return f"{_MARK}{name}{value.encode().hex()}".encode()


def labels(agent: str, kind: str, priority: int, task: str, role: str, recipient: str) -> bytes:
    """Those of the fields that are not empty, spaces between."""
    found = label("priority", str(priority)) + b" " + label("kind", kind)
    if agent:
        found += b" " + label("agent", agent)
    if task:
        found += b" " + label("task", task)
    if role:
        found += b" " + label("role", role)
    if recipient:
        found += b" " + label("recipient", recipient)
    return found


def asked_word(word: str) -> str:
    """A word of a search as a question to FTS5: by its beginning where it is long enough."""
    return f'"{word}"*' if len(word) >= PREFIX_FROM else f'"{word}"'


def asked_label(name: str, value: str) -> str:
    """A field's value as a question to FTS5."""
    return f'"{label(name, value).decode()}"'


def asked_priority(least: int) -> str:
    """That priority or a higher one, as a question to FTS5."""
    levels = (asked_label("priority", str(level)) for level in range(least, MAX_PRIORITY + 1))
    return f"({' OR '.join(levels)})"
