"""Lists: ids of pieces, 32 bytes each, one after the other, in pieces of their own. Pure.

A list of chunk addresses is cut where an address says so, not after a number of them: what comes and goes in one place
changes one list, and the others are in the backup already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from inos.backup.sealing import ID_BYTES
from inos.core.errors import Corrupt

MAX_IDS: Final = 16_384  # 512 KiB
_CUT_MASK: Final = 4_096 - 1


def full_lists(ids: Iterable[bytes]) -> Iterator[bytes]:
    """Lists of ids in the order given, each as long as it may be."""
    return _lists(ids, lambda _piece: False)


def address_lists(addresses: Iterable[bytes]) -> Iterator[bytes]:
    """Lists of ascending chunk addresses, cut by content."""
    return _lists(addresses, lambda address: not int.from_bytes(address[-2:], "little") & _CUT_MASK)


def _lists(ids: Iterable[bytes], ends: Callable[[bytes], bool]) -> Iterator[bytes]:
    text = bytearray()
    for piece in ids:
        text += piece
        if len(text) == MAX_IDS * ID_BYTES or ends(piece):
            yield bytes(text)
            text.clear()
    if text:
        yield bytes(text)


def ids_in(text: bytes) -> Iterator[bytes]:
    """The ids of a list. Raises Corrupt for what is none."""
    if not text or len(text) % ID_BYTES or len(text) > MAX_IDS * ID_BYTES:
        raise Corrupt("a list in the backup is damaged", hint="see: inos backup check")
    return (text[at : at + ID_BYTES] for at in range(0, len(text), ID_BYTES))
