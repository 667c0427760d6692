"""The replica of the tables, in the database and in memory, under one suite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from inos.core.env import RealEnv
from inos.store.database import Database
from inos.store.memory_records import MemoryRecordStore
from inos.store.records import RecordStore
from inos.store.replica import Replica
from inos.testing.records import TABLE, ReplicaSuite, record

KEY: Final = bytes(range(32))


@contextmanager
def on_disk(root: Path) -> Iterator[RecordStore]:
    root.mkdir(exist_ok=True)
    database = Database(root / "inos.db", KEY, RealEnv())
    yield RecordStore(database)
    database.close()


@contextmanager
def in_memory() -> Iterator[MemoryRecordStore]:
    yield MemoryRecordStore()


class TestRecordStore(ReplicaSuite):
    def fresh(self, root: Path) -> AbstractContextManager[Replica]:
        return on_disk(root)


class TestMemoryRecordStore(ReplicaSuite):
    def fresh(self, root: Path) -> AbstractContextManager[Replica]:
        return in_memory()


def test_digests_survive_reopening(tmp_path: Path) -> None:
    with on_disk(tmp_path) as store:
        store.apply([record(b"a"), record(b"b")], [0, 7])
        roots = store.roots(TABLE)
        store.apply([record(b"c")], [7])  # left stale when it closes
    with on_disk(tmp_path) as store:
        assert store.get(TABLE, b"a") == record(b"a")
        assert store.roots(TABLE).keys() == {0, 7}
        assert store.root(TABLE, 0) == roots[0]
        assert store.root(TABLE, 7) != roots[7]
        fresh = MemoryRecordStore()
        fresh.apply([record(b"a"), record(b"b"), record(b"c")], [0, 7, 7])
        assert store.roots(TABLE) == fresh.roots(TABLE)


def test_an_idle_comparison_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_disk(tmp_path) as store:
        store.apply([record(b"%d" % n) for n in range(100)], [n % 10 for n in range(100)])
        before = store.roots(TABLE)
        with monkeypatch.context() as closed:
            closed.setattr(store, "_database", None)
            assert store.roots(TABLE) == before
        store.apply([record(b"5", 9)], [5])
        after = store.roots(TABLE)
        assert [sector for sector in before if before[sector] != after[sector]] == [5]


def test_roots_asked_for_while_records_come_end_up_right(tmp_path: Path) -> None:
    """A root computed from an older snapshot must not outlive the change that overtook it."""
    with on_disk(tmp_path) as store:
        model = MemoryRecordStore()
        env = RealEnv()

        async def write(start: int) -> None:
            for number in range(start, start + 40):
                batch = [record(b"k%d" % number)]
                model.apply(batch, [number % 3])
                await store.apply_async(batch, [number % 3])

        async def look() -> None:
            for _ in range(30):
                await env.in_thread(store.roots, TABLE)

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for start in (0, 100, 200):
                    nursery.start_soon(write, start)
                nursery.start_soon(look)
                nursery.start_soon(look)

        trio.run(main)
        assert store.roots(TABLE) == model.roots(TABLE)
