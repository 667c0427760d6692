"""The suite every chunk store passes: subclass `ChunkStoreSuite`, supply a harness.

Sizes are chosen to lie on both sides of what the disk store keeps inline.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.env import RealEnv
from inos.core.errors import BadInput, Conflict, Corrupt, NotFound, StorageFull, TooLarge
from inos.core.ids import Address
from inos.crypto.hashing import address_of
from inos.store.chunks import MAX_CHUNK_BYTES, SWEEP_CHUNKS, ChunkStore, StoreUsage

SMALL: Final = 1000
LARGE: Final = 70_000


class Clock(RealEnv):
    """A real Env whose wall clock a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_s = 1_000_000.0

    def now_s(self) -> float:
        return self.wall_s


class ChunkHarness(Protocol):
    """What a suite needs of an implementation: a store, and a way to hurt it."""

    clock: Clock

    @property
    def store(self) -> ChunkStore: ...

    def damage(self, address: Address, data: bytes) -> None:
        """Make the stored bytes of `address` be `data`, behind the store's back."""

    def close(self) -> None: ...


def chunk(number: int, size: int = SMALL) -> tuple[Address, bytes]:
    """The `number`-th chunk of `size` bytes, with its address."""
    data = number.to_bytes(8, "big") + bytes(max(0, size - 8))
    return address_of(data), data


