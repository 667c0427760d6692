"""The schema codec: golden bytes that never change, and no input that does anything but decode or be refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.codec import SCHEMA_ROOT, encode, reading
from inos.core.errors import BadFrame, BadInput

ERROR, ENVELOPE = "base/base.capnp:Error", "base/base.capnp:Envelope"
ERROR_FIELDS: dict[str, Any] = {"code": "busy", "message": "m", "hint": "h", "retryable": True, "context": "c"}
ENVELOPE_FIELDS: dict[str, Any] = {
    "version": 1,
    "kind": "request",
    "id": 7,
    "method": "chunk.get",
    "metadata": {"version": 1, "lamport": 9, "trace": b"0123456789abcdef"},
    "payload": b"xyz",
}
# Stored and sent bytes: a change here is a change of format and needs a new version, never a new golden value.
ERROR_GOLDEN = bytes.fromhex(
    "000000000a000000000000000100040001000000000000000d0000002a0000000d000000120000000d000000120000000d00000012000000"
    "62757379000000006d0000000000000068000000000000006300000000000000"
)
ENVELOPE_GOLDEN = bytes.fromhex(
    "000000000e00000000000000020003000100000000000000070000000000000009000000520000000c000000020001001d0000001a000000"
    "6368756e6b2e676574000000000000000100000000000000090000000000000001000000820000003031323334353637383961626364656678"
    "797a0000000000"
)


def read_envelope(data: bytes) -> tuple[Any, ...]:
    with reading(ENVELOPE, data, max_bytes=1 << 16) as envelope:
        metadata = envelope.metadata
        return (
            envelope.version,
            str(envelope.kind),
            envelope.id,
            envelope.method,
            (metadata.version, metadata.lamport, bytes(metadata.trace)),
            bytes(envelope.payload),
        )


def test_error_golden() -> None:
    assert encode(ERROR, **ERROR_FIELDS) == ERROR_GOLDEN
    with reading(ERROR, ERROR_GOLDEN, max_bytes=1000) as error:
        assert {name: getattr(error, name) for name in ERROR_FIELDS} == ERROR_FIELDS


def test_envelope_golden() -> None:
    assert encode(ENVELOPE, **ENVELOPE_FIELDS) == ENVELOPE_GOLDEN
    assert read_envelope(ENVELOPE_GOLDEN) == (1, "request", 7, "chunk.get", (1, 9, b"0123456789abcdef"), b"xyz")


def test_every_schema_loads() -> None:
    for path in SCHEMA_ROOT.rglob("*.capnp"):
        name = path.relative_to(SCHEMA_ROOT).as_posix()
        structs = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("struct ")]
        assert structs
        for struct in structs:
            with reading(f"{name}:{struct}", encode(f"{name}:{struct}"), max_bytes=1000):
                pass


@given(
    st.integers(0, 2**16 - 1),
    st.sampled_from(["request", "response", "failure", "event"]),
    st.integers(0, 2**64 - 1),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50),
    st.binary(max_size=500),
)
def test_round_trip(version: int, kind: str, number: int, method: str, payload: bytes) -> None:
    data = encode(ENVELOPE, version=version, kind=kind, id=number, method=method, payload=payload)
    assert read_envelope(data) == (version, kind, number, method, (0, 0, b""), payload)


@given(st.binary(max_size=400))
@settings(max_examples=300)
def test_garbage_decodes_or_is_refused(data: bytes) -> None:
    with contextlib.suppress(BadFrame):
        read_envelope(data)


@given(st.data())
@settings(max_examples=300)
def test_a_damaged_message_decodes_or_is_refused(data: st.DataObject) -> None:
    damaged = bytearray(ENVELOPE_GOLDEN)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.integers(0, len(damaged)))
    with contextlib.suppress(BadFrame):
        read_envelope(bytes(damaged[:kept]))


def test_size_is_checked_before_anything_is_parsed() -> None:
    with pytest.raises(BadFrame, match="over the limit of 10"), reading(ERROR, ERROR_GOLDEN, max_bytes=10):
        pass


@pytest.mark.parametrize("kept", range(0, len(ENVELOPE_GOLDEN), 8))
def test_every_truncation_is_refused(kept: int) -> None:
    with pytest.raises(BadFrame):
        read_envelope(ENVELOPE_GOLDEN[:kept])


def test_pointers_that_multiply_are_refused() -> None:
    # One list of many pointers to one long text: 8 KiB that would unfold to 8 MiB.
    count, words = 512, 512
    header = (count + words + 1 + 1).to_bytes(4, "little")
    root = (1 << 48).to_bytes(8, "little")
    listed = ((1) | (count << 35) | (6 << 32)).to_bytes(8, "little")
    pointers = b"".join(
        ((((count - 1 - i) << 2) | 1) | ((words * 8) << 35) | (2 << 32)).to_bytes(8, "little") for i in range(count)
    )
    data = bytes(4) + header + root + listed + pointers + bytes(words * 8)
    with pytest.raises(BadFrame), reading("p2p/tables.capnp:RecordBatch", data, max_bytes=1 << 20) as batch:
        assert sum(len(bytes(record)) for record in batch.records) > 0


def test_an_enumerator_of_a_later_release_is_a_bad_frame() -> None:
    unknown = bytearray(ENVELOPE_GOLDEN)
    unknown[18:20] = b"\xff\xff"
    assert unknown != ENVELOPE_GOLDEN
    with pytest.raises(BadFrame, match="does not decode"):
        read_envelope(bytes(unknown))


def test_a_check_of_the_caller_inside_the_block_is_a_bad_frame() -> None:
    with pytest.raises(BadFrame, match="does not decode"), reading(ERROR, ERROR_GOLDEN, max_bytes=1000):
        raise BadInput("a key must have 32 bytes")


def test_bad_frame_inside_the_block_keeps_its_message() -> None:
    with pytest.raises(BadFrame, match=r"^mine$"), reading(ERROR, ERROR_GOLDEN, max_bytes=1000):
        raise BadFrame("mine")


def test_other_errors_inside_the_block_pass() -> None:
    with pytest.raises(KeyError), reading(ERROR, ERROR_GOLDEN, max_bytes=1000):
        raise KeyError("ours")
