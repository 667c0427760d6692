"""Frames: golden bytes, round trips, bounds, and whatever a hostile peer may send instead."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadFrame, Busy, InosError, NotAMember, NotFound
from inos.mesh.frames import (
    HEADER_BYTES,
    MAX_ENVELOPE_BYTES,
    Envelope,
    Header,
    Kind,
    decode_envelope,
    decode_error,
    encode_error,
    encode_frame,
    parse_header,
)
from inos.mesh.network import MAX_BODY_BYTES, MAX_PAYLOAD_BYTES

# Written by the first release; a change here is a change of the protocol.
GOLDEN_REQUEST = (
    "010000006800000004000000000c00000000000000020003000100000000000000070000000000000009000000520000000c0000000200010015"
    "0000003a0000006368756e6b2e676574000000000000000100000000000000090000000000000000000000000000007061796c6f616400626f"
    "6479"
)
GOLDEN_ERROR = (
    "000000000c000000000000000100040000000000000000000d00000052000000110000002a000000110000002a00000011000000520000006e"
    "6f745f666f756e6400000000000000676f6e65000000006c6f6f6b000000006368756e6b2e67657400000000000000"
)

envelopes = st.builds(
    Envelope,
    kind=st.sampled_from(Kind),
    id=st.integers(0, 2**64 - 1),
    method=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=100),
    payload=st.binary(max_size=2000),
    lamport=st.integers(0, 2**64 - 1),
)


def _decode(frame: bytes) -> tuple[Envelope, bytes]:
    header = parse_header(frame[:HEADER_BYTES])
    end = HEADER_BYTES + header.envelope_bytes
    assert len(frame) == end + header.body_bytes
    return decode_envelope(frame[HEADER_BYTES:end]), frame[end:]


def test_golden_vectors() -> None:
    request = Envelope(Kind.REQUEST, 7, "chunk.get", b"payload", 9)
    assert encode_frame(request, b"body").hex() == GOLDEN_REQUEST
    assert _decode(bytes.fromhex(GOLDEN_REQUEST)) == (request, b"body")
    error = NotFound("gone", hint="look")
    assert encode_error(error, context="chunk.get").hex() == GOLDEN_ERROR
    assert type(decode_error(bytes.fromhex(GOLDEN_ERROR))) is NotFound


@given(envelopes, st.binary(max_size=500))
@settings(max_examples=60)
def test_round_trip(envelope: Envelope, body: bytes) -> None:
    assert _decode(encode_frame(envelope, body)) == (envelope, body)


def test_the_largest_payload_and_body_fit() -> None:
    envelope = Envelope(Kind.RESPONSE, 1, "m" * 128, bytes(MAX_PAYLOAD_BYTES))
    assert _decode(encode_frame(envelope, bytes(MAX_BODY_BYTES))) == (envelope, bytes(MAX_BODY_BYTES))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        bytes(HEADER_BYTES - 1),
        bytes(HEADER_BYTES),  # version 0
        b"\x02" + (10).to_bytes(4, "big") + bytes(4),
        b"\x01" + bytes(8),  # an empty envelope
        b"\x01" + (MAX_ENVELOPE_BYTES + 1).to_bytes(4, "big") + bytes(4),
        b"\x01" + (10).to_bytes(4, "big") + (MAX_BODY_BYTES + 1).to_bytes(4, "big"),
        b"\x01" + b"\xff" * 8,
    ],
)
def test_headers_out_of_bounds_are_refused(header: bytes) -> None:
    with pytest.raises(BadFrame):
        parse_header(header)


def test_tighter_bounds_are_kept() -> None:
    header = b"\x01" + (100).to_bytes(4, "big") + (50).to_bytes(4, "big")
    assert parse_header(header, max_envelope_bytes=100, max_body_bytes=50) == Header(100, 50)
    with pytest.raises(BadFrame):
        parse_header(header, max_envelope_bytes=99)
    with pytest.raises(BadFrame):
        parse_header(header, max_body_bytes=49)


@given(st.binary(max_size=300))
@settings(max_examples=150)
def test_random_bytes_decode_or_are_a_bad_frame(data: bytes) -> None:
    for decode in (parse_header, decode_envelope, decode_error):
        try:
            decode(data)
        except BadFrame:
            continue


@given(envelopes, st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 50))
@settings(max_examples=150)
def test_mutated_frames_decode_or_are_a_bad_frame(envelope: Envelope, at: int, flip: int, cut: int) -> None:
    data = bytearray(encode_frame(envelope)[HEADER_BYTES:])
    data[at % len(data)] ^= flip
    try:
        decode_envelope(bytes(data[: len(data) - cut]))
    except BadFrame:
        return


def test_other_versions_and_names_too_long_are_refused() -> None:
    with pytest.raises(BadFrame):
        decode_envelope(encode_frame(Envelope(Kind.REQUEST, 1, "m" * 129))[HEADER_BYTES:])


@pytest.mark.parametrize("error", [NotFound("gone", hint="look"), NotAMember("no"), Busy("later"), InosError("oops")])
def test_errors_come_back_as_what_they_were(error: InosError) -> None:
    again = decode_error(encode_error(error, context="chunk.get"))
    assert (type(again), again.message, again.hint) == (type(error), error.message, error.hint)


def test_endless_error_texts_are_cut() -> None:
    again = decode_error(encode_error(NotFound("x" * 100_000, hint="y" * 100_000)))
    assert len(again.message) == len(again.hint) == 2000
