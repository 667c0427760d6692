"""Replicated tables on encrypted databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from inos.store.database import Database
from inos.store.records import RecordStore
from inos.testing.env import SimEnv
from inos.testing.table_mesh import StoreFactory
from inos.testing.tables import TablesSuite


class TestTablesOnDisk(TablesSuite):
    def stores(self, tmp_path: Path) -> AbstractContextManager[StoreFactory]:
        return _stores(tmp_path)


@contextmanager
def _stores(folder: Path) -> Iterator[StoreFactory]:
    with ExitStack() as open_files:

        def make(name: str) -> RecordStore:
            database = Database(folder / f"{name}.db", bytes(32), SimEnv())
            open_files.callback(database.close)
            return RecordStore(database)

        yield make
