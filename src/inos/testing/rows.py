"""The suite every repository passes: subclass `RowSuite`, supply a fresh set of repositories; each test runs for each
kind there is. And rows of every kind to test with."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput, Conflict, NotFound
from inos.core.ids import Address
from inos.core.rows import KINDS
from inos.core.rows.kept import Cached, HeldObject, KeptChunk
from inos.core.rows.keys import KeyInfo
from inos.core.rows.personal import MessageInfo, Preference
from inos.core.rows.row import MAX_PAGE, Order, Query, Row, parse_key
from inos.core.rows.software import Application, Component, ComponentRun
from inos.core.rows.wallet import Transaction
from inos.store.cursor import Cursor
from inos.store.database import Database
from inos.store.repositories import Repositories
from inos.store.repositories.repository import ReadRepository, Repository
from inos.testing.row_samples import (
    CHANGES,
    TIME_S,
    a_cached,
    a_chunk,
    a_component,
    a_run,
    a_transaction,
    an_application,
    digest_of,
    sample,
)


class Filled:
    """Repositories to put sample rows into, with what each of them needs to be there."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.rows = Repositories(database)

    def add(self, kind: type[Row], *numbers: int) -> list[Any]:
        """Put sample rows of `kind` in; the rows."""
        made = [sample(kind, number) for number in numbers]
        if kind in (Application, ComponentRun):
            self.rows.components.put(*(a_component(number) for number in numbers))
        if kind in (Cached, KeptChunk):
            self.database.write(lambda cursor: _add_chunks(cursor, [a_chunk(number) for number in numbers]))
        repository: Any = self.rows.of(kind)
        if isinstance(repository, Repository):
            repository.put(*made)
        elif kind is HeldObject:
            self.database.write(lambda cursor: _add_objects(cursor, made))
        return made

    def drop(self, row: Row) -> None:
        """Take a row out again."""
        repository = self.rows.of(type(row))
        if isinstance(repository, Repository):
            assert repository.remove(row.key)
            return
        table, column = ("holdings", "cid") if isinstance(row, HeldObject) else ("chunks", "address")
        sql = f"DELETE FROM {table} WHERE {column} = ?"  # noqa: S608 - constants
        self.database.write(lambda cursor: list(cursor.execute(sql, (bytes(row.key),))))


def _add_chunks(cursor: Cursor, chunks: list[KeptChunk]) -> None:
    sql = "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?, ?)"
    for row in chunks:
        place = ("file", "database").index(row.location)
        times = (row.stored_at_s, row.touched_at_s, row.verified_at_s)
        list(cursor.execute(sql, (bytes(row.address), row.size_bytes, place, *times)))


def _add_objects(cursor: Cursor, objects: list[HeldObject]) -> None:
    for row in objects:
        values = (bytes(row.cid), row.epoch, row.state, row.size_bytes, row.attached_at_s, row.dropped_at_s)
        list(cursor.execute("INSERT INTO holdings VALUES (?, ?, ?, ?, ?, ?, 1)", values))
        if row.name is not None:
            named = (row.name, bytes(row.cid), bytes(row.cid))
            list(cursor.execute("INSERT INTO names VALUES (?, ?, 'file', ?, 'r', 0, 0, 0, '', NULL)", named))


def all_orders() -> list[tuple[type[Row], Order]]:
    """Every way through every kind."""
    return [(kind, order) for kind in KINDS.values() for order in kind.ORDERS]


def in_order(rows: list[Any], order: Order, equals: Any, *, descending: bool = False) -> list[Any]:
    """What a listing must give, worked out from the rows alone."""
    found = [row for row in rows if not order.equals or getattr(row, order.equals) == equals]
    found = [row for row in found if all(getattr(row, name) is not None for name in order.fields)]
    return sorted(found, key=lambda row: tuple(getattr(row, name) for name in order.fields), reverse=descending)


