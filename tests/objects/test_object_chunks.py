"""Chunks: content comes back exactly, equal content is equal, damage is noticed, nothing expands without bound."""

from __future__ import annotations

import os

import lz4.block
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from object_samples import SECRET, noise

from inos.core.errors import BadInput, Corrupt
from inos.core.options import COMPRESSIONS
from inos.crypto.hashing import address_of
from inos.crypto.sealing import seal_convergent
from inos.objects.chunks import (
    CHUNK_BYTES,
    LZ4,
    MAX_STORED_BYTES,
    PLAIN,
    ZSTD,
    open_chunk,
    pack,
    seal_chunk,
    seal_many,
    unpack,
)


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=3000), st.integers(1, 300))
def test_round_trip(part: bytes, times: int) -> None:
    plain = (part * times)[:CHUNK_BYTES]
    chunk = seal_chunk(plain, SECRET)
    assert chunk.address == address_of(chunk.stored)
    assert chunk.plain_size == len(plain)
    assert open_chunk(chunk.stored, chunk.key, chunk.plain_size) == plain
    assert seal_chunk(plain, SECRET) == chunk


@pytest.mark.parametrize("size", [1, CHUNK_BYTES - 1, CHUNK_BYTES])
def test_sizes_at_the_limit(size: int) -> None:
    for plain in (bytes(size), noise("limit", size)):
        chunk = seal_chunk(plain, SECRET)
        assert len(chunk.stored) <= min(size + 64, MAX_STORED_BYTES)
        assert open_chunk(chunk.stored, chunk.key, size) == plain


@pytest.mark.parametrize("size", [0, CHUNK_BYTES + 1])
def test_sizes_beyond_the_limit(size: int) -> None:
    with pytest.raises(BadInput):
        seal_chunk(bytes(size), SECRET)


def test_compresses_only_where_it_shrinks() -> None:
    assert pack(bytes(10_000))[0] == LZ4
    assert pack(noise("n", 10_000))[0] == PLAIN
    assert pack(b"")[0] == PLAIN
    assert len(seal_chunk(bytes(CHUNK_BYTES), SECRET).stored) < 5000


def test_buffers_are_taken_as_they_are() -> None:
    plain = noise("b", 5000)
    assert seal_many([bytearray(plain), memoryview(plain)], SECRET) == [seal_chunk(plain, SECRET)] * 2


def test_other_owners_chunks_differ() -> None:
    mine, other = seal_chunk(b"known file", SECRET), seal_chunk(b"known file", bytes(32))
    assert mine.address != other.address
    assert mine.key != other.key


def test_repr_keeps_the_key() -> None:
    chunk = seal_chunk(b"secret text", SECRET)
    assert chunk.key.hex() not in repr(chunk)
    assert repr(chunk.key)[2:-1] not in repr(chunk)


@settings(max_examples=60)
@given(st.data())
def test_any_flipped_bit_is_noticed(data: st.DataObject) -> None:
    plain = data.draw(st.binary(min_size=1, max_size=200)) * data.draw(st.integers(1, 20))
    chunk = seal_chunk(plain, SECRET)
    stored = bytearray(chunk.stored)
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Corrupt):
        open_chunk(bytes(stored), chunk.key, chunk.plain_size)


@pytest.mark.parametrize("size", [0, 1, 99, 101, CHUNK_BYTES, CHUNK_BYTES + 1, -1])
def test_the_size_must_be_exact(size: int) -> None:
    for plain in (bytes(100), noise("x", 100)):
        chunk = seal_chunk(plain, SECRET)
        with pytest.raises(Corrupt):
            open_chunk(chunk.stored, chunk.key, size)


def test_a_bomb_is_not_unpacked() -> None:
    body = lz4.block.compress(bytes(64 * CHUNK_BYTES), store_size=False)
    sealed = seal_convergent(SECRET, bytes((LZ4,)) + body)
    for claimed in (CHUNK_BYTES, 64 * CHUNK_BYTES):
        with pytest.raises(Corrupt):
            open_chunk(sealed.stored, sealed.key, claimed)


@settings(max_examples=200)
@given(st.integers(0, 4), st.binary(max_size=300), st.integers(0, 2000))
def test_unpacking_anything_ends_well(codec: int, body: bytes, size: int) -> None:
    try:
        plain = unpack(bytes((codec,)) + body, size, limit=1500)
    except Corrupt:
        return
    assert len(plain) == size <= 1500


def test_unknown_codec_and_empty_payload() -> None:
    for payload in (b"", b"\x03abc"):
        with pytest.raises(Corrupt):
            unpack(payload, 3, limit=10)


@given(st.binary(max_size=400), st.integers(1, 40))
def test_what_any_setting_packed_is_read(some: bytes, times: int) -> None:
    plain = some * times
    for compression in COMPRESSIONS:
        payload = pack(plain, compression)
        assert unpack(payload, len(plain), limit=CHUNK_BYTES) == plain
        assert payload[0] in {PLAIN, {"lz4": LZ4, "zstd": ZSTD, "none": PLAIN}[compression]}
        if plain:
            chunk = seal_chunk(plain, SECRET, compression)
            assert chunk == seal_many([plain], SECRET, compression)[0]
            assert open_chunk(chunk.stored, chunk.key, len(plain)) == plain


def test_zstd_packs_closer_and_only_what_shrinks() -> None:
    text = b"".join(b"%d: the quick brown fox, line %d\n" % (number * 7919, number) for number in range(20_000))
    text = text[:CHUNK_BYTES]
    sizes = {compression: len(pack(text, compression)) for compression in COMPRESSIONS}
    assert sizes["zstd"] < sizes["lz4"] < sizes["none"] == len(text) + 1
    assert pack(noise("n", 10_000), "zstd")[0] == PLAIN
    assert pack(text, "zstd")[0] == ZSTD and pack(text, "none")[0] == PLAIN
    assert pack(memoryview(text), "zstd") == pack(text, "zstd")


@given(st.data())
def test_a_zstd_frame_is_not_believed(data: st.DataObject) -> None:
    payload = bytearray(pack(b"some text " * 50, "zstd"))
    at = data.draw(st.integers(8, len(payload) * 8 - 1))
    payload[at // 8] ^= 1 << at % 8
    try:
        assert len(unpack(bytes(payload), 500, limit=CHUNK_BYTES)) == 500
    except Corrupt:
        return


def test_a_zstd_frame_that_claims_another_size_makes_no_room() -> None:
    huge = zstandard.ZstdCompressor().compress(bytes(64 * CHUNK_BYTES))
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100)
    for body, size in ((huge, 100), (huge, CHUNK_BYTES), (unsized, 100), (pack(b"x" * 100, "zstd")[1:] + b"more", 100)):
        with pytest.raises(Corrupt):
            unpack(bytes((ZSTD,)) + body, size, limit=CHUNK_BYTES)


def test_a_wrong_key_is_noticed() -> None:
    chunk = seal_chunk(b"text", SECRET)
    with pytest.raises(Corrupt):
        open_chunk(chunk.stored, os.urandom(32), 4)
