"""The component registry: what the supervisor knows of every component it has started, across restarts of the node."""

from __future__ import annotations

from inos.core.errors import Conflict
from inos.core.rows.software import ComponentRun
from inos.store.cursor import Cursor
from inos.store.repositories.components import refuse_absent_component
from inos.store.repositories.repository import Repository


class Registry(Repository[ComponentRun]):
    """One row for each component that was started or is wanted; it goes before its component does."""

    kind = ComponentRun
    table = "component_registry"

    def beat(self, component_id: str, pid: int, now_s: float) -> bool:
        """Note a heartbeat of the process `pid`; False when another one, or none, is that component's by now."""
        sql = "UPDATE component_registry SET last_heartbeat = ? WHERE component_id = ? AND pid = ? RETURNING 1"
        return self._database.write(lambda cursor: bool(list(cursor.execute(sql, (int(now_s), component_id, pid)))))

    def _before_put(self, cursor: Cursor, row: ComponentRun) -> None:
        refuse_absent_component(cursor, row.component_id)

    def take_out(self, component_id: str) -> bool:
        """Remove a component that does not run; whether it was there. Conflict while it runs."""
        row = self.get(component_id)
        if row is not None and row.pid is not None:
            raise Conflict(f"component {component_id!r} is {row.status}", hint="stop it first")
        return self.remove(component_id)
