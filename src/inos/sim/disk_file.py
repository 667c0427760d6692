"""The content of one file on a simulated disk: what its readers see, and what would be left of it without power.

The synced content is kept as the difference to the current one: the pages changed since the last sync, as they were
at that sync, and the synced size. So a file that is written once and synced costs nothing beside its bytes, and those
are shared with whoever wrote them until somebody writes into the middle.
"""

from __future__ import annotations

import random
from typing import Final

PAGE_BYTES: Final = 4096
# What a disk writes whole or not at all.
SECTOR_BYTES: Final = 512


class SimFile:
    """One file's bytes. `data` is what a reader sees; replaced as a whole or changed by the methods here."""

    __slots__ = ("_before", "_synced_bytes", "data")

    def __init__(self, data: bytes | bytearray = b"") -> None:
        """A new file with nothing synced."""
        self.data = data
        self._synced_bytes = 0
        self._before: dict[int, bytes] = {}

    def copy(self) -> SimFile:
        """The same state, sharing nothing that changes."""
        twin = SimFile(self.data if isinstance(self.data, bytes) else bytearray(self.data))
        twin._synced_bytes = self._synced_bytes
        twin._before = dict(self._before)
        return twin

    # Writing

    def write(self, data: bytes, offset: int) -> None:
        """Put `data` at `offset`; a gap before it is filled with zeros."""
        held = self._changeable()
        end = offset + len(data)
        if offset < self._synced_bytes:
            self._remember(offset, end)
        if offset > len(held):
            held.extend(bytes(offset - len(held)))
        held[offset:end] = data

    def resize(self, size: int) -> None:
        """Cut off what is beyond `size`, or fill up to it with zeros."""
        held = self._changeable()
        if size < self._synced_bytes:
            self._remember(size, self._synced_bytes)
        if size < len(held):
            del held[size:]
        else:
            held.extend(bytes(size - len(held)))

    def flip(self, position: int, bit: int) -> None:
        """Rot: the bit changes on the disk itself, synced or not."""
        self._changeable()[position] ^= 1 << bit
        page = position // PAGE_BYTES
        if page in self._before:
            before = bytearray(self._before[page])
            if (within := position % PAGE_BYTES) < len(before):
                before[within] ^= 1 << bit
            self._before[page] = bytes(before)

    def _changeable(self) -> bytearray:
        if not isinstance(self.data, bytearray):
            self.data = bytearray(self.data)
        return self.data

    def _remember(self, start: int, end: int) -> None:
        before, data = self._before, self.data
        for page in range(start // PAGE_BYTES, (min(end, self._synced_bytes) + PAGE_BYTES - 1) // PAGE_BYTES):
            if page not in before:
                before[page] = bytes(data[page * PAGE_BYTES : min((page + 1) * PAGE_BYTES, self._synced_bytes)])

    # Syncing and losing

    def sync(self) -> int:
        """All of it is on the disk now; how many bytes had to be written for that."""
        written = self.unsynced_bytes()
        self._before.clear()
        self._synced_bytes = len(self.data)
        return written

    def unsynced_bytes(self) -> int:
        """Bytes of the pages that differ from the disk, or may."""
        return len(self._before) * PAGE_BYTES + max(0, len(self.data) - self._synced_bytes)

    def after_power_loss(self, chance: random.Random) -> SimFile:
        """What a reader finds once power is back. Each page that was not synced is there, is not, or is torn: some of
        its sectors are there. The new size took effect or did not, or the file ends at a page in between."""
        if not self.unsynced_bytes() and len(self.data) == self._synced_bytes:
            return self
        now, old = bytes(self.data), self._synced()
        size = self._size_left(chance, len(now), len(old))
        left = bytearray((old + bytes(max(0, size - len(old))))[:size])
        first_new = self._synced_bytes // PAGE_BYTES
        changed = sorted({*self._before, *range(first_new, (len(now) + PAGE_BYTES - 1) // PAGE_BYTES)})
        for page in changed:
            for start, end in _surviving(chance, page):
                piece = now[start:end].ljust(end - start, b"\0")[: max(0, size - start)]
                left[start : start + len(piece)] = piece
        survivor = SimFile(left)
        survivor._synced_bytes = len(left)
        return survivor

    def _synced(self) -> bytes:
        """The content at the last sync."""
        old = bytearray(self.data[: self._synced_bytes])
        old.extend(bytes(self._synced_bytes - len(old)))
        for page, content in self._before.items():
            old[page * PAGE_BYTES : page * PAGE_BYTES + len(content)] = content
        return bytes(old)

    def _size_left(self, chance: random.Random, now: int, old: int) -> int:
        low, high = sorted((now, old))
        between = chance.randint(low // PAGE_BYTES, high // PAGE_BYTES) * PAGE_BYTES
        return chance.choice((low, high, max(low, between)))


def _surviving(chance: random.Random, page: int) -> list[tuple[int, int]]:
    """The byte ranges of the page that reached the disk."""
    start = page * PAGE_BYTES
    fate = chance.randrange(3)
    if fate == 0:
        return []
    if fate == 1:
        return [(start, start + PAGE_BYTES)]
    sectors = range(start, start + PAGE_BYTES, SECTOR_BYTES)
    return [(sector, sector + SECTOR_BYTES) for sector in sectors if chance.random() < 0.5]
