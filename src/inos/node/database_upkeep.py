"""Looking after this node's database: its log written back, its free pages given back, its structure checked, its spare
kept fresh. Each method is the step of a worker, bounded or out of everybody's way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.errors import Corrupt

CHECKPOINT_EVERY_S: Final = 60.0
# A step of VACUUM_PAGES holds writers up for some 50 ms; a gigabyte is given back in an hour.
VACUUM_EVERY_S: Final = 15.0
VACUUM_PAGES: Final = 1024
# Pages that come free are used again by the next writes. Only a good share of them is worth moving others for.
VACUUM_FROM_SHARE: Final = 0.25
VACUUM_TO_SHARE: Final = 0.05
VACUUM_FROM_PAGES: Final = 1024
# One table a step, all of them some times a day.
INTEGRITY_EVERY_S: Final = 900.0
SPARE_EVERY_S: Final = 300.0
# Copying 139 MB while a node with 100,000 chunks started held its API up.
SPARE_FIRST_AFTER_S: Final = 10.0
# What the copies write over time: 100 MB each hour, 4 GB each three hours; 12 TB a year at most.
SPARE_AGE_S: Final = 3600.0
SPARE_BYTES_A_SECOND: Final = 400_000


class PageRoom(Protocol):
    @property
    def pages(self) -> int: ...

    @property
    def free(self) -> int: ...


class Database(Protocol):
    """The database, as its upkeep uses it. Calls block."""

    def checkpoint(self, shrink: bool) -> None: ...

    def room(self) -> PageRoom: ...

    def vacuum(self, pages: int) -> int: ...

    def tables(self) -> list[str]: ...

    def check(self, table: str) -> list[str]: ...


class Spare(Protocol):
    def exists(self) -> bool: ...

    def outdated(self) -> bool: ...

    def size_bytes(self) -> int: ...

    def make(self) -> None: ...


def worth_vacuuming(pages: int, free: int, *, under_way: bool) -> bool:
    """Whether free pages are to be given back: from a quarter of the file on, then down to a twentieth."""
    if under_way:
        return free > pages * VACUUM_TO_SHARE
    return free >= VACUUM_FROM_PAGES and free >= pages * VACUUM_FROM_SHARE


class DatabaseUpkeep:
    """The steps of the workers that look after the database."""

    def __init__(self, database: Database, spare: Spare, env: Env, pressed: Callable[[], bool] = lambda: False) -> None:
        """`pressed` says whether the database takes up more than it should: then all free pages go back, and the room
        that its log keeps."""
        self._database = database
        self._spare = spare
        self._env = env
        self._pressed = pressed
        self._vacuuming = False
        self._unchecked: list[str] = []
        self._spare_s = env.monotonic_s()

    async def checkpoint(self) -> None:
        """Write the database's log back before it grows."""
        await self._env.in_thread(self._database.checkpoint, self._pressed())

    async def vacuum(self) -> None:
        """Give some free pages back to the disk, while there are many."""
        room = await self._env.in_thread(self._database.room)
        self._vacuuming = worth_vacuuming(room.pages, room.free, under_way=self._vacuuming)
        if self._vacuuming or (room.free and self._pressed()):
            await self._env.in_thread(self._database.vacuum, VACUUM_PAGES)

    async def integrity(self) -> None:
        """Read the next table through. Raises Corrupt when it is damaged."""
        if not self._unchecked:
            self._unchecked = await self._env.in_thread(self._database.tables)
        table = self._unchecked.pop()
        found = await self._env.in_thread(self._database.check, table)
        if found:
            raise Corrupt(
                f"the table {table} of inos.db is damaged: {found[0]}", hint="stop the node and run: inos rebuild"
            )

    async def spare(self) -> None:
        """Copy the database where that is due: at once when there is no copy, else by age and size; one of the last run
        counts as made when this one began."""
        now_s = self._env.monotonic_s()
        if await self._env.in_thread(self._is_due, now_s - self._spare_s):
            await self._env.in_thread(self._spare.make)
            self._spare_s = now_s

    def _is_due(self, age_s: float) -> bool:
        if not self._spare.exists():
            return True
        return age_s >= max(SPARE_AGE_S, self._spare.size_bytes() / SPARE_BYTES_A_SECOND) and self._spare.outdated()
