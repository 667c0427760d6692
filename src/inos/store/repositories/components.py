"""Installed components."""

from __future__ import annotations

import dataclasses
from typing import Any

from inos.core.errors import Conflict
from inos.core.rows.software import Component
from inos.store.cursor import Cursor, first
from inos.store.repositories.repository import JSON_TEXT, Repository


class Components(Repository[Component]):
    """One row for each component; its data folders by version are files."""

    kind = Component
    table = "components"
    forms = {"manifest": JSON_TEXT}

    def used(self, component_id: str, now_s: float) -> None:
        """Remember that it was used just now. NotFound."""
        self.update(component_id, lambda row: dataclasses.replace(row, last_used_s=int(now_s)))

    def _before_remove(self, cursor: Cursor, key: Any) -> None:
        if first(cursor.execute("SELECT 1 FROM component_registry WHERE component_id = ?", (key,))):
            raise Conflict(f"component {key!r} is in the registry", hint="stop it and take it out of there first")
        used_by = first(
            cursor.execute("SELECT application_id FROM application_components WHERE component_id = ?", (key,))
        )
        if used_by:
            raise Conflict(f"component {key!r} belongs to application {used_by[0]!r}", hint="remove that first")


def refuse_absent_component(cursor: Cursor, component_id: str) -> None:
    """Raises Conflict unless that component is installed."""
    if first(cursor.execute("SELECT 1 FROM components WHERE component_id = ?", (component_id,))) is None:
        raise Conflict(f"component {component_id!r} is not installed", hint="inos db list components")