def by_kind(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test for every kind."""
    marked: Callable[..., None] = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.KIND)(test)
    return marked


class RowSuite:
    """The contract of `inos.store.repositories`, as tests."""

    @abstractmethod
    def fresh(self, folder: Path) -> AbstractContextManager[Database]:
        """An empty database that keeps what it needs under `folder`."""

    @pytest.fixture
    def filled(self, tmp_path: Path) -> Iterator[Filled]:
        with self.fresh(tmp_path) as database:
            yield Filled(database)

    @by_kind
    def test_what_was_put_is_found_by_its_key(self, filled: Filled, kind: type[Row]) -> None:
        rows = filled.add(kind, *range(6))
        repository = filled.rows.of(kind)
        assert [repository.get(row.key) for row in rows] == rows
        assert [repository.need(parse_key(kind, row.key_text)) for row in rows] == rows
        assert repository.count() == 6

    @by_kind
    def test_what_is_not_there_is_said(self, filled: Filled, kind: type[Row]) -> None:
        repository = filled.rows.of(kind)
        absent = sample(kind, 77)
        assert repository.get(absent.key) is None and repository.count() == 0
        with pytest.raises(NotFound, match=kind.KIND):
            repository.need(absent.key)
        assert repository.page(Query(kind)).rows == ()

    @by_kind
    def test_a_row_goes_through_json(self, kind: type[Row]) -> None:
        for number in range(12):
            row = sample(kind, number)
            assert kind.from_dict(json.loads(json.dumps(row.to_dict()))) == row

    @by_kind
    def test_putting_again_replaces_and_removing_removes(self, filled: Filled, kind: type[Row]) -> None:
        one, other = filled.add(kind, 1, 2)
        repository: Any = filled.rows.of(kind)
        if isinstance(repository, Repository):
            changed = dataclasses.replace(one, **CHANGES[kind])
            assert changed != one
            repository.put(changed)
            assert repository.get(one.key) == changed and repository.count() == 2
            assert not repository.remove(sample(kind, 99).key)
        filled.drop(one)
        assert repository.get(one.key) is None and repository.get(other.key) == other

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize(("kind", "order"), all_orders(), ids=lambda value: getattr(value, "name", None))
    def test_every_order_pages_through_all_of_it(
        self, filled: Filled, kind: type[Row], order: Order, descending: bool
    ) -> None:
        rows = filled.add(kind, *range(30))
        for equals in {getattr(row, order.equals) for row in rows} - {None} if order.equals else {None}:
            expected = in_order(rows, order, equals, descending=descending)
            found: list[Row] = []
            after = ""
            for _ in range(30):
                query: Query[Any] = Query(kind, order.equals, equals, order.name, descending, after, 4)
                page = filled.rows.of(kind).page(query)
                found += page.rows
                after = page.next
                if not after:
                    break
            assert found == expected

    @pytest.mark.parametrize(("kind", "order"), all_orders(), ids=lambda value: getattr(value, "name", None))
    def test_an_index_serves_every_order(self, filled: Filled, kind: type[Row], order: Order) -> None:
        """Neither a sort nor a look at every row, however far into the list."""
        rows = filled.add(kind, *range(30))
        equals = getattr(rows[1], order.equals) if order.equals else None
        repository: ReadRepository[Any] = filled.rows.of(kind)
        query: Query[Any] = Query(kind, order.equals, equals, order.name, limit=1)
        query = dataclasses.replace(query, after=repository.page(query).next)
        sql, bindings = repository._page_sql(query, order)
        plan = filled.database.read(lambda cursor: list(cursor.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)))
        steps = [row[3] for row in plan if not row[3].startswith(("CORRELATED", "SCAN application_components"))]
        assert not any("TEMP B-TREE" in step for step in steps), steps
        assert steps[0].startswith("SEARCH"), steps

    @by_kind
    def test_pages_stay_true_while_rows_come_and_go(self, filled: Filled, kind: type[Row]) -> None:
        rows = {row.key: row for row in filled.add(kind, *range(0, 40, 2))}
        chance = random.Random(7)  # noqa: S311 - a repeatable test
        repository: ReadRepository[Any] = filled.rows.of(kind)
        seen: list[Any] = []
        stayed = set(rows)
        page = repository.page(Query(kind, limit=3))
        number = 41
        while page.next:
            seen += [row.key for row in page.rows]
            gone = chance.choice(sorted(stayed))
            filled.drop(rows[gone])
            stayed.remove(gone)
            [new] = filled.add(kind, number)
            number += 2
            rows[new.key] = new
            stayed.add(new.key)
            if number > 41 + 30:
                break
            page = repository.page(Query(kind, limit=3, after=page.next))
        seen += [row.key for row in page.rows]
        assert seen == sorted(set(seen))  # nothing twice, in order
        old = {sample(kind, each).key for each in range(0, 40, 2)} & stayed
        assert {key for key in old if key <= seen[-1]} <= set(seen)  # nothing that was there all along was left out

    @by_kind
    def test_a_cursor_is_good_for_its_own_list_only(self, filled: Filled, kind: type[Row]) -> None:
        filled.add(kind, *range(6))
        repository: ReadRepository[Any] = filled.rows.of(kind)
        after = repository.page(Query(kind, limit=1)).next
        assert after
        with pytest.raises(BadInput, match="cursor"):
            repository.page(Query(kind, descending=True, after=after))
        for text in (after[:-8], "x" * 9000, "!", "AAAA", "bnVsbA==", "W10=", "[]"):
            with pytest.raises(BadInput, match="cursor"):
                repository.page(Query(kind, after=text))
        other = next(each for each in KINDS.values() if each is not kind)
        with pytest.raises(BadInput, match="cursor"):
            filled.rows.of(other).page(Query(other, after=after))

    @by_kind
    def test_what_no_index_serves_is_refused(self, kind: type[Row]) -> None:
        for query in (Query(kind, where="no such field"), Query(kind, order="no such order")):
            with pytest.raises(BadInput) as caught:
                query.chosen()
            assert caught.value.hint
        for limit in (0, -1, MAX_PAGE + 1):
            with pytest.raises(BadInput, match="page"):
                Query(kind, limit=limit)

    def test_any_rows_in_any_order_list_the_same(self, tmp_path: Path) -> None:
        @settings(max_examples=15, deadline=None)
        @given(st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=30), st.integers(1, 7))
        def run(changes: list[tuple[int, bool]], limit: int) -> None:
            with self.fresh(tmp_path / str(next(runs))) as database:
                transactions = Repositories(database).transactions
                model: dict[str, Transaction] = {}
                for number, stays in changes:
                    row = a_transaction(number)
                    if stays:
                        transactions.put(row)
                        model[row.tx_hash] = row
                    else:
                        assert transactions.remove(row.tx_hash) == (model.pop(row.tx_hash, None) is not None)
                for order in Transaction.ORDERS:
                    equals = getattr(a_transaction(4), order.equals) if order.equals else None
                    found: list[Transaction] = []
                    query = Query(Transaction, order.equals, equals, order.name, limit=limit)
                    while True:
                        page = transactions.page(query)
                        assert len(page.rows) <= limit
                        found += page.rows
                        if not page.next:
                            break
                        query = dataclasses.replace(query, after=page.next)
                    assert found == in_order(list(model.values()), order, equals)

        runs = itertools.count()
        run()

    # What only some kinds have

    def test_all_of_a_put_or_none(self, filled: Filled) -> None:
        with pytest.raises(Conflict, match="not installed"):
            filled.rows.applications.put(
                dataclasses.replace(an_application(1), components=()), dataclasses.replace(an_application(2))
            )
        assert filled.rows.applications.count() == 0

    def test_rows_that_need_others_hold_them(self, filled: Filled) -> None:
        rows = filled.rows
        filled.add(Application, 1)
        filled.add(ComponentRun, 2)
        for number in (1, 2):
            with pytest.raises(Conflict) as caught:
                rows.components.remove(a_component(number).component_id)
            assert caught.value.hint
        assert rows.applications.remove(an_application(1).key) and rows.registry.remove(a_run(2).key)
        assert rows.components.remove(a_component(1).key) and rows.components.remove(a_component(2).key)
        with pytest.raises(Conflict, match="not installed"):
            rows.registry.put(a_run(5))
        with pytest.raises(Conflict, match="not on this disk"):
            rows.cache.put(a_cached(5))

    def test_a_cached_row_goes_with_its_chunk(self, filled: Filled) -> None:
        [row] = filled.add(Cached, 1)
        filled.drop(a_chunk(1))
        assert filled.rows.cache.get(row.key) is None

    def test_words_find_rows(self, filled: Filled) -> None:
        search = filled.rows.search
        filled.add(Application, 1, 2)
        filled.add(MessageInfo, 1, 12)
        assert [(found.kind, found.key) for found in search.find("uber THINGS 12")] == [("messages", "m000012")]
        assert {found.kind for found in search.find("bartok")} == {"components"}
        assert {found.key for found in search.find("app", "applications")} == {"app-00001", "app-00002"}
        assert search.find("app", "messages") == ()
        assert len(search.find("part", limit=1)) == 1
        for odd in ('"', "AND", 'x" OR "y', "kind:messages", "a*b", "NEAR(a b)", "-x", "^part"):
            if any(letter.isalnum() for letter in odd):
                search.find(odd)
        assert search.find('part" OR "uber') == ()

    def test_the_search_follows_every_change(self, filled: Filled) -> None:
        rows = filled.rows
        [first] = filled.add(MessageInfo, 1)
        rows.messages.put(dataclasses.replace(first, subject="quite another"))
        assert rows.search.find("things") == () and len(rows.search.find("another")) == 1
        rows.messages.mark(first.message_id, "read")
        assert len(rows.search.find("another")) == 1
        assert rows.search.problems() == []
        rows.messages.remove(first.key)
        assert rows.search.find("another") == () and rows.search.problems() == []

    @pytest.mark.parametrize("text", ["", "  ", "..", "a " * 17, "x" * 501])
    def test_a_search_is_some_words(self, filled: Filled, text: str) -> None:
        with pytest.raises(BadInput):
            filled.rows.search.find(text)
        for kind, limit in (("keys", 5), ("", 0), ("", 10**6)):
            with pytest.raises(BadInput):
                filled.rows.search.find("word", kind, limit)

    def test_a_change_is_one_transaction(self, filled: Filled) -> None:
        filled.add(Component, 2)
        rows, key = filled.rows.components, a_component(2).component_id
        rows.used(key, TIME_S + 99.9)
        assert rows.need(key).last_used_s == TIME_S + 99
        with pytest.raises(BadInput, match="another component_id"):
            rows.update(key, lambda row: dataclasses.replace(row, component_id="other"))
        with pytest.raises(BadInput, match="name"):
            rows.update(key, lambda row: dataclasses.replace(row, name=""))
        with pytest.raises(NotFound):
            rows.used("absent", 1)
        assert rows.need(key).name == "Part 2" and rows.count() == 1

    def test_heartbeats_are_those_of_the_process_that_is_known(self, filled: Filled) -> None:
        [row] = filled.add(ComponentRun, 2)
        registry = filled.rows.registry
        assert row.pid is not None
        assert registry.beat(row.component_id, row.pid, TIME_S + 5.5)
        assert not registry.beat(row.component_id, row.pid + 1, TIME_S + 9)
        assert registry.need(row.component_id).last_heartbeat_s == TIME_S + 5
        with pytest.raises(Conflict, match="running"):
            registry.take_out(row.component_id)
        registry.update(row.component_id, lambda run: dataclasses.replace(run, status="stopped", pid=None))
        assert registry.take_out(row.component_id) and not registry.take_out(row.component_id)

    def test_launches_accesses_and_settlements_are_counted(self, filled: Filled) -> None:
        rows = filled.rows
        filled.add(Application, 3)
        rows.applications.launched("app-00003", TIME_S + 1)
        application = rows.applications.need("app-00003")
        assert (application.launch_count, application.last_launched_s) == (4, TIME_S + 1)
        assert application.components == (a_component(3).component_id,)
        [cached] = filled.add(Cached, 1)
        rows.cache.touch([cached.address, Address(digest_of(99))], TIME_S + 50)
        assert rows.cache.need(cached.address).access_count == 2
        assert rows.cache.need(cached.address).last_accessed_s == TIME_S + 50
        [pending] = filled.add(Transaction, 3)
        assert rows.transactions.settle(pending.tx_hash, "confirmed", TIME_S + 7).confirmed_at_s == TIME_S + 7
        assert rows.transactions.settle(pending.tx_hash, "confirmed", TIME_S + 8).confirmed_at_s == TIME_S + 7
        with pytest.raises(Conflict):
            rows.transactions.settle(pending.tx_hash, "failed", TIME_S)

    def test_a_key_is_recorded_once(self, filled: Filled) -> None:
        keys, key = filled.rows.keys, sample(KeyInfo, 4)
        assert keys.record(key) == key
        later = dataclasses.replace(key, created_at_s=key.created_at_s + 9, purpose="")
        assert keys.record(later) == key and keys.count() == 1
        assert keys.record(dataclasses.replace(key, purpose="wallet")).purpose == "wallet"
        keys.used(key.key_id, TIME_S + 3)
        assert keys.need(key.key_id).last_used_s == TIME_S + 3

    def test_a_page_is_cut_where_its_rows_are_large(self, filled: Filled) -> None:
        made = [Preference(f"big-{number:02}", "x" * 60_000, 1) for number in range(40)]
        filled.rows.preferences.put(*made)
        found: list[Preference] = []
        query = Query(Preference)
        pages = 0
        while True:
            page = filled.rows.preferences.page(query)
            found += page.rows
            pages += 1
            if not page.next:
                break
            query = dataclasses.replace(query, after=page.next)
        assert found == made and pages == 3
