"""Catalogue records: only the owner's nodes open them, only the owner writes them, none stands in for another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.codec import encode
from inos.core.errors import BadInput, Corrupt, InosError, Refused
from inos.core.ids import OwnerId
from inos.state.record import Record
from inos.state.records import sign_record
from inos.testing.members import fixed_key
from inos.vault.catalogue import MAX_ENTRY_BYTES, TABLE, CatalogueCipher, Entry, Kind, catalogue_table

OWNER, OTHER = fixed_key("owner"), fixed_key("other owner")
CIPHER = CatalogueCipher(OwnerId(OWNER.public_key), b"\x01" * 32)
SPEC = catalogue_table()
NONCE = bytes(12)

entries = st.builds(
    Entry,
    name=st.text(min_size=1, max_size=50),
    kind=st.sampled_from(Kind),
    reference=st.text(max_size=120),
    size=st.integers(0, 2**63),
    mode=st.integers(0, 0o7777),
    modified_ms=st.integers(-(2**62), 2**62),
    target=st.text(max_size=50),
    sha256=st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)),
)


def record(value: bytes, key: bytes, *, removed: bool = False, by: object = None) -> Record:
    return sign_record(OTHER if by is OTHER else OWNER, TABLE, key, value, 1, removed)


@given(entries)
def test_an_entry_comes_back(entry: Entry) -> None:
    key, value = CIPHER.key_of(entry.name), CIPHER.seal(entry, NONCE)
    SPEC.validate(record(value, key))
    assert CIPHER.open(key, value) == entry
    assert entry.name.encode() not in value or len(entry.name.encode()) < 4


def test_nobody_else_opens_or_finds_it() -> None:
    entry = Entry("/secret", Kind.FILE, "inos:reference")
    value = CIPHER.seal(entry, NONCE)
    stranger = CatalogueCipher(OwnerId(OWNER.public_key), b"\x02" * 32)
    assert stranger.key_of(entry.name) != CIPHER.key_of(entry.name)
    with pytest.raises(Corrupt):
        stranger.open(CIPHER.key_of(entry.name), value)


def test_a_value_does_not_open_under_another_key() -> None:
    value = CIPHER.seal(Entry("/a", Kind.FILE), NONCE)
    with pytest.raises(Corrupt):
        CIPHER.open(CIPHER.key_of("/b"), value)


@given(st.data())
def test_a_flipped_bit_is_noticed(data: st.DataObject) -> None:
    entry = Entry("/a", Kind.FILE, "inos:reference", 7)
    value = bytearray(CIPHER.seal(entry, NONCE))
    at = data.draw(st.integers(0, len(value) * 8 - 1))
    value[at // 8] ^= 1 << at % 8
    try:
        assert CIPHER.open(CIPHER.key_of("/a"), bytes(value)) == entry  # in the framing, where it changes nothing
    except InosError:
        return


def test_only_the_owner_in_the_key_may_write() -> None:
    key = CIPHER.key_of("/a")
    for removed in (False, True):
        value = b"" if removed else CIPHER.seal(Entry("/a", Kind.FILE), NONCE)
        SPEC.authorise(record(value, key, removed=removed), None)
        with pytest.raises(Refused):
            SPEC.authorise(record(value, key, removed=removed, by=OTHER), None)


def test_what_is_no_entry_is_not_taken() -> None:
    key = CIPHER.key_of("/a")
    short = encode("objects/object.capnp:SealedEntry", version=1, sealed=bytes(20))
    newer = encode("objects/object.capnp:SealedEntry", version=9, sealed=bytes(60))
    for value, at in ((b"", key), (b"noise", key), (short, key), (newer, key), (CIPHER.seal(_A, NONCE), key[:40])):
        with pytest.raises(BadInput):
            SPEC.validate(record(value, at))
    SPEC.validate(record(b"", key, removed=True))


_A = Entry("/a", Kind.FILE)


def test_an_entry_that_would_not_fit_is_refused_with_its_name() -> None:
    with pytest.raises(BadInput, match="too long"):
        CIPHER.seal(Entry("/a", Kind.LINK, target="x" * MAX_ENTRY_BYTES), NONCE)
