"""Records as bytes: golden vectors, round trips, bounds, forgery, garbage."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inos.core import codec
from inos.core.errors import BadFrame, BadInput, NewerFormat, Refused
from inos.crypto.hashing import blake3_digest
from inos.crypto.signing import SigningKey
from inos.state.lamport import LAMPORT_LIMIT
from inos.state.record import Record
from inos.state.records import (
    CONTEXT,
    MAX_KEY_BYTES,
    MAX_RECORD_BYTES,
    MAX_VALUE_BYTES,
    decode_record,
    parse_record,
    sign_record,
)

KEY = SigningKey(b"\x07" * 32)
SAMPLE = sign_record(KEY, "placement", b"k" * 32, b"value", 7)
# Records of version 1 as they were first written; they decode for ever.
GOLDEN = bytes.fromhex(
    "000000001f0000000000000001000200010000000000000005000000c20400004d0000000202000000000000120000000000"
    "000002000400010000000000000007000000000000000d0000005200000011000000020100001d0000002a0000001d000000"
    "02010000706c6163656d656e74000000000000006b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b"
    "6b6b76616c7565000000ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22cef40164455dda5b2"
    "09f591e2245afbf73fab95f2d56e1c50c5d28843a8eb4865bbb33ed3e39d12552b3f70c4414cd37e347f5656437132c29b7d"
    "dc2f8c9a5003"
)
GOLDEN_TOMBSTONE = bytes.fromhex(
    "000000001b0000000000000001000200010000000000000005000000c20300003d00000002020000000000000e0000000000"
    "0000020004000100010000000000ffffffffffff00000d00000052000000110000002200000011000000020000000d000000"
    "02010000636174616c6f677565000000000000006e616d6500000000ea4a6c63e29c520abef5507b132ec5f9954776aebebe"
    "7b92421eea691446d22c65e0dc879fb1f8855ef72ac15d24799cb3b1624b456f71e3cbd3bec9a9d550fbafff37d9af6986d1"
    "159c40dd7d2577878b31b21331292a8b66aae8cf265dc70c"
)


def wrap(body: bytes, signature: bytes | None = None, version: int = 1) -> bytes:
    signature = KEY.sign(CONTEXT, body) if signature is None else signature
    return codec.encode("p2p/tables.capnp:Record", version=version, body=body, signature=signature)


def body(**changes: object) -> bytes:
    fields: dict[str, object] = {"version": 1, "table": "t", "key": b"k", "value": b"v", "lamport": 1}
    return codec.encode("p2p/tables.capnp:RecordBody", **(fields | {"author": KEY.public_key} | changes))


def test_golden_record() -> None:
    assert SAMPLE.encoded == GOLDEN
    assert decode_record(GOLDEN) == SAMPLE
    assert blake3_digest(GOLDEN).hex() == "fb1c107e1f49a88d2ec7760d0d6640bd3138ba8d7ec302e924a4c59c36903e81"


def test_golden_tombstone() -> None:
    tombstone = decode_record(GOLDEN_TOMBSTONE)
    assert (tombstone.table, tombstone.key, tombstone.value) == ("catalogue", b"name", b"")
    assert tombstone.removed
    assert tombstone.lamport == LAMPORT_LIMIT - 1
    assert sign_record(KEY, "catalogue", b"name", b"", LAMPORT_LIMIT - 1, True) == tombstone


@settings(max_examples=50)
@given(
    table=st.text("abcdefghijklmnopqrstuvwxyz.", min_size=1, max_size=32),
    key=st.binary(min_size=1, max_size=MAX_KEY_BYTES),
    value=st.binary(max_size=2000),
    lamport=st.integers(1, LAMPORT_LIMIT - 1),
    removed=st.booleans(),
)
def test_what_is_signed_decodes_equal(table: str, key: bytes, value: bytes, lamport: int, removed: bool) -> None:
    record = sign_record(KEY, table, key, b"" if removed else value, lamport, removed)
    assert decode_record(record.encoded) == record
    assert len(record.encoded) <= len(record.value) + len(key) + 512


def test_the_largest_record_fits() -> None:
    record = sign_record(KEY, "t" * 32, b"k" * MAX_KEY_BYTES, b"v" * MAX_VALUE_BYTES, 1)
    assert len(record.encoded) <= MAX_RECORD_BYTES
    assert decode_record(record.encoded) == record


@pytest.mark.parametrize(
    ("table", "key", "value", "lamport", "removed"),
    [
        ("", b"k", b"v", 1, False),
        ("t" * 33, b"k", b"v", 1, False),
        ("t", b"", b"v", 1, False),
        ("t", b"k" * 257, b"v", 1, False),
        ("t", b"k", b"v" * (MAX_VALUE_BYTES + 1), 1, False),
        ("t", b"k", b"v", 0, False),
        ("t", b"k", b"v", LAMPORT_LIMIT, False),
        ("t", b"k", b"v", 1, True),
    ],
)
def test_bounds_hold_for_signing_and_for_decoding(
    table: str, key: bytes, value: bytes, lamport: int, removed: bool
) -> None:
    with pytest.raises(BadInput):
        sign_record(KEY, table, key, value, lamport, removed)
    with pytest.raises(BadFrame):
        decode_record(wrap(body(table=table, key=key, value=value, lamport=lamport, removed=removed)))


def test_versions() -> None:
    with pytest.raises(NewerFormat):
        decode_record(wrap(body(), version=2))
    with pytest.raises(NewerFormat):
        decode_record(wrap(body(version=2)))
    with pytest.raises(BadFrame):
        decode_record(wrap(body(), version=0))


def test_a_record_signed_by_another_is_refused() -> None:
    other = SigningKey(b"\x08" * 32)
    with pytest.raises(Refused):
        decode_record(wrap(body(author=other.public_key)))
    with pytest.raises(Refused):
        decode_record(wrap(body(), KEY.sign(b"inos certificate v1", body())))
    with pytest.raises(BadFrame):
        decode_record(wrap(body(author=b"short")))
    with pytest.raises(BadFrame):
        decode_record(wrap(body(), b"short"))


def test_the_unsigned_wrapping_cannot_be_blown_up() -> None:
    with pytest.raises(BadFrame):
        decode_record(SAMPLE.encoded + b"\0" * 512)


@settings(max_examples=150)
@given(st.integers(0, len(SAMPLE.encoded) * 8 - 1))
def test_any_flipped_bit_is_noticed_or_harmless(bit: int) -> None:
    damaged = bytearray(SAMPLE.encoded)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        found = decode_record(bytes(damaged))
    except (BadInput, Refused, NewerFormat):
        return
    assert replace(found, encoded=SAMPLE.encoded) == SAMPLE


@settings(max_examples=150)
@given(st.binary(max_size=600))
@example(b"")
@example(SAMPLE.encoded[:-8])
def test_garbage_is_a_bad_frame(data: bytes) -> None:
    with pytest.raises((BadFrame, NewerFormat, Refused)):
        decode_record(data)


def test_oversized_input_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadFrame):
        decode_record(b"\0" * (MAX_RECORD_BYTES + 1))
    with pytest.raises(BadFrame):
        decode_record(SAMPLE.encoded, max_bytes=100)


def test_parsing_tells_nothing_about_the_author() -> None:
    unverified = parse_record(wrap(body(), b"\0" * 64))
    assert isinstance(unverified.claimed, Record)
    with pytest.raises(Refused):
        unverified.verified()
