"""The spare: a whole, encrypted copy of the database beside it, from which `rebuild.py` begins when it is lost.

One at a time; the old one stays until the new one is whole and synced. It shares the disk with what it is a copy of:
it is there for a file that was damaged or removed, a backup is for a disk that is gone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from inos.core.errors import StorageFull
from inos.store.database import Database
from inos.store.database_care import PAGE_BYTES, DatabaseCare
from inos.store.filesystem import Files
from inos.store.rebuild import SPARE

# Room that must be left on the disk beside the copy.
_RESERVE_BYTES: Final = 64 << 20


class Spare:
    """The spare of one database in the folder `root`. Calls block."""

    def __init__(self, root: Path, database: Database, files: Files) -> None:
        self._place = root / SPARE
        self._database = database
        self._files = files
        self._commits = -1 if not files.exists(self._place) else database.commits

    def exists(self) -> bool:
        return self._files.exists(self._place)

    def outdated(self) -> bool:
        """Whether something was committed since it was made; since the start, for one that was there then."""
        return self._commits != self._database.commits

    def size_bytes(self) -> int:
        """About what making it writes."""
        return DatabaseCare(self._database).room().pages * PAGE_BYTES

    def make(self) -> None:
        """Make it anew. Raises StorageFull and leaves the old one when there is no room beside it."""
        commits, size_bytes = self._database.commits, self.size_bytes()
        if self._files.free_bytes(self._place.parent) < size_bytes + _RESERVE_BYTES:
            raise StorageFull(
                f"no room for a copy of the database ({size_bytes} bytes)",
                hint="free space on this disk; without the copy a lost database costs what only this node knew",
            )
        self._database.copy_to(self._place)
        self._commits = commits
