"""Applications, and which components each is made of."""

from __future__ import annotations

import dataclasses
import json

from inos.core.rows.software import Application
from inos.store.cursor import Cursor
from inos.store.repositories.components import refuse_absent_component
from inos.store.repositories.repository import JSON_TEXT, Form, Repository


class Applications(Repository[Application]):
    """One row for each application; its components are rows of `application_components`, in order of their ids."""

    kind = Application
    table = "applications"
    columns = {
        "components": "(SELECT json_group_array(component_id) FROM application_components"
        " WHERE application_components.application_id = applications.application_id)"
    }
    forms = {"manifest": JSON_TEXT, "components": Form(json.dumps, lambda text: tuple(sorted(json.loads(text))))}

    def launched(self, application_id: str, now_s: float) -> None:
        """Count one more launch, just now. NotFound."""
        self.update(
            application_id,
            lambda row: dataclasses.replace(row, last_launched_s=int(now_s), launch_count=row.launch_count + 1),
        )

    def _before_put(self, cursor: Cursor, row: Application) -> None:
        for component_id in row.components:
            refuse_absent_component(cursor, component_id)

    def _after_put(self, cursor: Cursor, row: Application) -> None:
        list(cursor.execute("DELETE FROM application_components WHERE application_id = ?", (row.application_id,)))
        pairs = ((row.application_id, component_id) for component_id in row.components)
        list(cursor.executemany("INSERT INTO application_components VALUES (?, ?)", pairs))
