"""Frames: what travels on a call stream, as bytes. Pure; no I/O.

    1 byte   version (1)
    4 bytes  length of the envelope, big endian
    4 bytes  length of the body, big endian
    envelope (schema/base/base.capnp Envelope, Cap'n Proto)
    body     (raw: a chunk, or several; its meaning is the method's)

Both lengths are checked against their bounds before anything is read or allocated for them. Failures travel as an
envelope of kind FAILURE whose payload is a base Error.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from inos.core.codec import encode, reading
from inos.core.errors import BadFrame, InosError, from_wire
from inos.mesh.network import MAX_BODY_BYTES, MAX_PAYLOAD_BYTES

VERSION: Final = 1
ENVELOPE_VERSION: Final = 1
_HEADER: Final = struct.Struct(">BII")
HEADER_BYTES: Final = _HEADER.size
# Room around the payload for the envelope's own fields, of which only the method has a length of its own.
ENVELOPE_SLACK_BYTES: Final = 4096
MAX_ENVELOPE_BYTES: Final = MAX_PAYLOAD_BYTES + ENVELOPE_SLACK_BYTES
MAX_METHOD_CHARS: Final = 128
MAX_ERROR_BYTES: Final = 16 * 1024
# A message for a person; what is longer is cut, never refused.
_MAX_ERROR_TEXT: Final = 2000

_ENVELOPE: Final = "base/base.capnp:Envelope"
_ERROR: Final = "base/base.capnp:Error"


class Kind(StrEnum):
    """Names as in the schema's enum."""

    REQUEST = "request"
    RESPONSE = "response"
    FAILURE = "failure"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds a payload. `id` pairs an answer with its request on one stream; `method` is empty in answers."""

    kind: Kind
    id: int
    method: str = ""
    payload: bytes = b""
    lamport: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """The lengths a frame announces, within bounds."""

    envelope_bytes: int
    body_bytes: int


def encode_head(envelope: Envelope, body_bytes: int) -> bytes:
    """Header and envelope; the body follows it on the wire as it is, uncopied."""
    encoded = encode(
        _ENVELOPE,
        version=ENVELOPE_VERSION,
        kind=envelope.kind.value,
        id=envelope.id,
        method=envelope.method,
        metadata={"version": 1, "lamport": envelope.lamport},
        payload=envelope.payload,
    )
    return _HEADER.pack(VERSION, len(encoded), body_bytes) + encoded


def encode_frame(envelope: Envelope, body: bytes = b"") -> bytes:
    """A whole frame in one piece."""
    return encode_head(envelope, len(body)) + body


def parse_header(
    data: bytes, *, max_envelope_bytes: int = MAX_ENVELOPE_BYTES, max_body_bytes: int = MAX_BODY_BYTES
) -> Header:
    """The lengths in the first HEADER_BYTES of a frame. Raises BadFrame: another version, a length out of bounds."""
    if len(data) != HEADER_BYTES:
        raise BadFrame(f"a frame header has {HEADER_BYTES} bytes, got {len(data)}")
    version, envelope_bytes, body_bytes = _HEADER.unpack(data)
    if version != VERSION:
        raise BadFrame(f"frame version {version}; this release speaks {VERSION}")
    if not 0 < envelope_bytes <= max_envelope_bytes:
        raise BadFrame(f"an envelope of {envelope_bytes} bytes is outside 1..{max_envelope_bytes}")
    if body_bytes > max_body_bytes:
        raise BadFrame(f"a body of {body_bytes} bytes is over the limit of {max_body_bytes}")
    return Header(envelope_bytes, body_bytes)


def decode_envelope(data: bytes) -> Envelope:
    """Raises BadFrame for anything that is not an envelope of this version."""
    with reading(_ENVELOPE, data, max_bytes=MAX_ENVELOPE_BYTES) as found:
        if found.version != ENVELOPE_VERSION:
            raise BadFrame(f"envelope version {found.version}; this release speaks {ENVELOPE_VERSION}")
        method = found.method
        if len(method) > MAX_METHOD_CHARS:
            raise BadFrame(f"a method name of {len(method)} characters is over the limit of {MAX_METHOD_CHARS}")
        payload = bytes(found.payload)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise BadFrame(f"a payload of {len(payload)} bytes is over the limit of {MAX_PAYLOAD_BYTES}")
        return Envelope(Kind(str(found.kind)), found.id, method, payload, found.metadata.lamport)


def encode_error(error: InosError, *, context: str = "") -> bytes:
    """The payload of a FAILURE envelope."""
    return encode(
        _ERROR,
        code=error.code,
        message=error.message[:_MAX_ERROR_TEXT],
        hint=error.hint[:_MAX_ERROR_TEXT],
        retryable=error.retryable,
        context=context[:MAX_METHOD_CHARS],
    )


def decode_error(payload: bytes) -> InosError:
    """The error a peer reported, as the class of its code. Raises BadFrame when it is not one."""
    with reading(_ERROR, payload, max_bytes=MAX_ERROR_BYTES) as found:
        return from_wire(found.code[:64], found.message[:_MAX_ERROR_TEXT], found.hint[:_MAX_ERROR_TEXT])
