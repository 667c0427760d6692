"""What a table is: a name, how it spreads, what may be in it, who may change it. Tables are declared by whoever
gives them meaning and handed to the node's `Tables`; nothing here knows any of them by name.

`validate` looks at one record alone; `authorise` also sees the version it would replace. Both run on every replica for
every record from outside. A verdict should not depend on the order in which records arrived: replicas that judged
differently stay different until a newer record settles it (they notice, and ask each other again only now and then).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from inos.state import sectors
from inos.state.record import Record

Validate = Callable[[Record], None]
Authorise = Callable[[Record, Record | None], None]

EVERYWHERE_SECTOR = 0


class Scope(StrEnum):
    EVERYWHERE = "everywhere"  # every member keeps every record
    SECTORS = "sectors"  # five or seven members keep each sector


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table. `validate` raises BadInput, `authorise` raises Refused; the first `partition_bytes` of a key
    decide its sector, so keys that share them are kept, and scanned, together."""

    name: str
    scope: Scope
    validate: Validate
    authorise: Authorise
    partition_bytes: int = 32

    def sector_of(self, key: bytes) -> int:
        """The sector of a key, or of a prefix of at least `partition_bytes`."""
        if self.scope is Scope.EVERYWHERE:
            return EVERYWHERE_SECTOR
        return sectors.sector_of(key[: self.partition_bytes])
