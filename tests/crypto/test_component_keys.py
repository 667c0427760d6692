"""Keys of components: golden vectors that never change, published ones, arithmetic of our own, what is not valid."""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.component_keys import KEY_KINDS, MAX_INDEX, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KeyKind, KeyName
from inos.core.errors import BadInput
from inos.crypto.component_keys import ComponentKey, kind_of, verify
from inos.crypto.derive import Keyring, MasterSecret
from inos.crypto.digest import message_digest
from inos.crypto.phrase import master_from_phrase

VECTORS = json.loads((Path(__file__).parent / "vectors" / "component_keys.json").read_text())
KEYS = Keyring(master_from_phrase(VECTORS["phrase"]))
HELLO = message_digest([b"hello"])
KINDS = st.sampled_from(KEY_KINDS)

# secp256k1, from SEC 2: the field, the order, the generator.
P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Point = tuple[int, int] | None


def added(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    (x, y), (u, v) = one, other
    if x == u and (y + v) % P == 0:
        return None
    slope = (3 * x * x * pow(2 * y, -1, P) if one == other else (v - y) * pow(u - x, -1, P)) % P
    z = (slope * slope - x - u) % P
    return z, (slope * (x - z) - y) % P


def times(scalar: int) -> tuple[int, int]:
    found: Point = None
    power: Point = G
    while scalar:
        found = added(found, power) if scalar & 1 else found
        power, scalar = added(power, power), scalar >> 1
    assert found is not None
    return found


def hkdf(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 from its own words."""
    key, block, out = hmac.digest(salt, secret, "sha256"), b"", b""
    for number in range(1, 3):
        block = hmac.digest(key, block + info + bytes([number]), "sha256")
        out += block
    return out[:size]


def key_of(vector: dict[str, Any]) -> ComponentKey:
    return ComponentKey(KEYS, KeyName(vector["component"], vector["kind"], vector["index"]))


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda v: f"{v['component']}-{v['kind']}-{v['index']}")
def test_golden_vectors(vector: dict[str, Any]) -> None:
    key = key_of(vector)
    assert hashlib.sha256(key.public_key).hexdigest() == vector["public_key_sha256"]
    assert key.public_key.hex().startswith(vector["public_key_start"])
    assert key.key_id.hex() == vector["key_id"]
    signature = bytes.fromhex(vector["signature"])
    assert verify(key.name.kind, key.public_key, message_digest([vector["message"].encode()]), signature)
    if key.name.kind != "ml_dsa":  # those are hedged: another one each time
        assert key.sign(message_digest([vector["message"].encode()])) == signature


def test_there_is_a_golden_vector_of_every_kind() -> None:
    assert {vector["kind"] for vector in VECTORS["keys"]} == set(KEY_KINDS)


def test_ml_dsa_from_a_seed_is_that_of_the_standard() -> None:
    """The example key of RFC 9881 (ML-DSA in X.509), whose seed is 00 01 02 … 1f: its first and last 32 bytes."""
    public_key = MLDSA65PrivateKey.from_seed_bytes(bytes(range(32))).public_key().public_bytes_raw()
    assert public_key[:32].hex() == "48683d91978e31eb3dddb8b0473482d2b88a5f625949fd8f58a561e696bd4c27"
    assert public_key[-32:].hex() == "ad18bd13fca55059dd9b185f79f9c47196a4e81b2104bc460a051e02f2e8444f"


@settings(max_examples=8, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(0, MAX_INDEX))
def test_keys_follow_from_the_secret_as_the_format_says(secret: bytes, index: int) -> None:
    keys, info = Keyring(MasterSecret(secret)), b"v1org.example\0" + index.to_bytes(4, "big")
    for kind, size in (("ed25519", 32), ("ml_dsa", 32), ("secp256k1", 48)):
        made = keys.component_secret("org.example", kind, index, size)
        assert made == hkdf(secret, b"inos/component/" + kind.encode(), info, size)
    wide = hkdf(secret, b"inos/component/secp256k1", info, 48)
    x, y = times(int.from_bytes(wide) % (N - 1) + 1)
    compressed = bytes([2 + y % 2]) + x.to_bytes(32)
    assert ComponentKey(keys, KeyName("org.example", "secp256k1", index)).public_key == compressed


def test_every_name_has_a_key_of_its_own() -> None:
    names = [KeyName(c, kind, i) for c in ("a", "aa", "a.a", "b") for kind in KEY_KINDS for i in (0, 1, 256, MAX_INDEX)]
    keys = [ComponentKey(KEYS, name) for name in names]
    assert len({key.public_key for key in keys}) == len({key.key_id for key in keys}) == len(names)
    others = {KEYS.owner_key().public_key, KEYS.node_key(bytes(16)).public_key}
    assert not others & {key.public_key for key in keys}


@settings(max_examples=30, deadline=None)
@given(KINDS, st.binary(max_size=300), st.data())
def test_a_signature_is_good_for_its_message_and_key_alone(kind: KeyKind, message: bytes, data: st.DataObject) -> None:
    key, digest = ComponentKey(KEYS, KeyName("signer", kind)), message_digest([message])
    signature = key.sign(digest)
    assert len(signature) == SIGNATURE_BYTES[kind] and len(key.public_key) == PUBLIC_KEY_BYTES[kind]
    assert verify(kind, key.public_key, digest, signature)
    for part in (digest, signature, key.public_key):
        at = data.draw(st.integers(0, 8 * len(part) - 1))
        changed = bytearray(part)
        changed[at // 8] ^= 1 << at % 8
        other = bytes(changed)
        assert not verify(
            kind,
            other if part is key.public_key else key.public_key,
            other if part is digest else digest,
            other if part is signature else signature,
        )
    other_key = ComponentKey(KEYS, KeyName("signer", kind, 1))
    assert not verify(kind, other_key.public_key, digest, signature)


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_what_is_malformed_is_not_valid(kind: KeyKind) -> None:
    key = ComponentKey(KEYS, KeyName("signer", kind))
    signature = key.sign(HELLO)
    size = PUBLIC_KEY_BYTES[kind]
    for wrong in (b"", bytes(len(signature)), b"\xff" * len(signature), signature[:-1], signature + b"\0"):
        assert not verify(kind, key.public_key, HELLO, wrong)
    for wrong in (b"", bytes(size), b"\xff" * size, key.public_key[:-1]):
        assert not verify(kind, wrong, HELLO, signature)
    for short in (b"", b"hello", HELLO + b"x"):
        with pytest.raises(BadInput):
            key.sign(short)


def test_the_other_s_of_an_ecdsa_signature_is_not_valid() -> None:
    key = ComponentKey(KEYS, KeyName("signer", "secp256k1"))
    for number in range(20):
        digest = message_digest([b"%d" % number])
        signature = key.sign(digest)
        s = int.from_bytes(signature[32:])
        assert s <= N // 2
        assert not verify("secp256k1", key.public_key, digest, signature[:32] + (N - s).to_bytes(32))


def test_a_kind_is_told_by_the_size_of_its_key() -> None:
    assert [kind_of(bytes(PUBLIC_KEY_BYTES[kind])) for kind in KEY_KINDS] == list(KEY_KINDS)
    with pytest.raises(BadInput, match="31 bytes"):
        kind_of(bytes(31))


@pytest.mark.parametrize(
    ("component", "kind", "index"),
    [("", "ed25519", 0), ("UP", "ed25519", 0), ("a\0b", "ed25519", 0), ("a/b", "ed25519", 0), ("a" * 129, "ed25519", 0),
     ("-a", "ed25519", 0), ("a.", "ed25519", 0), ("a", "rsa", 0), ("a", "ed25519", -1), ("a", "ed25519", 1 << 32)],
)  # fmt: skip
def test_what_names_no_key(component: str, kind: Any, index: int) -> None:
    with pytest.raises(BadInput):
        KeyName(component, kind, index)
    if kind == "ed25519":
        with pytest.raises(BadInput):
            KEYS.component_secret(component, kind, index, 32)


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_secrets_stay_inside(kind: KeyKind) -> None:
    key = ComponentKey(KEYS, KeyName("signer", kind))
    secret = KEYS.component_secret("signer", kind, 0, 48 if kind == "secp256k1" else 32)
    assert secret.hex() not in repr(key) and "signer" in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    assert not [name for name in dir(key) if "secret" in name or "private" in name]
