"""Entries: what a backup says of one file outside the database, a line of JSON each. Pure.

Whoever reads them judges all of an entry before it uses any of it: a line that cannot be restored is damage for a
check, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from inos.backup.sealing import ID_BYTES
from inos.core.errors import Corrupt


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its path below the folder that was backed up, "/" between parts; `lists` name its blocks in order."""

    path: str
    mode: int
    modified_ms: int
    size: int
    lists: tuple[bytes, ...] = field(repr=False)

    def encode(self) -> bytes:
        fields = {
            "path": self.path,
            "mode": self.mode,
            "modified_ms": self.modified_ms,
            "size": self.size,
            "lists": [each.hex() for each in self.lists],
        }
        return json.dumps(fields).encode() + b"\n"


def entries_in(lines: bytes) -> Iterator[Entry]:
    """The entries of some lines. Raises Corrupt."""
    for line in lines.splitlines():
        try:
            yield _entry(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            hint = "see: inos backup check"
            raise Corrupt("a list of component files in the backup is damaged", hint=hint) from None


def _entry(fields: Any) -> Entry:
    lists = tuple(bytes.fromhex(each) for each in fields["lists"])
    numbers = fields["mode"], fields["modified_ms"], fields["size"]
    if type(fields["path"]) is not str or any(type(each) is not int for each in numbers):
        raise ValueError("not an entry")
    if any(len(each) != ID_BYTES for each in lists):
        raise ValueError("not an id")
    return Entry(fields["path"], *numbers, lists)
