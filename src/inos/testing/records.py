"""The suite every replica of the tables passes: subclass `ReplicaSuite`, supply a fresh replica."""

from __future__ import annotations

import itertools
import random
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput
from inos.crypto.hashing import blake3_digest
from inos.state.merge import newest
from inos.state.record import Record
from inos.store.replica import (
    BUCKETS,
    EMPTY_BUCKET,
    EMPTY_ROOT,
    MAX_SCAN,
    Entry,
    Replica,
    bucket_digest,
    bucket_of,
    root_digest,
)
from inos.testing.run import trio_test

TABLE: Final = "placement"
AUTHOR: Final = bytes(32)


def record(key: bytes, lamport: int = 1, *, removed: bool = False, value: bytes = b"v", table: str = TABLE) -> Record:
    """A record as a replica sees it; replicas never look inside `encoded`, so any bytes do."""
    content = b"" if removed else value
    encoded = b"|".join((table.encode(), key, content, b"%d" % removed, b"%d" % lamport))
    return Record(table, key, content, removed, lamport, AUTHOR, encoded)


KEYS: Final = [b"", b"a", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff\x00", *(b"k%d" % n for n in range(6))]
RECORDS = st.builds(
    record,
    st.sampled_from(KEYS),
    st.integers(1, 4),
    removed=st.booleans(),
    value=st.sampled_from([b"", b"v", b"w"]),
    table=st.sampled_from([TABLE, "catalogue"]),
)


def sector_of(key: bytes) -> int:
    """Two sectors are enough to tell them apart."""
    return len(key) % 2


def apply(replica: Replica, *records: Record) -> list[bool]:
    return replica.apply(records, [sector_of(each.key) for each in records])


def model_of(records: list[Record]) -> dict[tuple[str, bytes], Record]:
    """What must be there after all of `records`, in whatever order."""
    model: dict[tuple[str, bytes], Record] = {}
    for each in records:
        holds = newest([model.get((each.table, each.key)), each])
        assert holds is not None
        model[each.table, each.key] = holds
    return model


class ReplicaSuite:
    """The contract of `inos.store.replica`, as tests."""

    @abstractmethod
    def fresh(self, root: Path) -> AbstractContextManager[Replica]:
        """An empty replica that keeps what it needs under `root`."""

    @pytest.fixture
    def replica(self, tmp_path: Path) -> Iterator[Replica]:
        with self.fresh(tmp_path) as replica:
            yield replica

    def test_what_is_applied_is_read(self, replica: Replica) -> None:
        first = record(b"a", 5)
        assert replica.get(TABLE, b"a") is None
        assert apply(replica, first) == [True]
        assert replica.get(TABLE, b"a") == first
        assert replica.get("catalogue", b"a") is None
        assert replica.get_many(TABLE, [b"x", b"a", b"a"]) == [first]

    def test_older_and_equal_ones_change_nothing(self, replica: Replica) -> None:
        newer = record(b"a", 5)
        assert apply(replica, newer, newer, record(b"a", 4)) == [True, False, False]
        root = replica.root(TABLE, 1)
        assert apply(replica, record(b"a", 5)) == [False]
        assert replica.root(TABLE, 1) == root
        assert apply(replica, record(b"a", 5, removed=True)) == [True]

    def test_a_removed_one_stays_known(self, replica: Replica) -> None:
        gone = record(b"a", 2, removed=True)
        apply(replica, record(b"a", 1), gone, record(b"b", 1))
        assert replica.get(TABLE, b"a") == gone
        assert [each.key for each in replica.scan(TABLE, b"", b"", 10)] == [b"b"]
        assert [each.key for each in replica.scan(TABLE, b"", b"", 10, include_removed=True)] == [b"a", b"b"]

    def test_records_need_their_sectors(self, replica: Replica) -> None:
        with pytest.raises(BadInput):
            replica.apply([record(b"a")], [])

    @pytest.mark.parametrize("limit", [0, -1, MAX_SCAN + 1])
    def test_a_scan_is_bounded(self, replica: Replica, limit: int) -> None:
        with pytest.raises(BadInput):
            replica.scan(TABLE, b"", b"", limit)

    @pytest.mark.parametrize("prefix", [b"", b"a", b"a\xff", b"\xff", b"\xff\xff", b"k", b"z"])
    def test_scan_pages_through_a_prefix(self, replica: Replica, prefix: bytes) -> None:
        keys = [key for key in KEYS if key]
        apply(replica, *(record(key) for key in keys))
        found: list[bytes] = []
        while page := replica.scan(TABLE, prefix, found[-1] if found else b"", 2):
            found += [each.key for each in page]
        assert found == sorted(key for key in keys if key.startswith(prefix))

    def test_an_empty_sector(self, replica: Replica) -> None:
        assert replica.root(TABLE, 3) == EMPTY_ROOT
        assert replica.roots(TABLE) == {}
        assert replica.buckets(TABLE, 3) == [EMPTY_BUCKET] * BUCKETS
        assert replica.entries(TABLE, 3, range(BUCKETS)) == []

    def test_digests_by_hand(self, replica: Replica) -> None:
        """The bytes every node must agree on, spelled out."""
        one = record(b"key")
        apply(replica, one)
        bucket = blake3_digest(b"key")[0]
        digest = blake3_digest(b"\x00\x03key" + blake3_digest(one.encoded))
        empty = blake3_digest(b"")
        expected = [digest if number == bucket else empty for number in range(256)]
        assert replica.buckets(TABLE, 1) == expected
        assert replica.root(TABLE, 1) == blake3_digest(b"".join(expected))
        assert replica.entries(TABLE, 1, [bucket]) == [Entry(b"key", blake3_digest(one.encoded))]
        assert replica.entries(TABLE, 1, [(bucket + 1) % 256]) == []

    def test_any_order_gives_the_same_replica(self, tmp_path: Path) -> None:
        @settings(max_examples=15, deadline=None)
        @given(st.lists(RECORDS, max_size=12), st.randoms(use_true_random=False))
        def run(records: list[Record], chance: random.Random) -> None:
            shuffled = records * 2
            chance.shuffle(shuffled)
            number = next(counter)
            with self.fresh(tmp_path / f"{number}a") as one, self.fresh(tmp_path / f"{number}b") as other:
                for each in records:
                    apply(one, each)
                    one.root(each.table, sector_of(each.key))  # cached in between, must not go stale
                apply(other, *shuffled)
                check(one, model_of(records))
                check(other, model_of(records))

        counter = itertools.count()
        run()

    @trio_test
    async def test_applied_together(self, tmp_path: Path) -> None:
        with self.fresh(tmp_path / "async") as replica:
            results: list[bool] = []

            async def put(number: int) -> None:
                key = b"k%d" % (number % 10)
                results.extend(await replica.apply_async([record(key, number + 1)], [sector_of(key)]))

            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(put, number)
            assert sum(results) >= 10
            assert [each.lamport for each in replica.scan(TABLE, b"", b"", 20)] == list(range(41, 51))
            with pytest.raises(BadInput):
                await replica.apply_async([record(b"a")], [])


def check(replica: Replica, model: dict[tuple[str, bytes], Record]) -> None:
    """Everything a replica says agrees with the model, digests included."""
    for table in (TABLE, "catalogue"):
        records = sorted((each for (name, _), each in model.items() if name == table), key=lambda each: each.key)
        above = [each for each in records if each.key]
        assert replica.scan(table, b"", b"", 100, include_removed=True) == above
        assert sorted(replica.get_many(table, KEYS), key=lambda each: each.key) == records
        roots = {}
        for sector in sorted({sector_of(each.key) for each in records}):
            buckets = [bucket_digest(entries_of(records, sector, bucket)) for bucket in range(BUCKETS)]
            roots[sector] = root_digest(buckets)
            assert replica.buckets(table, sector) == buckets
            assert replica.root(table, sector) == roots[sector]
        assert replica.roots(table) == roots


def entries_of(records: list[Record], sector: int, bucket: int) -> list[Entry]:
    """What a bucket holds; `records` are of one table, in order of key."""
    return [
        Entry(each.key, blake3_digest(each.encoded))
        for each in records
        if sector_of(each.key) == sector and bucket_of(each.key) == bucket
    ]
