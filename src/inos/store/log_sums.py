"""The checksums of SQLite's write-ahead log, and what a changed word of it must have been. Pure.

    log = header (32 bytes: magic, version, page size, sequence, 8 bytes of salt, 8 of checksum), frames
    frame = page number (4), size of the database after a commit or 0 (4), salt (8), checksum (8), page

A checksum covers all that went before it but for the salts of frames: it goes on from that of the frame, or header,
in front. It is two sums modulo 2^32, linear in every word. So what one changed word does to it tells by how much that
word was changed, were it any given one, and only few words fit a difference of 64 bits; which of them it was, the tag
of the page says. A frame of which some sectors never reached the disk fits none, but for one in 2^100.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

HEADER_BYTES: Final = 32
FRAME_BYTES: Final = 24
VERSION: Final = 3_007_000
MAGIC: Final = 0x377F0682  # the lowest bit says which way round the checksum reads
PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
# That of every database here.
PAGE_BYTES: Final = 4096
_MASK: Final = 0xFFFFFFFF

IsPage = Callable[[int, bytes], bool]


class Change(NamedTuple):
    """Bytes that belong at an offset from the beginning of the header or frame."""

    offset: int
    data: bytes


class Sums(NamedTuple):
    """Which way round the words of a log are summed, and how."""

    big_endian: bool

    def of(self, data: bytes, start: bytes = bytes(8)) -> bytes:
        """The checksum of `data` (a multiple of 8 bytes), going on from `start`."""
        one, two = struct.unpack(">II", start)
        # Weighing all words at once was tried: its large integers take longer.
        for first, second in struct.iter_unpack(f"{self._order}II", data):
            one = (one + first + two) & _MASK
            two = (two + second + one) & _MASK
        return struct.pack(">II", one, two)

    def words(self, data: bytes) -> tuple[int, ...]:
        return struct.unpack(f"{self._order}{len(data) // 4}I", data)

    def word(self, value: int) -> bytes:
        return struct.pack(f"{self._order}I", value & _MASK)

    @property
    def _order(self) -> str:
        return ">" if self.big_endian else "<"

    def single_words(self, data: bytes, found: bytes, wanted: bytes) -> Iterator[tuple[int, bytes]]:
        """Each word of `data`, and what in its place gives the checksum `wanted` where `found` is that of `data`."""
        words, weights = self.words(data), _weights(len(data) // 4)
        first, second = (
            (want - have) & _MASK
            for want, have in zip(struct.unpack(">II", wanted), struct.unpack(">II", found), strict=True)
        )
        for position, (one, two) in enumerate(zip(weights.first, weights.second, strict=True)):
            # Neighbours in Fibonacci's sequence: one of them is odd, so it can be divided by.
            change = first * pow(one, -1, 1 << 32) if one & 1 else second * pow(two, -1, 1 << 32)
            if (change * one - first) & _MASK == 0 == (change * two - second) & _MASK:
                yield position, self.word(words[position] + change)


class _Weights(NamedTuple):
    """What each word counts in the two sums."""

    first: tuple[int, ...]
    second: tuple[int, ...]


@lru_cache(maxsize=4)
def _weights(words: int) -> _Weights:
    """A pair of words x, y makes of the sums (a, b): a + x + b, and then b + y + that."""
    left, right = (1, 1), (0, 1)
    first, second = [0] * words, [0] * words
    for position in range(words - 2, -1, -2):
        first[position], second[position] = left
        first[position + 1], second[position + 1] = right
        left, right = _stepped(left), _stepped(right)
    return _Weights(tuple(first), tuple(second))


def _stepped(sums: tuple[int, int]) -> tuple[int, int]:
    return (sums[0] + sums[1]) & _MASK, (sums[0] + 2 * sums[1]) & _MASK


class Log(NamedTuple):
    """What an intact header says of its log."""

    sums: Sums
    page_bytes: int
    salt: bytes
    checksum: bytes

    def follows(self, frame: bytes, before: bytes) -> bool:
        """Whether a frame belongs to this log, behind one (or the header) with the checksum `before`."""
        return frame[8:16] == self.salt and frame[16:24] == self.sums.of(covered(frame), before)


def covered(frame: bytes) -> bytes:
    """What of a frame its checksum covers."""
    return frame[:8] + frame[FRAME_BYTES:]


def read_header(header: bytes) -> Log | None:
    """What the header of a log says; None where it is damaged, or not a log's."""
    magic, version, page_bytes = struct.unpack_from(">III", header)
    sums = Sums(bool(magic & 1))
    if magic & ~1 != MAGIC or version != VERSION or page_bytes not in PAGE_SIZES:
        return None
    return Log(sums, page_bytes, header[16:24], header[24:32]) if header[24:32] == sums.of(header[:24]) else None


def header_mended(header: bytes, frame: bytes) -> Change | None:
    """The whole header as it was before one part of it was changed; the first frame, which goes on from it, says so.
    None where that does not explain what is there."""
    for candidate in _headers(header, frame):
        log = read_header(candidate)
        if log is not None and log.follows(frame, log.checksum):
            return Change(0, candidate)
    return None


def _headers(header: bytes, frame: bytes) -> Iterator[bytes]:
    for order in (0, 1):
        fixed = struct.pack(">III", MAGIC | order, VERSION, PAGE_BYTES)
        for salt in (header[16:24], frame[8:16]):
            start, sums = fixed + header[12:16] + salt, Sums(bool(order))
            yield start + header[24:32]
            yield start + sums.of(start)
            for position, word in sums.single_words(start, sums.of(start), header[24:32]):
                if position == 3:  # the sequence
                    yield fixed + word + salt + header[24:32]


def frame_mended(log: Log, frame: bytes, before: bytes, is_page: IsPage) -> Change | None:
    """What belongs into a frame that does not follow `before`, where one changed word, or salt, explains all of it."""
    found, stored = log.sums.of(covered(frame), before), frame[16:24]
    if found == stored:
        return Change(8, log.salt)
    if frame[8:16] != log.salt:
        return None
    if is_page(int.from_bytes(frame[:4], "big"), frame[FRAME_BYTES:]) and (found[:4] == stored[:4]) != (
        found[4:] == stored[4:]
    ):
        return Change(16, found)
    for position, word in log.sums.single_words(covered(frame), found, stored):
        change = Change(position * 4 + (0 if position < 2 else FRAME_BYTES - 8), word)
        mended = applied(frame, change)
        if is_page(int.from_bytes(mended[:4], "big"), mended[FRAME_BYTES:]):
            return change
    return None


def applied(data: bytes, change: Change) -> bytes:
    return data[: change.offset] + change.data + data[change.offset + len(change.data) :]
