"""Erasure coding: any k shards give all back, whichever engine does the sums."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_samples import noise

from inos.core.errors import BadInput
from inos.objects import gf256, isal
from inos.objects.erasure import encode_parity, rebuild


def chunks_of(data: int, size: int, seed: str = "") -> list[bytes]:
    return [noise(f"{seed}{number}", size) for number in range(data)]


def check_loss(chunks: list[bytes], parity: int, lost: set[int]) -> None:
    shards = dict(enumerate([*chunks, *encode_parity(chunks, parity)]))
    left = {index: shard for index, shard in shards.items() if index not in lost}
    made = rebuild(left, [*map(len, chunks)], len(chunks), parity, lost)
    assert made == {index: shards[index] for index in lost}


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_loss_up_to_parity_is_rebuilt(data: st.DataObject) -> None:
    parity = data.draw(st.integers(0, 8))
    chunks = data.draw(st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=12))
    total = len(chunks) + parity
    check_loss(chunks, parity, data.draw(st.sets(st.integers(0, total - 1), max_size=parity)))


@pytest.mark.parametrize(("data", "parity"), [(1, 4), (2, 2), (3, 2), (4, 3)])
def test_every_loss_of_a_small_stripe(data: int, parity: int) -> None:
    chunks = [noise(str(number), 50 + number * 7) for number in range(data)]
    for count in range(parity + 1):
        for lost in itertools.combinations(range(data + parity), count):
            check_loss(chunks, parity, set(lost))


@pytest.mark.parametrize(("data", "parity"), [(100, 20), (100, 40), (216, 40), (128, 128), (255, 1), (1, 255)])
def test_wide_stripes(data: int, parity: int) -> None:
    chunks = chunks_of(data, 1000)
    total = data + parity
    check_loss(chunks, parity, set(range(parity)))
    check_loss(chunks, parity, set(range(total - parity, total)))
    check_loss(chunks, parity, set(range(0, total, -(-total // parity))))


def test_steps_through_large_buffers() -> None:
    # More results than one pass of the fast engine, and a length that ends inside a step.
    chunks = chunks_of(4, 100_001)
    rows = [gf256.parity_row(index, 4) for index in range(9)]
    assert encode_parity(chunks, 9) == gf256.combine(rows, chunks)
    check_loss(chunks, 9, {0, 1, 2, 3, 5, 7, 8, 10, 12})


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 200), st.data())
def test_the_fast_engine_agrees_with_the_arithmetic(width: int, count: int, size: int, data: st.DataObject) -> None:
    rows = [data.draw(st.binary(min_size=width, max_size=width)) for _ in range(count)]
    sources = chunks_of(width, size)
    assert isal.engine()(rows, sources) == gf256.combine(rows, sources)


def test_the_arithmetic_is_a_field() -> None:
    for left in range(1, 256):
        assert gf256.multiply(left, gf256.inverse(left)) == 1
        scaled = gf256.scale(bytes(range(256)), left)
        assert sorted(scaled) == [*range(256)]
        assert [*scaled] == [gf256.multiply(left, each) for each in range(256)]
    # Independent of tables: shift and reduce by x^8 + x^4 + x^3 + x^2 + 1.
    for left, right in itertools.product(range(0, 256, 7), range(0, 256, 5)):
        product = 0
        for bit in range(8):
            if right >> bit & 1:
                product ^= left << bit
        for bit in range(14, 7, -1):
            if product >> bit & 1:
                product ^= 0x11D << (bit - 8)
        assert gf256.multiply(left, right) == product
        assert gf256.multiply(left, 0) == 0


def test_a_short_stripe_is_a_stripe_of_zeros() -> None:
    chunks = chunks_of(3, 64)
    assert encode_parity(chunks, 4) == encode_parity([*chunks, bytes(64), bytes(64)], 4)
    assert encode_parity(chunks, 4) == encode_parity(chunks, 9)[:4]
    assert encode_parity([chunks[0], chunks[1][:10]], 2) == encode_parity([chunks[0], chunks[1][:10] + bytes(54)], 2)


def test_parity_of_one_chunk_is_not_a_copy() -> None:
    # A copy would have the chunk's own address, and one member would count for two shards.
    chunk = noise("one", 64)
    assert len({chunk, *encode_parity([chunk], 20)}) == 21


def test_shards_present_are_handed_back() -> None:
    chunks = chunks_of(3, 20)
    assert rebuild({1: chunks[1]}, [20] * 3, 3, 2, [1]) == {1: chunks[1]}
    assert rebuild({}, [20] * 3, 3, 2, []) == {}


def test_inputs_that_cannot_be() -> None:
    chunks = chunks_of(3, 20)
    parity = encode_parity(chunks, 2)
    for wrong in (
        lambda: encode_parity([], 2),
        lambda: encode_parity(chunks, -1),
        lambda: encode_parity(chunks, 254),
        lambda: encode_parity([b"", b""], 1),
        lambda: rebuild({0: chunks[0], 1: chunks[1]}, [20] * 3, 3, 2, [2]),
        lambda: rebuild({0: chunks[0], 1: chunks[1], 5: b""}, [20] * 3, 3, 2, [2]),
        lambda: rebuild(dict(enumerate(chunks)), [20] * 3, 3, 2, [5]),
        lambda: rebuild(dict(enumerate(chunks)), [20] * 3, 3, 2, [-1]),
        lambda: rebuild(dict(enumerate(chunks)), [20] * 2, 3, 2, [3]),
        lambda: rebuild({0: chunks[0], 1: chunks[1][:-1], 3: parity[0]}, [20] * 3, 3, 2, [2]),
        lambda: rebuild({0: chunks[0], 1: chunks[1], 3: parity[0] + b"x"}, [20] * 3, 3, 2, [2]),
    ):
        with pytest.raises(BadInput):
            wrong()


def test_without_isal_the_arithmetic_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = chunks_of(3, 500)
    fast = encode_parity(chunks, 2)
    monkeypatch.setattr(isal, "engine", lambda: gf256.combine)
    assert encode_parity(chunks, 2) == fast
    check_loss(chunks, 2, {0, 3})


def test_isal_is_used_where_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (isal.engine() is gf256.combine) == (isal.find() is None)
    isal.engine.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(isal, "_BUNDLES", ())
        patch.setattr(isal.ctypes.util, "find_library", lambda name: "libc.so.6")  # a library, but not this one
        assert isal.find() is None
        assert isal.engine() is gf256.combine
    isal.engine.cache_clear()
