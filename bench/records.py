"""Rows of a node's database: what a query and a write take at 1,000 components and 10,000 transactions, and how large
that database is.

In one process, on the repositories, beside the same rows under the same SQL in the standard library's sqlite3, which
encrypts nothing and makes no value of a row; and through the API of a node.
"""

from __future__ import annotations

import dataclasses
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from bench.context import Context, say
from bench.measure import span
from bench.rows import LOWER, Baseline, Row, percentile
from inos.cli.local_mesh import LocalNode
from inos.client.connect import connect_sync
from inos.core.env import RealEnv
from inos.core.options import InitOptions
from inos.core.rows.keys import KeyInfo
from inos.core.rows.personal import MessageInfo, Preference
from inos.core.rows.row import Query
from inos.core.rows.software import Application, Component, ComponentRun
from inos.core.rows.wallet import Transaction
from inos.daemon.roots import init_home, opened_root
from inos.store.dataroot import DataRoot
from inos.store.migrations.v2 import V2
from inos.store.repositories import Repositories
from inos.testing.row_samples import sample

PART: Final = "records"
COMPONENTS: Final = 1_000
TRANSACTIONS: Final = 10_000
PAGE: Final = 50
P95_TARGET_MS: Final = 10.0
SIZE_TARGET_MB: Final = 100.0
MANIFEST_BYTES: Final = 2048
CHANCE: Final = random.Random(1)


def run(context: Context) -> list[Row]:
    """Rows for queries, writes and the size of the file."""
    folder = context.fresh("records")
    home = folder / "home"
    init_home(InitOptions(home, None, None, "bench"))
    say(f"{COMPONENTS} components, {TRANSACTIONS} transactions")
    rounds = 100 if context.quick else 1000
    with opened_root(DataRoot(home), None, RealEnv()) as (disk, _):
        _fill(disk.rows)
        plain = _plain_copy(folder / "plain.db", disk.rows)
        rows = _in_process(disk.rows, plain, rounds)
        disk.database.checkpoint()
    size_mb = (home / "inos.db").stat().st_size / 1e6
    plain.close()
    plain_mb = (folder / "plain.db").stat().st_size / 1e6
    rows.append(
        Row(PART, "the database's file", size_mb, "MB", LOWER, (size_mb,),
            Baseline("sqlite3, not encrypted, no full-text index", plain_mb), SIZE_TARGET_MB)
    )  # fmt: skip
    return rows + _through_the_api(home, rounds)


