"""Signatures: published vector, contexts that keep them apart, malformed input, and silence about the secret."""

import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput
from inos.crypto.signing import SIGNATURE_BYTES, SigningKey, verify

SEED = bytes(range(32))
KEY = SigningKey(SEED)
CONTEXT = b"inos record v1"
# The order of the Ed25519 group: adding it to a signature's scalar is the classic second spelling of a signature.
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def test_public_key_of_rfc_8032_vector() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public_key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert SigningKey(seed).public_key.hex() == public_key


def test_what_is_signed_is_context_nul_payload() -> None:
    signature = KEY.sign(CONTEXT, b"payload")
    Ed25519PublicKey.from_public_bytes(KEY.public_key).verify(signature, b"inos record v1\0payload")


def test_golden_signature() -> None:
    assert KEY.sign(CONTEXT, b"x").hex() == (
        "0ae3a7893492e08b25214ef247970afebafec256e7938869dcb1f90b83d203d4"
        "69d73e8a2330b6c6cdb96ec3620d51e696b17c00c38bb5f34bc5c8da2cde240c"
    )


@settings(max_examples=30)
@given(st.binary(max_size=40).filter(lambda c: b"\0" not in c), st.binary(max_size=200))
def test_what_is_signed_verifies(context: bytes, payload: bytes) -> None:
    assert verify(KEY.public_key, context, payload, KEY.sign(context, payload))


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=60), st.data())
def test_one_flipped_bit_anywhere_is_noticed(payload: bytes, data: st.DataObject) -> None:
    parts = [KEY.public_key, payload, KEY.sign(CONTEXT, payload)]
    which = data.draw(st.integers(0, 2))
    bit = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(changed)
    assert not verify(parts[0], CONTEXT, parts[1], parts[2])


def test_a_signature_is_worthless_in_another_context() -> None:
    signature = KEY.sign(CONTEXT, b"payload")
    assert not verify(KEY.public_key, b"inos certificate v1", b"payload", signature)
    assert not verify(KEY.public_key, b"inos record v", b"1\0payload", signature)


def test_a_context_with_nul_is_refused() -> None:
    with pytest.raises(BadInput, match="NUL"):
        KEY.sign(b"inos\0record", b"payload")


def test_a_signature_has_one_spelling() -> None:
    signature = KEY.sign(CONTEXT, b"payload")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert not verify(KEY.public_key, CONTEXT, b"payload", signature[:32] + scalar.to_bytes(32, "little"))


@settings(max_examples=50)
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_garbage_is_not_valid_and_does_not_raise(public_key: bytes, signature: bytes) -> None:
    assert not verify(public_key, CONTEXT, b"payload", signature)


@settings(max_examples=50)
@given(st.binary(min_size=32, max_size=32))
def test_a_public_key_that_is_no_point_is_not_valid(public_key: bytes) -> None:
    assert not verify(public_key, CONTEXT, b"payload", KEY.sign(CONTEXT, b"payload")) or public_key == KEY.public_key


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match="32 bytes"):
        SigningKey(b"s" * size)


def test_equality_is_that_of_the_secret() -> None:
    assert SigningKey(SEED) == KEY
    assert hash(SigningKey(SEED)) == hash(KEY)
    assert SigningKey(b"\1" * 32) != KEY
    assert KEY != SEED


def test_the_secret_is_given_only_when_asked_for() -> None:
    assert KEY.reveal_seed() == SEED
    for text in (repr(KEY), str(KEY), f"{KEY}"):
        assert SEED.hex() not in text
        assert repr(SEED)[2:-1] not in text
    assert KEY.public_key.hex()[:12] in repr(KEY)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(KEY)


def test_a_signature_has_64_bytes() -> None:
    assert len(KEY.sign(CONTEXT, b"")) == SIGNATURE_BYTES
