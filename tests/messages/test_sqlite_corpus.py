"""A hub's corpus in SQLite, under the suite that all pass, and what only it has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from inos.core.env import RealEnv
from inos.messages.corpus import Corpus
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.testing.corpus import CorpusSuite

KEY: Final = bytes(range(32))


@contextmanager
def on_disk(root: Path) -> Iterator[SqliteCorpus]:
    root.mkdir(exist_ok=True)
    corpus = SqliteCorpus(root / "corpus.db", KEY, RealEnv())
    try:
        yield corpus
    finally:
        corpus.close()


class TestSqliteCorpus(CorpusSuite):
    def fresh(self, root: Path) -> AbstractContextManager[Corpus]:
        return on_disk(root)