def _fill(rows: Repositories) -> None:
    manifests = [{"entry": CHANCE.randbytes(MANIFEST_BYTES // 2).hex()} for _ in range(COMPONENTS)]
    rows.components.put(*(dataclasses.replace(sample(Component, n), manifest=manifests[n]) for n in range(COMPONENTS)))
    for repository, kind, count in (
        (rows.applications, Application, 100),
        (rows.registry, ComponentRun, COMPONENTS),
        (rows.keys, KeyInfo, 3 * COMPONENTS),
        (rows.transactions, Transaction, TRANSACTIONS),
        (rows.preferences, Preference, 200),
        (rows.messages, MessageInfo, 1_000),
    ):
        made: list[Any] = [sample(kind, number) for number in range(count)]
        repository.put(*made)


def _plain_copy(path: Path, rows: Repositories) -> sqlite3.Connection:
    """The same tables, indices and rows without encryption; without the full-text index, which older ones lack."""
    plain = sqlite3.connect(path, isolation_level=None)
    plain.execute("PRAGMA journal_mode = WAL")
    plain.execute("PRAGMA synchronous = FULL")
    statements = [each for each in _statements(V2.sql) if " search" not in each and "VIEW" not in each]
    for statement in statements:
        if "mesh_cache" not in statement:  # refers to the chunks, of which there are none
            plain.execute(statement)
    plain.execute("BEGIN")
    for repository in (rows.components, rows.registry, rows.keys, rows.transactions, rows.preferences, rows.messages):
        found: Any = repository
        for row in _everything(found):
            values = [found._to_sql(name, getattr(row, name)) for name in found._stored]
            plain.execute(found._upsert, values)
    plain.execute("COMMIT")
    plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return plain


def _statements(script: str) -> list[str]:
    found, begun = [], ""
    for line in script.splitlines():
        begun += line + "\n"
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found


def _everything(repository: Any) -> Sequence[Any]:
    rows: list[Any] = []
    query: Query[Any] = Query(repository.kind)
    while True:
        page = repository.page(query)
        rows += page.rows
        if not page.next:
            return rows
        query = dataclasses.replace(query, after=page.next)


def _queries() -> list[tuple[str, Callable[[int], Query[Any]]]]:
    def of_an_address(number: int) -> Query[Any]:
        address = sample(Transaction, number).from_address
        return Query(Transaction, "from_address", address, descending=True, limit=PAGE)

    return [
        (f"{PAGE} transactions of an address, newest first", of_an_address),
        (f"{PAGE} pending transactions", lambda _: Query(Transaction, "status", "pending", limit=PAGE)),
        (f"{PAGE} components by type", lambda _: Query(Component, "type", "backend", limit=PAGE)),
        (f"{PAGE} running components", lambda _: Query(ComponentRun, "status", "running", limit=PAGE)),
    ]


def _in_process(rows: Repositories, plain: sqlite3.Connection, rounds: int) -> list[Row]:
    found: list[Row] = []
    components: Any = rows.components
    keys = [sample(Component, number).key for number in range(COMPONENTS)]
    one = f"{components._select} WHERE component_id = ?"
    found += _row_pair(
        "one component by its id", rounds,
        lambda n: components.need(keys[n % COMPONENTS]),
        lambda n: plain.execute(one, (keys[n % COMPONENTS],)).fetchone(),
    )  # fmt: skip
    for name, query_of in _queries():
        repository: Any = rows.of(query_of(0).kind)

        def ours(n: int, repository: Any = repository, query_of: Any = query_of) -> object:
            return repository.page(query_of(n))

        def theirs(n: int, repository: Any = repository, query_of: Any = query_of) -> object:
            query = query_of(n)
            return plain.execute(*repository._page_sql(query, query.chosen())).fetchall()

        found += _row_pair(name, rounds, ours, theirs)
    found += _row_pair("a search for two words", rounds, lambda n: rows.search.find(f"part {n % 90}", limit=PAGE), None)
    transactions: Any = rows.transactions
    new = [dataclasses.replace(sample(Transaction, n), tx_hash=f"new-{n}") for n in range(rounds)]
    values = [[transactions._to_sql(name, getattr(row, name)) for name in transactions._stored] for row in new]
    found += _row_pair(
        "one transaction written, synced", rounds // 2,
        lambda n: transactions.put(new[n]), lambda n: plain.execute(transactions._upsert, values[n]), target=None,
    )  # fmt: skip
    return found


def _row_pair(
    name: str,
    rounds: int,
    ours: Callable[[int], object],
    theirs: Callable[[int], object] | None,
    *,
    target: float | None = P95_TARGET_MS,
) -> list[Row]:
    """p50 and p95 of ours and, in turns with it, of the other."""
    taken: list[float] = []
    other: list[float] = []
    for number in range(rounds):
        taken.append(_timed_ms(ours, number))
        if theirs is not None:
            other.append(_timed_ms(theirs, number))
    return [
        Row(PART, f"{name}, {words}", percentile(taken, share), "ms", LOWER, tuple(taken),
            Baseline("sqlite3", percentile(other, share)) if other else None, target if share > 0.5 else None)
        for words, share in (("p50", 0.5), ("p95", 0.95))
    ]  # fmt: skip


def _timed_ms(work: Callable[[int], object], number: int) -> float:
    start = time.perf_counter()
    work(number)
    return (time.perf_counter() - start) * 1000


def _through_the_api(home: Path, rounds: int) -> list[Row]:
    node = LocalNode(home, ())
    node.start()
    try:
        node.wait_ready()
        with connect_sync(home) as mesh:
            floor = median(_timed_ms(lambda _: mesh.db.search("nobodyhasthisword"), n) for n in range(rounds // 4))
            rows = []
            watched = [psutil.Process(node.pid)]
            for name, query_of in _queries():
                with span(watched) as spent:
                    taken = [_timed_ms(lambda n, q=query_of: mesh.db.page(q(n)), n) for n in range(rounds // 4)]  # type: ignore[misc]
                rows += [
                    Row(PART, f"{name}, through the API, {words}", percentile(taken, share), "ms", LOWER, tuple(taken),
                        Baseline("a search without result", floor), P95_TARGET_MS if share > 0.5 else None)
                    for words, share in (("p50", 0.5), ("p95", 0.95))
                ]  # fmt: skip
                cpu_ms = (spent.own_cpu_s + spent.their_cpu_s) * 1000 / len(taken)
                rows.append(Row(PART, f"{name}, through the API, processor of client and node", cpu_ms, "ms", LOWER))
            return rows
    finally:
        node.stop()
