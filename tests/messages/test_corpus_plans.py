"""Every query follows an index: what SQLite says it would do, and how little it then looks at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from inos.core.env import RealEnv
from inos.core.messages.marks import Mark
from inos.core.messages.query import MessageQuery
from inos.core.messages.words import query_words
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.messages.sqlite_plan import PROBE, driver_for, limits, page_sql, search_sql
from inos.store.cursor import Cursor, one
from inos.testing.corpus import NOW_MS, QUERIES, inserted, message, message_id

COUNT: Final = 3_000
# Half of all are one agent's; a few have something that few have.
RARE: Final = {7, 1_500, 2_990}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteCorpus]:
    corpus = SqliteCorpus(tmp_path_factory.mktemp("plans") / "corpus.db", bytes(32), RealEnv())
    inserted(
        corpus,
        [
            message(
                number,
                agent="ada" if number % 2 else "bob",
                task="rare" if number in RARE else "usual",
                role="coder",
                recipient="eve" if number in RARE else "",
                priority=number % 10,
                time_ms=NOW_MS + number * 1000,
            )
            for number in range(COUNT)
        ],
    )
    corpus.mark([message_id(number) for number in RARE], "archived", Mark(NOW_MS, "eve", True))
    while corpus.index_step(500):
        pass
    yield corpus
    corpus.close()


def plan_of(corpus: SqliteCorpus, query: MessageQuery) -> tuple[str, list[str]]:
    """The index that was chosen, and what SQLite would do."""

    def work(cursor: Cursor) -> tuple[str, list[str]]:
        def count(sql: str, values: Any) -> int:
            return int(one(cursor.execute(sql, values))[0])

        plan = driver_for(query, query_words(query.text), count, limits(query, cursor))
        assert plan is not None
        statements = [search_sql(plan, "seq") if plan.asked and not plan.index else page_sql(plan, "seq")]
        steps = [row[3] for sql, values in statements for row in cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        return plan.index or ("words" if plan.asked else ""), steps

    return corpus.database.read(work)


@pytest.mark.parametrize("fields", [each for each in QUERIES if each.get("since_ms", 0) < NOW_MS + 90_000_000], ids=str)
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_nothing_is_gone_through_whole(corpus: SqliteCorpus, fields: dict[str, Any], order: Any) -> None:
    query = MessageQuery(**fields, order=order)
    index, steps = plan_of(corpus, query)
    scans = [step for step in steps if step.startswith("SCAN") and "VIRTUAL TABLE INDEX" not in step]
    assert all(step.startswith(("SCAN spans", "SCAN best", "SCAN (")) for step in scans), steps
    # Sorting is only for a span of time of which all was counted, and for ranks.
    assert index == "times" or not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.parametrize(
    ("fields", "index"),
    [
        ({"agent": "ada"}, "words"),
        ({"agent": "ada", "task": "rare"}, "words"),
        ({"role": "coder", "recipient": "eve"}, "words"),
        ({"role": "coder", "state": "archived"}, "states"),
        ({"agent": "bob", "priority": 9}, "words"),
        ({"agent": "bob", "since_ms": NOW_MS + 5_000, "until_ms": NOW_MS + 9_000}, "times"),
        ({"since_ms": NOW_MS + 5_000, "until_ms": NOW_MS + 9_000}, "times"),
        ({"since_ms": NOW_MS + 5_000}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_the_index_with_the_fewest_rows_leads(corpus: SqliteCorpus, fields: dict[str, Any], index: str) -> None:
    assert PROBE < COUNT / 2
    assert plan_of(corpus, MessageQuery(**fields))[0] == index


def test_the_best_of_a_search_are_chosen_among_a_bounded_number(corpus: SqliteCorpus) -> None:
    _, steps = plan_of(corpus, MessageQuery(text="message", order="best"))
    assert any("VIRTUAL TABLE INDEX" in step for step in steps)
    assert len(corpus.query(MessageQuery(text="message", order="best", limit=10)).messages) == 10


def test_looking_at_pages_wherever_they_are_costs_the_same(corpus: SqliteCorpus) -> None:
    """The last page of an agent's messages looks at no more than the first."""

    def steps(query: MessageQuery) -> int:
        counted = 0

        def tick() -> bool:
            nonlocal counted
            counted += 1
            return False

        def work(cursor: Any) -> None:
            connection = cursor.connection
            plan = driver_for(query, [], lambda sql, values: PROBE, limits(query, cursor))
            assert plan is not None and plan.asked
            sql, values = search_sql(plan, "seq")
            connection.set_progress_handler(tick, 10)
            try:
                rows = iter(cursor.execute(sql, values))
                for _ in range(20):
                    next(rows, None)
            finally:
                connection.set_progress_handler(None, 10)

        corpus.database.read(work)
        return counted

    first, last = steps(MessageQuery(agent="ada", limit=20)), steps(MessageQuery(agent="ada", limit=20, after="60"))
    assert last <= first + 5
