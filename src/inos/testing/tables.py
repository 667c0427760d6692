"""The conformance suite of replicated tables: the promises of `inos.replication.tables`, on any record store.

class TestOnDisk(TablesSuite):
    def stores(self, tmp_path: Path) -> AbstractContextManager[StoreFactory]: ...
"""

from __future__ import annotations

from inos.testing.tables_equal import EqualSuite
from inos.testing.tables_reading import ReadingSuite
from inos.testing.tables_writing import WritingSuite


class TablesSuite(WritingSuite, ReadingSuite, EqualSuite):
    """Every store passes all of it."""
