"""A hub's corpus in PostgreSQL, on a real server that these tests start and stop, under the suite that all pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from inos.core.env import RealEnv
from inos.core.errors import BadInput, NewerFormat, StorageFull, Unavailable
from inos.core.messages.marks import Mark
from inos.core.messages.query import MessageQuery
from inos.messages.corpus import Corpus
from inos.messages.postgres_corpus import PostgresCorpus
from inos.testing.corpus import NOW_MS, CorpusSuite, inserted, message, message_id
from postgres_server import postgres_server

SECRET: Final = "a-password-nobody-may-see"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server of our own."""
    with postgres_server(synced=False) as running:
        yield running.url


def schema_of(root: Path) -> str:
    return "t" + str(root).encode().hex()[-50:]


@contextmanager
def opened(url: str, root: Path) -> Iterator[PostgresCorpus]:
    corpus = PostgresCorpus(url, RealEnv(), schema=schema_of(root))
    try:
        yield corpus
    finally:
        corpus.close()


def run(url: str, statement: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


class TestPostgresCorpus(CorpusSuite):
    url: str

    @pytest.fixture(autouse=True)
    def given(self, server: str) -> None:
        self.url = server

    def fresh(self, root: Path) -> AbstractContextManager[Corpus]:
        return opened(self.url, root)


def test_a_full_disk_is_storage_full(server: str, tmp_path: Path) -> None:
    """The server says it with the code it has for that."""
    with opened(server, tmp_path) as corpus:
        inserted(corpus, [message(1)])
        schema = schema_of(tmp_path)
        run(
            server,
            f"CREATE FUNCTION {schema}.full() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END $$;"
            f"CREATE TRIGGER full_disk BEFORE INSERT ON {schema}.bodies EXECUTE FUNCTION {schema}.full()",
        )
        with pytest.raises(StorageFull):
            corpus.insert([message(2), message(3)], NOW_MS)
        assert corpus.stats().messages == 1
        run(server, f"DROP TRIGGER full_disk ON {schema}.bodies")
        assert [each.seq for each in corpus.insert([message(2), message(3)], NOW_MS)] == [2, 3]


def test_a_lost_connection_is_unavailable_and_comes_back(server: str, tmp_path: Path) -> None:
    with opened(server, tmp_path) as corpus:
        inserted(corpus, [message(1)])
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'inos'"
        run(server, cut)
        with pytest.raises(Unavailable) as lost:
            corpus.insert([message(2)], NOW_MS)
        assert lost.value.retryable
        assert corpus.insert([message(2)], NOW_MS)[0].seq == 2
        run(server, cut)
        with pytest.raises(Unavailable):
            corpus.query(MessageQuery())
        assert len(corpus.query(MessageQuery()).messages) == 2


def test_no_password_is_in_what_is_said() -> None:
    with pytest.raises(Unavailable) as refused:
        PostgresCorpus(f"postgresql://inos:{SECRET}@127.0.0.1:1/messages", RealEnv())
    assert SECRET not in f"{refused.value!r} {refused.value.hint} {refused.value.__context__!r}"
    assert refused.value.__cause__ is None and refused.value.__suppress_context__
    for wrong in (
        f"postgresql://inos:{SECRET}@host/db?colour=red",
        f"mysql://{SECRET}",
        f"postgresql://a:{SECRET}@[::1/x",
    ):
        with pytest.raises(BadInput) as invalid:
            PostgresCorpus(wrong, RealEnv())
        assert SECRET not in f"{invalid.value!r} {invalid.value.hint}"


def test_a_newer_schema_is_refused_and_left_alone(server: str, tmp_path: Path) -> None:
    with opened(server, tmp_path) as corpus:
        inserted(corpus, [message(1)])
    schema = schema_of(tmp_path)
    run(server, f"UPDATE {schema}.corpus SET version = 99")
    with pytest.raises(NewerFormat):
        PostgresCorpus(server, RealEnv(), schema=schema)
    run(server, f"UPDATE {schema}.corpus SET version = 1")
    with opened(server, tmp_path) as corpus:
        assert corpus.stats().messages == 1


def test_two_hubs_on_one_corpus_keep_one_order(server: str, tmp_path: Path) -> None:
    """A mistake of whoever configures them; it must not cost a message."""
    with opened(server, tmp_path) as one, opened(server, tmp_path) as other:
        assert one.identity == other.identity
        for number in range(10):
            (one, other)[number % 2].insert([message(number)], NOW_MS)
        other.mark([message_id(3)], "read", Mark(NOW_MS, "eve", True))
        assert [each.seq for each in one.after(0, 20)] == list(range(1, 11))
        assert one.stats().unread == 9


def test_an_answer_that_is_an_error_costs_no_connection(server: str, tmp_path: Path) -> None:
    with opened(server, tmp_path) as corpus:

        def backend() -> int:
            with corpus._connections.reading() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                return int((cursor.fetchone() or (0,))[0])

        before = backend()
        for wrong in ("\0", "\ud800"):
            with pytest.raises((psycopg.DataError, UnicodeEncodeError)), corpus._connections.reading() as cursor:
                cursor.execute("SELECT %s::text", (wrong,))
        with pytest.raises(psycopg.errors.DivisionByZero), corpus._connections.reading() as cursor:
            cursor.execute("SELECT 1 / 0")
        assert backend() == before
