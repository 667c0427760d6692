"""Replicated tables on replicas in memory."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from inos.store.memory_records import MemoryRecordStore
from inos.testing.table_mesh import StoreFactory
from inos.testing.tables import TablesSuite


class TestTablesInMemory(TablesSuite):
    def stores(self, tmp_path: Path) -> AbstractContextManager[StoreFactory]:
        return nullcontext(lambda name: MemoryRecordStore())
