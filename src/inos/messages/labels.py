"""Labels: what a message is besides its words (its agent, its task, its priority…), as words of the same index.

A label begins with a character that no word has, so that no search for words comes across one.
"""

from __future__ import annotations

from typing import Final

from inos.core.messages.message import MAX_PRIORITY
from inos.core.messages.words import PREFIX_FROM

_MARK: Final = "\ue000"


def label(name: str, value: str) -> str:
    """The label of a field's value."""
    return f"{_MARK}{name}{value.encode().hex()}"


def labels(agent: str, kind: str, priority: int, task: str, role: str, recipient: str) -> str:
    """Those of the fields that are not empty, spaces between."""
    found = f"{label('priority', str(priority))} {label('kind', kind)}"
    for name, value in (("agent", agent), ("task", task), ("role", role), ("recipient", recipient)):
        if value:
            found = f"{found} {label(name, value)}"
    return found


def asked_word(word: str) -> str:
    """A word of a search as a question to FTS5: by its beginning where it is long enough."""
    return f'"{word}"*' if len(word) >= PREFIX_FROM else f'"{word}"'


def asked_label(name: str, value: str) -> str:
    """A field's value as a question to FTS5."""
    return f'"{label(name, value)}"'


def asked_priority(least: int) -> str:
    """That priority or a higher one, as a question to FTS5."""
    levels = (asked_label("priority", str(level)) for level in range(least, MAX_PRIORITY + 1))
    return f"({' OR '.join(levels)})"
