"""Packs: pieces sealed one after the other in one file, so that a place has thousands of files instead of millions and
sizes of pieces do not show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.backup.sealing import BackupKeys, Kind, check_head, file_name, head, piece_nonce
from inos.core.errors import Corrupt
from inos.crypto.hashing import Readable
from inos.crypto.sealing import OVERHEAD_BYTES, open_sealed, seal

# Large enough for a store far away to be used well, small enough to be held whole in memory, twice.
PACK_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a piece lies: the pack's name (32 bytes), and its sealed bytes in it."""

    pack: bytes
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack: its bytes, and where each piece lies in it."""

    name: str
    data: bytes
    spots: dict[bytes, Spot]


class PackWriter:
    """Fills one pack."""

    def __init__(self, keys: BackupKeys, salt: bytes) -> None:
        self._key = keys.file_key(Kind.PACK, salt)
        self._data = bytearray(head(Kind.PACK, salt))
        self._places: list[tuple[bytes, int, int]] = []

    def __len__(self) -> int:
        return len(self._places)

    @property
    def full(self) -> bool:
        return len(self._data) >= PACK_BYTES

    def add(self, piece_id: bytes, data: Readable) -> None:
        """Add a piece that is not in it yet."""
        sealed = seal(self._key, data, piece_id, nonce=piece_nonce(len(self._places)))
        self._places.append((piece_id, len(self._data), len(sealed)))
        self._data += sealed

    def finish(self) -> Pack:
        data = bytes(self._data)
        name = file_name(data)
        raw = bytes.fromhex(name)
        return Pack(name, data, {piece: Spot(raw, offset, size) for piece, offset, size in self._places})


def pack_key(keys: BackupKeys, first_bytes: bytes, where: str) -> bytes:
    """The key of the pack that begins with these. Raises Corrupt, NewerFormat."""
    return keys.file_key(Kind.PACK, check_head(Kind.PACK, first_bytes, where))


def open_piece(key: bytes, piece_id: bytes, sealed: bytes, where: str) -> bytes:
    """A piece out of a pack. Raises Corrupt when a bit of it differs."""
    if len(sealed) < OVERHEAD_BYTES:
        raise Corrupt(f"{where} is cut off", hint="see: inos backup check")
    try:
        return open_sealed(key, sealed, piece_id)
    except Corrupt:
        raise Corrupt(f"{where} is damaged", hint="see: inos backup check") from None
