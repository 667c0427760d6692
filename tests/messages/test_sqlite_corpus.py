"""A hub's corpus in SQLite, under the suite that all pass, and what only it has."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from inos.core.env import RealEnv
from inos.core.messages.query import MessageQuery
from inos.messages import sqlite_corpus
from inos.messages.corpus import Corpus
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.messages.sqlite_schema import MIGRATIONS
from inos.testing.corpus import CorpusSuite, inserted, message, message_id

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


def test_a_corpus_of_the_first_schema_is_indexed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(sqlite_corpus, "MIGRATIONS", MIGRATIONS[:1])
        with on_disk(tmp_path) as corpus:
            inserted(corpus, [message(number, content=f"word{number}") for number in range(30)])
            assert corpus.index_step(20) == 20
    with on_disk(tmp_path) as corpus:
        assert corpus.stats().unindexed == 30
        for _ in range(2):
            found = corpus.query(MessageQuery(text="word7")).messages
            assert [each.message.id for each in found] == [message_id(7)]
            corpus.index_step(100)
        assert corpus.stats().unindexed == 0


def test_words_are_indexed_alike_whether_messages_are_still_at_hand_or_read_again(tmp_path: Path) -> None:
    with on_disk(tmp_path) as corpus:
        inserted(corpus, [message(number, content=f"word{number}") for number in range(10)])
    with on_disk(tmp_path) as corpus:  # those before are not at hand, nor is one that is long
        contents = [f"word{number}" for number in range(10, 20)]
        contents[4] += " " + bytes(range(256)).hex() * 20 + random.Random(1).randbytes(3_000).hex()
        inserted(corpus, [message(number, content=each) for number, each in enumerate(contents, 10)])
        assert [corpus.index_step(7) for _ in range(4)] == [7, 7, 6, 0]
        for number in range(20):
            found = corpus.query(MessageQuery(text=f"word{number}", order="oldest")).messages
            assert found[0].message.id == message_id(number)
