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
from inos.messages import sqlite_reading as reading
from inos.messages.corpus import Corpus
from inos.messages.fresh_words import entry_in
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.messages.sqlite_schema import MIGRATIONS
from inos.store.cursor import Cursor, one
from inos.testing.corpus import NOW_MS, CorpusSuite, inserted, message, message_id

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


def as_indexed_before(cursor: Cursor) -> None:
    """What earlier releases wrote when they indexed the first 20."""
    found = [(seq, entry_in(body)) for seq, body in reading.unindexed(0, 20, cursor)]
    list(cursor.executemany("INSERT INTO words (rowid, text) VALUES (?, CAST(? AS TEXT))", found))
    list(cursor.execute("UPDATE corpus SET indexed_seq = 20"))
    list(cursor.execute("UPDATE messages SET state = 4 WHERE seq IN (8, 28)"))


@pytest.mark.parametrize(("schema", "unindexed"), [(1, 30), (2, 30), (3, 10)])
def test_a_corpus_of_an_older_schema_is_indexed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: int, unindexed: int
) -> None:
    with monkeypatch.context() as before:
        before.setattr(sqlite_corpus, "MIGRATIONS", MIGRATIONS[:schema])
        with on_disk(tmp_path) as corpus:
            inserted(corpus, [message(number, content=f"word{number}") for number in range(30)])
            corpus.database.write(as_indexed_before)
    with on_disk(tmp_path) as corpus:
        assert corpus.stats().unindexed == unindexed
        for _ in range(2):
            found = corpus.query(MessageQuery(text="word7")).messages
            assert [each.message.id for each in found] == [message_id(7)]
            assert len(corpus.query(MessageQuery(agent="ada", priority=5)).messages) == 30
            assert not corpus.query(MessageQuery(agent="eve")).messages
            assert [each.seq for each in corpus.query(MessageQuery(state="archived")).messages] == [28, 8]
            assert len(corpus.query(MessageQuery(state="open")).messages) == 28
            span = MessageQuery(since_ms=NOW_MS + 15, until_ms=NOW_MS + 25)
            assert [each.seq for each in corpus.query(span).messages] == list(range(25, 15, -1))
            corpus.index_step(100)
        assert corpus.stats().unindexed == 0
        sql = "SELECT (SELECT count(*) FROM times), (SELECT count(*) FROM states)"
        assert corpus.database.read(lambda cursor: one(cursor.execute(sql))) == (30, 30)


def test_what_was_indexed_in_small_steps_is_merged(tmp_path: Path) -> None:
    """Otherwise a search would look into as many lists as there were steps, up to the 16 at which FTS5 does it all at
    once while writers wait."""
    with on_disk(tmp_path) as corpus:
        inserted(corpus, [message(number, content=f"word{number} common") for number in range(45)])
        assert [corpus.index_step(3) for _ in range(16)] == [3] * 15 + [0]
        sql = "SELECT count(DISTINCT segid) FROM words_idx"
        (lists,) = corpus.database.read(lambda cursor: one(cursor.execute(sql)))
        assert lists <= 8
        found = corpus.query(MessageQuery(text="common", agent="ada", order="oldest")).messages
        assert [each.message.id for each in found] == [message_id(number) for number in range(45)]
        assert [each.seq for each in corpus.query(MessageQuery(text="word27")).messages] == [28]


def test_a_batch_with_one_that_is_there_is_stored_as_if_each_came_alone(tmp_path: Path) -> None:
    with on_disk(tmp_path) as corpus:
        inserted(corpus, [message(number) for number in range(5)])
        batch = [message(7), message(3), message(8), message(7), message(3, content="other"), message(9)]
        results = corpus.insert(batch, NOW_MS)
        fates = ["stored", "duplicate", "stored", "duplicate", "refused", "stored"]
        assert [each.fate for each in results] == fates
        assert [each.seq for each in results] == [6, 4, 7, 6, 0, 8]
        assert [each.message for each in corpus.after(5, 10)] == [message(7), message(8), message(9)]
        assert (corpus.stats().messages, corpus.stats().unread) == (8, 8)


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


def test_of_long_messages_few_are_indexed_at_a_time(tmp_path: Path) -> None:
    """What is read and held for it stays bounded, however long they are."""
    chance = random.Random(4)
    with on_disk(tmp_path) as corpus:
        for number in range(36):
            inserted(corpus, [message(number, content=chance.randbytes(120_000).hex())])
    with on_disk(tmp_path) as corpus:  # where they are not at hand
        steps = [corpus.index_step(corpus.index_from) for _ in range(3)]
        assert steps[0] < 36 and sum(steps) == 36
