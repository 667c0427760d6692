"""Message ids: UUIDv7 (RFC 9562), in an order that a clock set back cannot break.

An id is its text, 36 lower-case characters, everywhere but in databases, where it is 16 bytes. Both sort alike. Whoever
writes messages makes each id greater than the one before (`next_id`), so that the order of an agent's ids is the order
in which it wrote, whatever its clock did.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NewType

from inos.core.errors import BadInput
from inos.core.messages.saying import said

MessageId = NewType("MessageId", str)

ID_BYTES: Final = 16
TAIL_BYTES: Final = 10
ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TIME_BITS: Final = 48
_TAIL_BITS: Final = 74  # what follows the time, without version and variant
_TAIL_MASK: Final = (1 << _TAIL_BITS) - 1
_LOW_BITS: Final = 62
# The step between two ids of one millisecond is random, so that an id does not tell the next.
_STEP_MAX: Final = 1 << 32


def parse_id(text: str) -> MessageId:
    """The id that `text` is. Raises BadInput."""
    if not isinstance(text, str) or not ID.fullmatch(text):
        raise BadInput(f"not a message id: {said(text)}", hint="an id is a UUIDv7, 36 lower-case characters")
    return MessageId(text)


def check_ids(given: Iterable[str]) -> list[MessageId]:
    """The ids that are given, in their order. Raises BadInput."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise BadInput("ids must be a list of message ids", hint="of a single message: [id]")
    return [parse_id(each) for each in given]


def next_id(now_ms: int, chance: bytes, last: MessageId | None) -> MessageId:
    """An id for a message written at `now_ms` (milliseconds since 1970), greater than `last`. `chance` is TAIL_BYTES
    random bytes. While the clock stands still or is behind `last`, ids go on from `last`."""
    drawn = int.from_bytes(chance[:TAIL_BYTES], "big") & _TAIL_MASK
    time_ms, tail = max(0, now_ms), drawn
    if last is not None and time_ms <= time_of(last):
        time_ms, tail = time_of(last), _tail_of(last) + 1 + drawn % _STEP_MAX
        if tail > _TAIL_MASK:
            time_ms, tail = time_ms + 1, drawn >> 1
    return _made(time_ms, tail)


def time_of(of: MessageId) -> int:
    """The milliseconds since 1970 in an id."""
    return int(of[:8] + of[9:13], 16)


def to_bytes(of: MessageId) -> bytes:
    """The 16 bytes of an id."""
    return bytes.fromhex(of.replace("-", ""))


def from_bytes(value: bytes) -> MessageId:
    """The id of 16 bytes that `to_bytes` gave."""
    digits = value.hex()
    return MessageId(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")


def _tail_of(of: MessageId) -> int:
    value = int.from_bytes(to_bytes(of), "big")
    high, low = (value >> 64) & 0xFFF, value & ((1 << _LOW_BITS) - 1)
    return high << _LOW_BITS | low


def _made(time_ms: int, tail: int) -> MessageId:
    high, low = tail >> _LOW_BITS, tail & ((1 << _LOW_BITS) - 1)
    value = (time_ms & ((1 << _TIME_BITS) - 1)) << 80 | 0x7 << 76 | high << 64 | 0b10 << _LOW_BITS | low
    return from_bytes(value.to_bytes(ID_BYTES, "big"))
