"""What the user set."""

from __future__ import annotations

from inos.core.rows.personal import Preference
from inos.store.repositories.repository import JSON_TEXT, Repository


class Preferences(Repository[Preference]):
    """One row for each setting."""

    kind = Preference
    table = "user_preferences"
    columns = {"name": "key"}
    forms = {"value": JSON_TEXT}
