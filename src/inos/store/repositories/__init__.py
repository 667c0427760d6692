"""Repositories: the rows of each kind in a node's own database, one module each; see `repository.py`.

rows = Repositories(database)
rows.components.put(Component("org.example.player", "Player", "1.0", "frontend", "static", installed_at_s=now))
page = rows.transactions.page(Query(Transaction, where="status", equals="pending"))
"""

from __future__ import annotations

from typing import Any, Final

from inos.core.errors import NotFound
from inos.core.rows.row import R
from inos.store.database import Database
from inos.store.repositories.applications import Applications
from inos.store.repositories.cache import Cache
from inos.store.repositories.components import Components
from inos.store.repositories.held import HeldObjects, KeptChunks
from inos.store.repositories.keys import Keys
from inos.store.repositories.messages import Messages
from inos.store.repositories.preferences import Preferences
from inos.store.repositories.registry import Registry
from inos.store.repositories.repository import ReadRepository
from inos.store.repositories.search import Search
from inos.store.repositories.transactions import Transactions


class Repositories:
    """All repositories of one database. Blocking; safe from several threads."""

    def __init__(self, database: Database) -> None:
        self.components: Final = Components(database)
        self.applications: Final = Applications(database)
        self.registry: Final = Registry(database)
        self.keys: Final = Keys(database)
        self.transactions: Final = Transactions(database)
        self.cache: Final = Cache(database)
        self.preferences: Final = Preferences(database)
        self.messages: Final = Messages(database)
        self.objects: Final = HeldObjects(database)
        self.chunks: Final = KeptChunks(database)
        self.search: Final = Search(database)
        self.all: Final[tuple[ReadRepository[Any], ...]] = (
            self.components, self.applications, self.registry, self.keys, self.transactions, self.cache,
            self.preferences, self.messages, self.objects, self.chunks,
        )  # fmt: skip

    def of(self, kind: type[R]) -> ReadRepository[R]:
        """The repository of a kind."""
        for repository in self.all:
            if repository.kind is kind:
                return repository
        raise NotFound(f"there is no repository of {kind.__name__}")