class ChunkStoreSuite:
    """The contract of `inos.store.chunks`, as tests."""

    @abstractmethod
    def harness(self, root: Path, capacity_bytes: int | None = None) -> ChunkHarness:
        """An empty store that keeps what it needs under `root`."""

    @pytest.fixture
    def made(self, tmp_path: Path) -> ChunkHarness:
        return self.harness(tmp_path)

    @pytest.fixture(autouse=True)
    def closing(self, made: ChunkHarness) -> object:
        yield
        made.close()

    def test_what_is_unchecked_is_what_is_there(self, made: ChunkHarness) -> None:
        for address, data in (chunk(1), chunk(2, LARGE)):
            assert made.store.unchecked(address) is None
            made.store.put_many([(address, data)])
            assert made.store.unchecked(address) in (data, None)
            made.damage(address, b"?" + data[1:])
            assert made.store.unchecked(address) in (b"?" + data[1:], None)
            with pytest.raises(Corrupt):
                made.store.get(address)
            assert made.store.unchecked(address) is None

    @pytest.mark.parametrize("size", [8, SMALL, 65_536, 65_537, LARGE, MAX_CHUNK_BYTES])
    def test_what_is_put_is_got(self, made: ChunkHarness, size: int) -> None:
        address, data = chunk(1, size)
        made.store.put_many([(address, data)])
        assert made.store.get(address) == data
        assert made.store.present([address]) == {address}
        assert made.store.usage() == StoreUsage(1, size)

    def test_the_empty_chunk(self, made: ChunkHarness) -> None:
        made.store.put_many([(address_of(b""), b"")])
        assert made.store.get(address_of(b"")) == b""
        assert made.store.usage() == StoreUsage(1, 0)

    def test_nothing_is_nothing(self, made: ChunkHarness) -> None:
        made.store.put_many([])
        assert made.store.touch([]) == frozenset()
        assert made.store.remove_many([]) == 0
        assert made.store.present([]) == frozenset()
        assert list(made.store.addresses()) == []
        assert made.store.usage() == StoreUsage(0, 0)

    def test_absent_is_not_found(self, made: ChunkHarness) -> None:
        address, _ = chunk(1)
        with pytest.raises(NotFound):
            made.store.get(address)
        assert made.store.present([address]) == frozenset()
        assert made.store.remove_many([address]) == 0

    def test_wrong_bytes_are_refused_with_the_whole_batch(self, made: ChunkHarness) -> None:
        (good, data), (other, _) = chunk(1), chunk(2)
        for batch in ([(good, data), (other, data)], [(other, data), (good, data)], [(good, b"x"), (good, data)]):
            with pytest.raises(BadInput):
                made.store.put_many(batch)
        assert made.store.usage() == StoreUsage(0, 0)

    def test_too_large_is_refused(self, made: ChunkHarness) -> None:
        with pytest.raises(TooLarge):
            made.store.put_many([chunk(1, MAX_CHUNK_BYTES + 1)])
        assert made.store.usage() == StoreUsage(0, 0)

    def test_twice_is_once(self, made: ChunkHarness) -> None:
        batch = [chunk(1), chunk(2, LARGE), chunk(1), chunk(2, LARGE)]
        for _ in range(2):
            made.store.put_many(batch)
        assert made.store.usage() == StoreUsage(2, SMALL + LARGE)
        assert made.store.get(batch[1][0]) == batch[1][1]

    def test_removed_is_gone_and_may_return(self, made: ChunkHarness) -> None:
        batch = [chunk(1), chunk(2, LARGE), chunk(3)]
        made.store.put_many(batch)
        assert made.store.remove_many([batch[0][0], batch[1][0], batch[1][0], chunk(9)[0]]) == SMALL + LARGE
        assert list(made.store.addresses()) == [batch[2][0]]
        with pytest.raises(NotFound):
            made.store.get(batch[1][0])
        made.store.put_many(batch)
        assert all(made.store.get(address) == data for address, data in batch)

    def test_addresses_are_all_and_in_order(self, made: ChunkHarness) -> None:
        batch = [chunk(number, 16) for number in range(5000)]
        for start in range(0, 5000, 1000):
            made.store.put_many(batch[start : start + 1000])
        assert list(made.store.addresses()) == sorted(address for address, _ in batch)

    @pytest.mark.parametrize("size", [SMALL, LARGE])
    @pytest.mark.parametrize("harm", ["flip first", "flip last", "short", "long", "empty", "other"])
    def test_damage_is_noticed_forgotten_and_healed(self, made: ChunkHarness, size: int, harm: str) -> None:
        address, data = chunk(1, size)
        made.store.put_many([(address, data), chunk(2, size)])
        made.damage(address, harmed(data, harm))
        with pytest.raises(Corrupt):
            made.store.get(address)
        assert made.store.present([address]) == frozenset()
        assert made.store.usage() == StoreUsage(1, size)
        with pytest.raises(NotFound):
            made.store.get(address)
        made.store.put_many([(address, data)])
        assert made.store.get(address) == data

    def test_scrub_walks_all_and_finds_the_damaged(self, made: ChunkHarness) -> None:
        batch = [chunk(number, SMALL if number % 2 else LARGE) for number in range(10)]
        made.store.put_many(batch)
        hurt = {batch[3][0], batch[4][0]}
        for address in hurt:
            made.damage(address, b"\xff" * 8)
        found: set[Address] = set()
        checked, after = 0, None
        while True:
            result = made.store.scrub(after, 3)
            checked, after = checked + result.checked, result.next
            found |= set(result.corrupt)
            if after is None:
                break
        assert (found, checked) == (hurt, 10)
        assert made.store.present([address for address, _ in batch]) == {address for address, _ in batch} - hurt

    def test_full_writes_nothing_and_says_so(self, tmp_path: Path) -> None:
        made = self.harness(tmp_path / "small", capacity_bytes=3 * LARGE)
        first = [chunk(1, LARGE), chunk(2, LARGE)]
        made.store.put_many(first)
        with pytest.raises(StorageFull):
            made.store.put_many([chunk(3, LARGE), chunk(4, LARGE)])
        assert sorted(made.store.addresses()) == sorted(address for address, _ in first)
        made.store.put_many([*first, chunk(3, LARGE)])
        assert made.store.usage() == StoreUsage(3, 3 * LARGE)
        made.close()

    def test_a_collection_frees_what_is_old_and_not_referenced(self, made: ChunkHarness) -> None:
        kept, garbage, fresh = chunk(1, LARGE), chunk(2, LARGE), chunk(3, LARGE)
        made.store.put_many([kept, garbage])
        made.clock.wall_s += 100
        made.store.put_many([fresh])
        mark = made.store.begin_mark()
        mark.add([kept[0], chunk(99)[0]])
        assert mark.sweep(made.clock.wall_s - 50) == StoreUsage(1, LARGE)
        assert mark.sweep(made.clock.wall_s - 50) == StoreUsage(0, 0)
        assert sorted(made.store.addresses()) == sorted([kept[0], fresh[0]])
        assert made.store.get(kept[0]) == kept[1]

    def test_a_collection_goes_in_bounded_steps(self, made: ChunkHarness) -> None:
        for start in range(0, 2 * SWEEP_CHUNKS + 100, 500):
            made.store.put_many([chunk(number, 16) for number in range(start, start + 500)])
        total = made.store.usage().chunks
        mark, steps = made.store.begin_mark(), []
        while (freed := mark.sweep(made.clock.wall_s + 10)).chunks:
            steps.append(freed.chunks)
        assert sum(steps) == total
        assert max(steps) <= SWEEP_CHUNKS

    @pytest.mark.parametrize("again", ["put", "touch"])
    def test_what_is_used_during_a_collection_stays_whatever_the_clock_says(
        self, made: ChunkHarness, again: str
    ) -> None:
        old, stored = chunk(1, LARGE), chunk(2)
        made.store.put_many([old])
        mark = made.store.begin_mark()
        made.clock.wall_s -= 1000
        if again == "put":
            made.store.put_many([old])
        else:
            assert made.store.touch([old[0], chunk(5)[0]]) == {old[0]}
        made.store.put_many([stored])
        made.clock.wall_s += 10_000
        assert mark.sweep(made.clock.wall_s) == StoreUsage(0, 0)
        assert sorted(made.store.addresses()) == sorted([old[0], stored[0]])

    def test_what_was_stored_while_the_clock_was_ahead_is_freed_all_the_same(self, made: ChunkHarness) -> None:
        made.clock.wall_s += 100_000
        made.store.put_many([chunk(1), chunk(2, LARGE)])
        made.clock.wall_s -= 100_000
        assert made.store.begin_mark().sweep(made.clock.wall_s - 50) == StoreUsage(0, 0)
        made.clock.wall_s += 100
        assert made.store.begin_mark().sweep(made.clock.wall_s - 50).chunks == 2

    def test_an_overtaken_collection_is_refused(self, made: ChunkHarness) -> None:
        kept = chunk(1)
        made.store.put_many([kept])
        first = made.store.begin_mark()
        first.add([kept[0]])
        second = made.store.begin_mark()
        with pytest.raises(Conflict):
            first.sweep(made.clock.wall_s + 10)
        with pytest.raises(Conflict):
            first.add([])
            first.add([kept[0]])
        assert made.store.present([kept[0]]) == {kept[0]}
        second.add([kept[0]])
        assert second.sweep(made.clock.wall_s + 10) == StoreUsage(0, 0)

    def test_from_several_threads_at_once(self, made: ChunkHarness) -> None:
        """Puts, removals and reads of the same chunks meet; what a final put acknowledged is there."""
        batch = [chunk(number, LARGE if number % 2 else SMALL) for number in range(8)]

        def work(seed: int) -> None:
            for step in range(6):
                made.store.put_many(batch[(seed + step) % 3 :])
                made.store.remove_many([batch[(seed * step) % 8][0]])
                for address, data in batch[:4]:
                    try:
                        assert made.store.get(address) == data
                    except NotFound:
                        continue
            made.store.put_many(batch)

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for seed in range(6):
                    nursery.start_soon(partial(made.clock.in_thread, work, seed))

        trio.run(main)
        made.store.put_many(batch)
        assert all(made.store.get(address) == data for address, data in batch)
        assert made.store.usage().chunks == 8

    def test_it_is_a_dictionary(self, made: ChunkHarness) -> None:
        """Any sequence of steps leaves what a dictionary would hold, damaged entries dropped."""

        @settings(max_examples=15, deadline=None)
        @given(st.lists(st.tuples(st.sampled_from(STEPS), st.sets(st.integers(0, 9), min_size=1)), max_size=12))
        def run(steps: list[tuple[str, set[int]]]) -> None:
            model: dict[Address, bytes] = {}
            made.store.remove_many(list(made.store.addresses()))
            for step, numbers in steps:
                take_step(made, model, step, [chunk(n, LARGE if n % 3 == 0 else SMALL) for n in sorted(numbers)])
                assert list(made.store.addresses()) == sorted(model)
                assert made.store.usage() == StoreUsage(len(model), sum(map(len, model.values())))

        run()


STEPS: Final = ("put", "remove", "damage", "get")


def take_step(made: ChunkHarness, model: dict[Address, bytes], step: str, batch: list[tuple[Address, bytes]]) -> None:
    """Do the same to a store and to its model; what a read finds must agree."""
    if step == "put":
        made.store.put_many(batch)
        model.update(batch)
        return
    if step == "remove":
        freed = sum(len(model.pop(address, b"")) for address, _ in batch)
        assert made.store.remove_many([address for address, _ in batch]) == freed
        return
    for address, data in (pair for pair in batch if pair[0] in model):
        if step == "get":
            assert made.store.get(address) == data
        else:
            made.damage(address, data[:-1])
            with pytest.raises(Corrupt):
                made.store.get(address)
            del model[address]


def harmed(data: bytes, harm: str) -> bytes:
    """`data` after one kind of damage."""
    kinds = {
        "flip first": bytes([data[0] ^ 1]) + data[1:],
        "flip last": data[:-1] + bytes([data[-1] ^ 0x80]),
        "short": data[:-1],
        "long": data + b"\0",
        "empty": b"",
        "other": bytes(reversed(data)),
    }
    return kinds[harm]
