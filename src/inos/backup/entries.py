"""Entries: what a backup says of one file, link or empty folder outside the database, a line of JSON each. Pure.

Whoever reads them judges all of an entry before it uses any of it: a line that cannot be restored is damage for a
check, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from inos.backup.sealing import ID_BYTES
from inos.core.errors import Corrupt

Kind = Literal["file", "link", "folder"]
FILE: Final = "file"
LINK: Final = "link"
FOLDER: Final = "folder"


@dataclass(frozen=True, slots=True)
class Entry:
    """Its path below the folder that was backed up, "/" between parts. `lists` name the blocks of a file in order;
    `target` is where a link leads; a folder has nothing in it."""

    path: str
    mode: int
    modified_ms: int
    size: int
    lists: tuple[bytes, ...] = field(default=(), repr=False)
    kind: Kind = FILE
    target: str = ""

    def encode(self) -> bytes:
        fields: dict[str, Any] = {
            "path": self.path,
            "mode": self.mode,
            "modified_ms": self.modified_ms,
            "size": self.size,
            "lists": [each.hex() for each in self.lists],
        }
        if self.kind != FILE:
            fields["kind"] = self.kind
        if self.kind == LINK:
            fields["target"] = self.target
        return json.dumps(fields).encode() + b"\n"


def entries_in(lines: bytes) -> Iterator[Entry]:
    """The entries of some lines. Raises Corrupt."""
    for line in lines.splitlines():
        try:
            yield _entry(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            hint = "see: inos backup check"
            raise Corrupt("a list of files in the backup is damaged", hint=hint) from None


def _entry(fields: Any) -> Entry:
    lists = tuple(bytes.fromhex(each) for each in fields["lists"])
    numbers = fields["mode"], fields["modified_ms"], fields["size"]
    path, kind, target = fields["path"], fields.get("kind", FILE), fields.get("target", "")
    if any(type(each) is not str for each in (path, kind, target)) or any(type(each) is not int for each in numbers):
        raise ValueError("not an entry")
    if any(len(each) != ID_BYTES for each in lists):
        raise ValueError("not an id")
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path + target:
        raise ValueError("a path that leads elsewhere")
    if kind not in get_args(Kind) or bool(target) != (kind == LINK) or (lists and kind != FILE):
        raise ValueError("neither a file nor a link nor a folder")
    return Entry(path, *numbers, lists, kind, target)
