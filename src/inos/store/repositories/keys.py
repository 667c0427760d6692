"""What is known in public of the keys that were derived. Their secrets are in nobody's database."""

from __future__ import annotations

import dataclasses

from inos.core.rows.keys import KeyInfo
from inos.store.cursor import Cursor
from inos.store.repositories.repository import Repository


class Keys(Repository[KeyInfo]):
    """One row for each key."""

    kind = KeyInfo
    table = "keys_metadata"

    def record(self, info: KeyInfo) -> KeyInfo:
        """Note a key that was derived; one that is known keeps its times, and its purpose unless a new one is given."""

        def work(cursor: Cursor) -> KeyInfo:
            known = self._find(cursor, info.key_id)
            if known is not None and info.purpose in ("", known.purpose):
                return known
            row = info if known is None else dataclasses.replace(known, purpose=info.purpose)
            self._write(cursor, row)
            return row

        return self._database.write(work)

    def used(self, key_id: bytes, now_s: float) -> None:
        """Remember that it signed something just now. NotFound."""
        self.update(key_id, lambda row: dataclasses.replace(row, last_used_s=int(now_s)))
