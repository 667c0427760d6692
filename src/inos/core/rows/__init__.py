"""Rows of a node's own database as values; see `row.py`. Here: every kind there is, by its word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inos.core.errors import NotFound
from inos.core.rows.kept import Cached, HeldObject, KeptChunk
from inos.core.rows.keys import KeyInfo
from inos.core.rows.personal import MessageInfo, Preference
from inos.core.rows.row import Row
from inos.core.rows.software import Application, Component, ComponentRun
from inos.core.rows.wallet import Transaction

KINDS: Final[Mapping[str, type[Row]]] = {
    kind.KIND: kind
    for kind in (
        Component,
        Application,
        ComponentRun,
        KeyInfo,
        Transaction,
        Cached,
        Preference,
        MessageInfo,
        HeldObject,
        KeptChunk,
    )
}


def kind_named(word: str) -> type[Row]:
    """The kind of this word. Raises NotFound."""
    try:
        return KINDS[word]
    except KeyError:
        raise NotFound(f"there are no rows called {word[:80]!r}", hint=f"there are: {', '.join(KINDS)}") from None
