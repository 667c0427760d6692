"""Sealing: golden vectors, round trips, every flipped bit, and one key never for two texts."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput, Corrupt
from inos.crypto.sealing import OVERHEAD_BYTES, open_convergent, open_sealed, seal, seal_convergent

KEY = bytes(range(32))
NONCE = b"nonce-12-byt"
SECRET = bytes(range(32))


def test_golden_vectors() -> None:
    sealed = seal(KEY, b"inos", b"aad", nonce=bytes(12))
    assert sealed.hex() == "00000000000000000000000071d62d42a561185e6faf87f59538b982dd3596ca"
    convergent = seal_convergent(SECRET, b"inos", b"chunk")
    assert convergent.key.hex() == "be9a419ed50b32ae88921f0ce4ff775c47fd953f855e8445fb609866b7042e7e"
    assert convergent.stored.hex() == "039d77d7eb54efa502b567a2fb66c2346a4be079adea2ce4f9bea25dcebaceeb"
    empty = seal_convergent(SECRET, b"")
    assert empty.key.hex() == "986351e74576ba49073e61fe6b763da97b3d13fdf3a9eada7134f2765bef456f"
    assert empty.stored.hex() == "bfc546bab5541a4cf2b05f8097e93f4c42c78a3bd5ba48f12c2805e0"


def test_sealed_bytes_are_nonce_then_rfc_8439() -> None:
    assert seal(KEY, b"text", b"aad", nonce=NONCE) == NONCE + ChaCha20Poly1305(KEY).encrypt(NONCE, b"text", b"aad")


@settings(max_examples=50)
@given(st.binary(max_size=2000), st.binary(max_size=40))
def test_what_is_sealed_opens(plaintext: bytes, aad: bytes) -> None:
    sealed = seal(KEY, plaintext, aad, nonce=NONCE)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert open_sealed(KEY, sealed, aad) == plaintext
    convergent = seal_convergent(SECRET, plaintext, aad)
    assert open_convergent(convergent.key, convergent.stored, aad) == plaintext


def test_every_kind_of_buffer_seals_alike() -> None:
    data = b"x" * 5000
    assert seal_convergent(SECRET, data) == seal_convergent(SECRET, bytearray(data))
    assert seal_convergent(SECRET, data) == seal_convergent(SECRET, memoryview(data))
    sealed = seal_convergent(SECRET, data)
    assert open_sealed(sealed.key, memoryview(sealed.stored)) == data


def test_every_flipped_bit_is_noticed() -> None:
    sealed = seal(KEY, b"some text", b"aad", nonce=NONCE)
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            open_sealed(KEY, bytes(changed), b"aad")


def test_every_truncation_is_noticed() -> None:
    sealed = seal(KEY, b"some text", nonce=NONCE)
    for size in range(len(sealed)):
        with pytest.raises(Corrupt):
            open_sealed(KEY, sealed[:size])
    with pytest.raises(Corrupt):
        open_sealed(KEY, sealed + b"\0")


def test_another_key_or_aad_does_not_open() -> None:
    sealed = seal(KEY, b"text", b"aad", nonce=NONCE)
    with pytest.raises(Corrupt, match="key"):
        open_sealed(b"k" * 32, sealed, b"aad")
    with pytest.raises(Corrupt):
        open_sealed(KEY, sealed)


@settings(max_examples=100)
@given(
    st.tuples(st.binary(max_size=24), st.binary(max_size=24)), st.tuples(st.binary(max_size=24), st.binary(max_size=24))
)
def test_one_key_never_seals_two_texts(one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> None:
    first, second = seal_convergent(SECRET, *one), seal_convergent(SECRET, *other)
    assert (first.key == second.key) == (one == other) == (first.stored == second.stored)


def test_a_byte_moved_between_payload_and_aad_changes_the_key() -> None:
    assert seal_convergent(SECRET, b"ab", b"c").key != seal_convergent(SECRET, b"a", b"bc").key


def test_equal_chunks_of_two_owners_have_nothing_in_common() -> None:
    mine, theirs = seal_convergent(SECRET, b"known file"), seal_convergent(b"\1" * 32, b"known file")
    assert mine.key != theirs.key
    assert mine.stored != theirs.stored


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_keys_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(BadInput, match="32 bytes"):
        seal(b"k" * size, b"text", nonce=NONCE)
    with pytest.raises(BadInput, match="32 bytes"):
        open_sealed(b"k" * size, bytes(OVERHEAD_BYTES))
    with pytest.raises(BadInput, match="32 bytes"):
        seal_convergent(b"k" * size, b"text")


@pytest.mark.parametrize("size", [0, 11, 13])
def test_a_nonce_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match="12 bytes"):
        seal(KEY, b"text", nonce=b"n" * size)


def test_what_was_sealed_does_not_print() -> None:
    sealed = seal_convergent(SECRET, b"text")
    assert repr(sealed) == "Sealed()"


def test_errors_tell_nothing_of_key_or_content() -> None:
    sealed = seal(KEY, b"PLAINTEXT", nonce=NONCE)
    with pytest.raises(Corrupt) as caught:
        open_sealed(b"k" * 32, sealed)
    said = f"{caught.value!r} {caught.value.hint}"
    assert "PLAINTEXT" not in said
    assert "kkkk" not in said
