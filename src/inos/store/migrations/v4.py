"""Schema 4: names are found by what their files hold. The index of names is read again from its records at every start,
so the new column fills by itself."""

from __future__ import annotations

from typing import Final

from inos.store.migrations.step import Migration

_SQL: Final = """
ALTER TABLE names ADD COLUMN content BLOB CHECK (content IS NULL OR length(content) = 32);
CREATE INDEX names_by_content ON names (content, name) WHERE content IS NOT NULL;
"""

V4: Final = Migration("names by what their files hold", _SQL, frozenset({"names"}))
