"""No (key, nonce) pair ever seals two different texts: the property the secrecy of everything stored rests on.

Every encryption made while objects are built is recorded, over contents, names, schemes and page sizes chosen to
collide as much as they can, under one secret.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from object_samples import SECRET, store

from inos.core.options import COMPRESSIONS, Compression
from inos.crypto import sealing
from inos.objects.chunks import CHUNK_BYTES, seal_chunk
from inos.objects.layout import COPIES, Scheme
from inos.objects.manifest import build_inline
from inos.objects.parts import ObjectFacts, Part, object_key, seal_part


class Pairs:
    """Every (key, nonce) used, and what it sealed."""

    def __init__(self) -> None:
        self.sealed: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
        self.encryptions = 0

    def cipher(self, key: bytes) -> _Recording:
        return _Recording(self, key)

    def record(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> None:
        self.encryptions += 1
        assert self.sealed.setdefault((key, nonce), (plaintext, aad)) == (plaintext, aad), "one pair, two texts"


class _Recording:
    def __init__(self, pairs: Pairs, key: bytes) -> None:
        self._pairs, self._key = pairs, key

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        self._pairs.record(self._key, nonce, bytes(plaintext), aad)
        return ChaCha20Poly1305(self._key).encrypt(nonce, plaintext, aad)


@pytest.fixture(scope="module")
def pairs() -> Iterator[Pairs]:
    pairs = Pairs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "_cipher", pairs.cipher)
        yield pairs


# Few letters, so that contents share chunks, prefixes and compressed forms; the name may look like content or a label.
small = st.text("ab\0", max_size=3).map(str.encode)
names = st.sampled_from(["", "/a", "/b", "inos object key v1", "inos convergent seal v1", "/a\0\0\0"])
schemes = st.sampled_from(
    [(COPIES, 1), (COPIES, 2), (COPIES, 3), (Scheme(2, 1), 2), (Scheme(2, 2), 2), (Scheme(2, 1), 4)]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.lists(st.sampled_from([b"\0", b"a"]), max_size=4), end=small.filter(bool), name=names, how=schemes)
def test_objects_in_chunks(pairs: Pairs, blocks: list[bytes], end: bytes, name: str, how: tuple[Scheme, int]) -> None:
    content = b"".join(letter * CHUNK_BYTES for letter in blocks) + end
    scheme, page_chunks = how
    before = pairs.encryptions
    store(content, scheme, name=name, page_chunks=page_chunks)
    pages = -(-(len(blocks) + 1) // page_chunks)
    assert pairs.encryptions - before == len(blocks) + 1 + pages + 1  # chunks, pages, the inner part: all were seen


@settings(max_examples=150)
@given(content=small, times=st.sampled_from([1, 2, 3, 500]), name=names, packed=st.sampled_from(COMPRESSIONS))
def test_objects_inline(pairs: Pairs, content: bytes, times: int, name: str, packed: Compression) -> None:
    before = pairs.encryptions
    build_inline(content * times, SECRET, name, packed)
    assert pairs.encryptions - before == 2
    if content:
        seal_chunk(content * times, SECRET, packed)


@settings(max_examples=150)
@given(part=st.sampled_from(Part), index=st.integers(0, 2), text=small, key=st.sampled_from([bytes(32), SECRET]))
def test_another_text_for_the_same_part(pairs: Pairs, part: Part, index: int, text: bytes, key: bytes) -> None:
    """What a later release would do: the same part of the same object, encoded otherwise."""
    seal_part(key, part, index, text)


def test_object_keys_commit_to_every_fact() -> None:
    facts = ObjectFacts(3, "/a", bytes(32), 7, Scheme(2, 1), 2, bytes(32))
    others = [
        ObjectFacts(4, "/a", bytes(32), 7, Scheme(2, 1), 2, bytes(32)),
        ObjectFacts(3, "/a\0", bytes(32), 7, Scheme(2, 1), 2, bytes(32)),
        ObjectFacts(3, "/a", SECRET, 7, Scheme(2, 1), 2, bytes(32)),
        ObjectFacts(3, "/a", bytes(32), 8, Scheme(2, 1), 2, bytes(32)),
        ObjectFacts(3, "/a", bytes(32), 7, Scheme(3, 1), 2, bytes(32)),
        ObjectFacts(3, "/a", bytes(32), 7, Scheme(2, 2), 2, bytes(32)),
        ObjectFacts(3, "/a", bytes(32), 7, Scheme(2, 1), 4, bytes(32)),
        ObjectFacts(3, "/a", bytes(32), 7, Scheme(2, 1), 2, SECRET),
    ]
    keys = {object_key(SECRET, each) for each in (facts, *others)} | {object_key(bytes(32), facts)}
    assert len(keys) == len(others) + 2
