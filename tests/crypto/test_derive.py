"""Key derivation: golden vectors that never change, an independent HKDF, separation, and silence about secrets."""

import hashlib
import hmac
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput
from inos.crypto.derive import Keyring, MasterSecret
from inos.crypto.phrase import master_from_phrase

PHRASE = "abandon " * 23 + "art"
NONCE = bytes(range(16))
MASTER = MasterSecret(bytes.fromhex("fe667613ef3f66ff55d3655e5ba858f0caae66028305c14c76fc049185cf309e"))
KEYS = Keyring(MASTER)


def rfc5869(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256, one block, from the RFC's own words."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def test_golden_vectors() -> None:
    assert master_from_phrase(PHRASE) == MASTER
    assert KEYS.owner_key().public_key.hex() == "3f6134bd6e5f4c92bcc0c62255b3a5b950e84009ad1373a088bee1f5a52033ae"
    assert KEYS.node_key(NONCE).public_key.hex() == "dceca32ca2a8a9ba6748b281d4703c24183fd4676cf634e4d16a623e80055a8b"
    assert KEYS.convergence_secret().hex() == "047290c2c70d6f1d8833683b59f04df9b479a26458eddc5e4d98af93fd6217b9"
    assert KEYS.catalogue_key().hex() == "3f87e5f9ff26c24453519b3e9b4a4f26a986b5011fa6276343f81cdf70a3feaf"
    assert KEYS.database_key().hex() == "3f55f83bc924a2fc0e470b8ca7d12fe2196254a5968b287decbb4a7502e3d50e"


def test_the_master_secret_is_hkdf_of_the_bip39_seed() -> None:
    seed = hashlib.pbkdf2_hmac("sha512", PHRASE.encode(), b"mnemonic", 2048)
    assert MasterSecret.from_seed(seed).reveal() == rfc5869(seed, b"inos/master", b"v1")
    assert master_from_phrase(PHRASE) == MasterSecret.from_seed(seed)


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16))
def test_every_key_is_hkdf_under_its_own_salt(secret: bytes, nonce: bytes) -> None:
    keys = Keyring(MasterSecret(secret))
    assert keys.owner_key().reveal_seed() == rfc5869(secret, b"inos/owner", b"v1")
    assert keys.node_key(nonce).reveal_seed() == rfc5869(secret, b"inos/node", b"v1" + nonce)
    assert keys.convergence_secret() == rfc5869(secret, b"inos/convergence", b"v1")
    assert keys.catalogue_key() == rfc5869(secret, b"inos/catalogue", b"v1")
    assert keys.database_key() == rfc5869(secret, b"inos/database", b"v1")


def test_no_two_keys_are_equal() -> None:
    seeds = {
        KEYS.owner_key().reveal_seed(),
        KEYS.node_key(NONCE).reveal_seed(),
        KEYS.node_key(b"\0" * 16).reveal_seed(),
        KEYS.convergence_secret(),
        KEYS.catalogue_key(),
        KEYS.database_key(),
        MASTER.reveal(),
    }
    assert len(seeds) == 7


def test_same_master_same_keys_whichever_keyring_object() -> None:
    assert Keyring(MasterSecret(MASTER.reveal())).node_key(NONCE) == KEYS.node_key(NONCE)


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_nonce_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match="16 bytes"):
        KEYS.node_key(b"n" * size)


def test_secrets_of_another_size_are_refused() -> None:
    with pytest.raises(BadInput, match="32 bytes"):
        MasterSecret(b"s" * 31)
    with pytest.raises(BadInput, match="64 bytes"):
        MasterSecret.from_seed(b"s" * 32)


def test_equality_is_that_of_the_secret() -> None:
    assert MasterSecret(b"1" * 32) == MasterSecret(b"1" * 32)
    assert hash(MasterSecret(b"1" * 32)) == hash(MasterSecret(b"1" * 32))
    assert MasterSecret(b"1" * 32) != MasterSecret(b"2" * 32)
    assert MasterSecret(b"1" * 32) != b"1" * 32


def test_secrets_do_not_print_or_pickle() -> None:
    master = MasterSecret(b"Q" * 32)
    for text in (repr(master), str(master), repr(Keyring(master)), f"{[master]}"):
        assert "QQQQ" not in text
        assert (b"Q" * 4).hex() not in text
    for secret in (master, Keyring(master)):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)
