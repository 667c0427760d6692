"""Schema 5: whether anything of a held object was ever here. Of the holdings there are, all of them count as begun."""

from __future__ import annotations

from typing import Final

from inos.store.migrations.step import Migration

_SQL: Final = """
ALTER TABLE holdings ADD COLUMN begun INTEGER NOT NULL DEFAULT 1 CHECK (begun IN (0, 1));
"""

V5: Final = Migration("holdings of which something was here", _SQL, frozenset({"holdings"}))
