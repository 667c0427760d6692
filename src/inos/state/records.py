"""Records as bytes: sign, encode, decode, verify. The one place that decides whether bytes are a record.

Layout: `p2p/tables.capnp` Record{version, body: RecordBody, signature: Ed25519 over "inos record v1\\0" + body}. The
signature covers the body exactly as it came, so a record of another implementation, laid out differently, stays valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.core import codec
from inos.core.errors import BadFrame, BadInput, Refused
from inos.core.pure import pure
from inos.crypto.signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey, verify
from inos.state.fields import check_version, exactly
from inos.state.lamport import LAMPORT_LIMIT
from inos.state.record import Record

CONTEXT: Final = b"inos record v1"
VERSION: Final = 1
MAX_TABLE_CHARS: Final = 32
# Keys are digests: an owner and a keyed hash are 64 bytes; room for four times that.
MAX_KEY_BYTES: Final = 256
# A placement with 700 members is 28 KB.
MAX_VALUE_BYTES: Final = 32 * 1024
# Framing of body and record together is under 300 bytes; one record always fits in a gossip message.
MAX_RECORD_BYTES: Final = MAX_VALUE_BYTES + MAX_KEY_BYTES + 1024
# Around a body: signature, headers and the framing of a few segments. Without this bound anyone could blow up the
# record of another, because the wrapping is not signed.
MAX_WRAPPING_BYTES: Final = 256

_RECORD: Final = "p2p/tables.capnp:Record"
_BODY: Final = "p2p/tables.capnp:RecordBody"


@dataclass(frozen=True, slots=True)
class Unverified:
    """A record that is well formed and within bounds; nobody has checked yet who signed it."""

    claimed: Record
    body: bytes
    signature: bytes

    def verified(self) -> Record:
        """The record. Raises Refused when its author did not sign it."""
        if not verify(self.claimed.author, CONTEXT, self.body, self.signature):
            raise Refused("the signature of a record is wrong", hint="it was forged or damaged on its way")
        return self.claimed


def sign_record(
    key: SigningKey, table: str, key_bytes: bytes, value: bytes, lamport: int, removed: bool = False
) -> Record:
    """A new record by the holder of `key`. Raises BadInput beyond the bounds; a removal has no value."""
    _check_bounds(table, key_bytes, value, lamport, removed)
    fields = {"version": VERSION, "table": table, "key": key_bytes, "value": value, "removed": removed}
    body = codec.encode(_BODY, **fields, lamport=lamport, author=key.public_key)
    encoded = codec.encode(_RECORD, version=VERSION, body=body, signature=key.sign(CONTEXT, body))
    return Record(table, bytes(key_bytes), bytes(value), removed, lamport, key.public_key, encoded)


def decode_record(data: bytes, *, max_bytes: int = MAX_RECORD_BYTES) -> Record:
    """The record in `data`, its signature checked. Raises BadFrame, NewerFormat, or Refused when forged."""
    return parse_record(data, max_bytes=max_bytes).verified()


@pure
def parse_record(data: bytes, *, max_bytes: int = MAX_RECORD_BYTES) -> Unverified:
    """The record in `data` with its signature still to be checked: for copies that may be known already, because
    checking costs several times as much as parsing. Raises BadFrame or NewerFormat."""
    with codec.reading(_RECORD, data, max_bytes=max_bytes) as record:
        check_version(record.version, VERSION, "a record")
        body, signature = bytes(record.body), exactly(bytes(record.signature), SIGNATURE_BYTES, "a record's signature")
    if len(data) - len(body) > MAX_WRAPPING_BYTES:
        raise BadFrame(f"a record has {len(data) - len(body)} bytes around its body, over {MAX_WRAPPING_BYTES}")
    return Unverified(_parse_body(body, bytes(data)), body, signature)


def _parse_body(body: bytes, encoded: bytes) -> Record:
    with codec.reading(_BODY, body, max_bytes=MAX_RECORD_BYTES) as fields:
        check_version(fields.version, VERSION, "a record's body")
        table, key, value = str(fields.table), bytes(fields.key), bytes(fields.value)
        removed, lamport = bool(fields.removed), int(fields.lamport)
        _check_bounds(table, key, value, lamport, removed)
        author = exactly(bytes(fields.author), PUBLIC_KEY_BYTES, "a record's author")
        return Record(table, key, value, removed, lamport, author, encoded)


def _check_bounds(table: str, key: bytes, value: bytes, lamport: int, removed: bool) -> None:
    if not 0 < len(table) <= MAX_TABLE_CHARS:
        raise BadInput(f"a table's name has 1 to {MAX_TABLE_CHARS} characters, not {len(table)}")
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise BadInput(f"a key has 1 to {MAX_KEY_BYTES} bytes, not {len(key)}")
    if len(value) > MAX_VALUE_BYTES:
        raise BadInput(f"a value has at most {MAX_VALUE_BYTES} bytes, not {len(value)}")
    if removed and value:
        raise BadInput("a removal has no value")
    if not 0 < lamport < LAMPORT_LIMIT:
        raise BadInput(f"a lamport is at least 1 and below 2^48, not {lamport}")
