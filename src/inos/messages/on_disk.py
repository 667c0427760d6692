"""What of messages lies in a data root: which files are databases, what opens each, and what is of no use elsewhere.

messages/corpus.db                   a hub's, under the data root's key
messages/held/<agent>.db             caches that the node holds, under the same key
messages/agents/<agent>/cache.db     an agent's own, under the key in cache.key beside it
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from inos.core.env import Env
from inos.core.errors import Conflict, Corrupt, Locked, NotFound
from inos.messages.cache_folder import KEY_FILE, LOCK_FILE, read_key
from inos.messages.cache_schema import CACHE_MIGRATIONS
from inos.messages.sqlite_schema import MIGRATIONS as CORPUS_MIGRATIONS
from inos.store.database import Database
from inos.store.migrations.step import Migration
from inos.store.private_files import explained
from inos.store.root_lock import hold_lock
from inos.store.swap import Along

FOLDER: Final = "messages"
CORPUS_FILE: Final = "corpus.db"
HELD_FOLDER: Final = "held"
AGENTS_FOLDER: Final = "agents"
_ENDING: Final = ".db"
# Beside a database: its log and what goes with it, one that is being made, the copy that an upgrade keeps for a week.
_BESIDE: Final = re.compile(r".*\.db(-wal|-shm|-journal|-loose|\.new|\.v[0-9]+)(\.new)?(-wal|-shm|-journal)?")


def is_database(name: str) -> bool:
    """Whether a file of this name is one."""
    return name.endswith(_ENDING)


def is_beside(name: str) -> bool:
    """Whether a file of this name is nothing by itself: it goes with a database, or says who has one open."""
    return name == LOCK_FILE or _BESIDE.fullmatch(name) is not None


def is_corpus(path: Path) -> bool:
    """Whether a database is a hub's."""
    return path.name == CORPUS_FILE


def key_of(path: Path, root_key: bytes) -> bytes:
    """What opens the database at `path`. Raises NotFound where an agent's key is not beside it, Corrupt, Refused."""
    if path.parent.parent.name != AGENTS_FOLDER:
        return root_key
    if not (path.parent / KEY_FILE).exists():
        raise NotFound(f"{path.parent / KEY_FILE} is missing: {path.name} is opened by a key that is kept elsewhere")
    return read_key(path.parent)


def migrations_of(path: Path) -> Sequence[Migration]:
    """The schema of the database at `path`."""
    return CORPUS_MIGRATIONS if is_corpus(path) else CACHE_MIGRATIONS


def open_database(path: Path, root_key: bytes, env: Env) -> Database:
    """The database at `path`, which nobody has open, whatever it is for. Raises as `key_of` and `Database`."""
    return Database(path, key_of(path, root_key), env, migrations=migrations_of(path), keeps_previous=False)


def prove(path: Path, root_key: bytes, env: Env) -> None:
    """Read the database at `path` from end to end. Raises Corrupt, NewerFormat."""
    with closing(open_database(path, root_key, env)) as database:
        if found := database.check():
            raise Corrupt(f"{path.name} is damaged: {found[0]}")


class AgentsAtRest(ExitStack):
    """Inside, no agent has a cache open below the folder of messages `folder`. Raises Locked, naming one that has."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder / AGENTS_FOLDER
        self._held: set[Path] = set()

    def __enter__(self) -> AgentsAtRest:
        super().__enter__()
        try:
            for folder in self._folders():
                self._hold(folder)
        except BaseException:
            self.close()
            raise
        return self

    def refuse_new(self) -> None:
        """Raises Conflict where an agent has come since."""
        for folder in self._folders():
            if folder not in self._held:
                raise Conflict(f"the agent {folder.name!r} began to write meanwhile", hint="stop it, and do it again")

    def along(self) -> Along:
        """Who comes even later goes along with a restored state, below a data root: all but those that are at rest. It
        may go on: what it has open stays what it is."""
        return Along(f"{FOLDER}/{AGENTS_FOLDER}", [folder.name for folder in sorted(self._held)])

    def _folders(self) -> list[Path]:
        with explained("look into", self._folder):
            if not self._folder.is_dir():
                return []
            return sorted(folder for folder in self._folder.iterdir() if folder.is_dir())

    def _hold(self, folder: Path) -> None:
        try:
            self.enter_context(hold_lock(folder / LOCK_FILE))
        except Locked:
            raise Locked(f"the agent {folder.name!r} is at work on its messages", hint="stop it first") from None
        self._held.add(folder)
