"""BLAKE3 wrappers: published vectors, streaming, keys."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput
from inos.core.ids import Address
from inos.crypto.hashing import ContentHasher, address_of, blake3_digest, keyed_digest

# The BLAKE3 authors' test_vectors.json: input is the bytes 0, 1, … 250, 0, 1, …; first 32 bytes of the output.
KEY = b"whats the Elvish word for friend"
PUBLISHED = {
    0: (
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
    ),
    1: (
        "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
        "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
    ),
    1024: (
        "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
        "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
    ),
}


def vector_input(size: int) -> bytes:
    return bytes(i % 251 for i in range(size))


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_vectors(size: int) -> None:
    plain, keyed = PUBLISHED[size]
    assert blake3_digest(vector_input(size)).hex() == plain
    assert keyed_digest(KEY, vector_input(size)).hex() == keyed


def test_an_address_is_the_digest_of_what_is_stored() -> None:
    assert address_of(b"chunk") == Address(blake3_digest(b"chunk"))


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=5000), max_size=8))
def test_streaming_equals_at_once(pieces: list[bytes]) -> None:
    hasher = ContentHasher()
    for piece in pieces:
        hasher.update(piece)
    assert hasher.digest() == hasher.digest() == blake3_digest(b"".join(pieces))


def test_every_kind_of_buffer_hashes_alike() -> None:
    data = b"x" * 70_000
    assert blake3_digest(data) == blake3_digest(bytearray(data)) == blake3_digest(memoryview(data))
    assert keyed_digest(KEY, data) == keyed_digest(KEY, memoryview(data))


def test_a_longer_keyed_digest_extends_a_shorter_one() -> None:
    assert keyed_digest(KEY, b"data", 64)[:32] == keyed_digest(KEY, b"data")
    assert len(keyed_digest(KEY, b"data", 44)) == 44


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match="32 bytes"):
        keyed_digest(b"k" * size, b"data")
