"""The index of a backup: in which pack each piece lies. Pure: bytes to values and back.

text of an index file = pack count (4) | pack names (32 each) | entries, by ascending id
entry                 = id (32) | number of its pack (4) | offset (4) | sealed size (4)          little-endian
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from inos.backup.packs import Spot
from inos.backup.sealing import ID_BYTES
from inos.core.errors import BadInput, Corrupt

# 1.4 MB a file: a few dozen of them are in memory at a time, and a million pieces are in thirty.
MAX_ENTRIES: Final = 32_768
_COUNT: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<32sIII")
ENTRY_BYTES: Final = _ENTRY.size


def encode_index(spots: Mapping[bytes, Spot]) -> bytes:
    """The text of an index of 1 to MAX_ENTRIES pieces."""
    if not 0 < len(spots) <= MAX_ENTRIES:
        raise BadInput(f"an index has 1 to {MAX_ENTRIES} entries, not {len(spots)}")
    numbers = {pack: number for number, pack in enumerate(sorted({spot.pack for spot in spots.values()}))}
    parts = [_COUNT.pack(len(numbers)), *numbers]
    parts += (_ENTRY.pack(piece, numbers[s.pack], s.offset, s.size) for piece, s in sorted(spots.items()))
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class IndexTable:
    """A decoded index; looked up in place, without an object for each entry."""

    packs: tuple[bytes, ...]
    text: bytes
    entries_at: int

    @classmethod
    def decode(cls, text: bytes, where: str) -> IndexTable:
        """Raises Corrupt for what is no index."""
        count = _COUNT.unpack_from(text)[0] if len(text) >= _COUNT.size else -1
        entries_at = _COUNT.size + ID_BYTES * count
        size = len(text) - entries_at
        if count < 1 or size <= 0 or size % ENTRY_BYTES or size // ENTRY_BYTES > MAX_ENTRIES:
            raise Corrupt(f"{where} is damaged: it does not read as an index", hint="see: inos backup check")
        names = range(_COUNT.size, entries_at, ID_BYTES)
        return cls(tuple(text[at : at + ID_BYTES] for at in names), text, entries_at)

    def __len__(self) -> int:
        return (len(self.text) - self.entries_at) // ENTRY_BYTES

    def id_at(self, number: int) -> bytes:
        at = self.entries_at + number * ENTRY_BYTES
        return self.text[at : at + ID_BYTES]

    def spot_at(self, number: int) -> Spot:
        """Raises Corrupt when the entry names a pack that the index does not."""
        _, pack, offset, size = _ENTRY.unpack_from(self.text, self.entries_at + number * ENTRY_BYTES)
        if pack >= len(self.packs):
            raise Corrupt("an entry of an index names no pack", hint="see: inos backup check")
        return Spot(self.packs[pack], offset, size)

    def number_of(self, piece_id: bytes) -> int | None:
        """Which entry is the piece's."""
        number = bisect_left(range(len(self)), piece_id, key=self.id_at)
        return number if number < len(self) and self.id_at(number) == piece_id else None

    def find(self, piece_id: bytes) -> Spot | None:
        number = self.number_of(piece_id)
        return None if number is None else self.spot_at(number)

    def items(self) -> Iterator[tuple[bytes, Spot]]:
        """Every piece and where it lies, by ascending id."""
        for number in range(len(self)):
            yield self.id_at(number), self.spot_at(number)
