"""A hub's corpus in PostgreSQL, on a real server that these tests start and stop, under the suite that all pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from inos.core.env import RealEnv
from inos.core.errors import BadInput, InosError, NewerFormat, StorageFull, Unavailable
from inos.core.messages.marks import Mark
from inos.core.messages.query import MessageQuery
from inos.messages import postgres_connections
from inos.messages.corpus import Corpus
from inos.messages.postgres_corpus import PostgresCorpus
from inos.testing.corpus import NOW_MS, CorpusSuite, inserted, message, message_id
from postgres_server import PostgresServer, Way, postgres_server

SECRET: Final = "a-password-nobody-may-see"


WAIT_S: Final = 20.0


@pytest.fixture(scope="session")
def running() -> Iterator[PostgresServer]:
    """A server of our own."""
    with postgres_server(synced=False) as running:
        yield running


@pytest.fixture
def server(running: PostgresServer) -> str:
    """Its URL."""
    return running.url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ANSWER_S", 0.5), ("CONNECT_TIMEOUT_S", 2), ("_IDLE_MS", 1000)):
        monkeypatch.setattr(postgres_connections, name, value)


def comes_back(corpus: PostgresCorpus) -> None:
    """Wait until a call is answered."""
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            corpus.stats()
        except Unavailable:
            assert time.monotonic() < until_s
            time.sleep(0.05)
        else:
            return


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


def test_a_server_that_falls_silent_is_given_up_and_found_again(
    running: PostgresServer, tmp_path: Path, impatient: None
) -> None:
    """More calls than connections, and one that comes when all know."""
    with opened(running.url, tmp_path) as corpus:
        inserted(corpus, [message(0)])
        failed: list[InosError] = []

        def insert(number: int) -> None:
            try:
                corpus.insert([message(number)], NOW_MS)
            except InosError as error:
                failed.append(error)

        threads = [threading.Thread(target=insert, args=(number,)) for number in range(1, 11)]
        with running.silent():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(WAIT_S)
            assert not any(thread.is_alive() for thread in threads)
            assert {type(error) for error in failed} == {Unavailable} and len(failed) == 10
            assert {error.message.partition(" at ")[2].partition(" ")[2] for error in failed} == {"does not answer"}
            with pytest.raises(Unavailable, match="does not answer") as told:
                corpus.query(MessageQuery())
            assert told.value.retryable and "is it running" in told.value.hint
        comes_back(corpus)
        results = corpus.insert([message(number) for number in range(11)], NOW_MS)
        assert {each.fate for each in results[1:]} <= {"stored", "duplicate"} and results[0].fate == "duplicate"
        assert [each.seq for each in corpus.after(0, 50)] == list(range(1, 12)), "each once"


def test_a_way_that_drops_what_it_carries_holds_up_neither_us_nor_others(
    running: PostgresServer, tmp_path: Path, impatient: None
) -> None:
    """The server hears nothing of a transaction that was given up in the middle, and holds what it locked: it undoes
    it by itself."""
    way = Way(running)
    try:
        with opened(running.url, tmp_path) as near, opened(way.url, tmp_path) as far:
            inserted(far, [message(1)])
            with pytest.raises(Unavailable, match="does not answer"), far._connections.writing() as cursor:
                cursor.execute("SELECT last_seq FROM corpus FOR UPDATE")
                way.shut()
                cursor.execute("SELECT 1")
            assert near.insert([message(2)], NOW_MS)[0].seq == 2
            with pytest.raises(Unavailable, match="does not answer"):
                far.stats()
            way.open()
            comes_back(far)
            assert far.insert([message(3)], NOW_MS)[0].seq == 3
    finally:
        way.close()


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
