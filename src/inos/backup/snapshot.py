"""A snapshot: what one moment of a data root consists of. Pure: JSON with a version, strictly read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from inos.backup.sealing import ID_BYTES
from inos.core.errors import Corrupt, NewerFormat

# 2: messages, settings, and links and empty folders among the files.
VERSION: Final = 2
_WITHOUT_MESSAGES: Final = 1
# A hundred thousand lists: some hundred terabytes.
MAX_SNAPSHOT_BYTES: Final = 16 << 20
FULL: Final = "full"
MESH: Final = "mesh"
_KINDS: Final = (FULL, MESH)


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of content: how many things and bytes, how many could not be read, and the ids of its lists."""

    count: int
    size: int
    damaged: int
    lists: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment. `kind` is FULL, or MESH when the chunks are left to the mesh; `node_file` is node.json. The database
    counts blocks, the chunks chunks, the others files, links and empty folders. Snapshots of earlier releases say
    nothing of messages and settings: None."""

    kind: Literal["full", "mesh"]
    created_ms: int
    node_name: str
    release: str
    node_file: str
    database: Part
    chunks: Part
    components: Part
    messages: Part | None = None
    config: Part | None = None

    @property
    def files(self) -> tuple[Part, ...]:
        """The parts whose lists hold entries."""
        return tuple(part for part in (self.components, self.messages, self.config) if part is not None)

    @property
    def size(self) -> int:
        """Bytes of all that is in it."""
        return sum(part.size for part in (self.database, self.chunks, *self.files))

    @property
    def damaged(self) -> int:
        """How much could not be read when it was made."""
        return sum(part.damaged for part in (self.chunks, *self.files))

    def encode(self) -> bytes:
        fields = {"version": VERSION} | asdict(self)
        for name in ("database", "chunks", "components", "messages", "config"):
            if (part := getattr(self, name)) is not None:
                fields[name] = asdict(part) | {"lists": [each.hex() for each in part.lists]}
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes, where: str) -> Snapshot:
        """Raises Corrupt, NewerFormat."""
        try:
            fields = json.loads(text)
            version = _whole(fields["version"])
            if version > VERSION:
                raise NewerFormat(
                    f"{where} has format {version}, this release knows up to {VERSION}",
                    hint="install the release that wrote it, or a newer one; nothing was changed",
                )
            has_all = version > _WITHOUT_MESSAGES
            found = cls(
                kind=fields["kind"],
                created_ms=_whole(fields["created_ms"]),
                node_name=_text(fields["node_name"]),
                release=_text(fields["release"]),
                node_file=_text(fields["node_file"]),
                database=_part(fields["database"]),
                chunks=_part(fields["chunks"]),
                components=_part(fields["components"]),
                messages=_part(fields["messages"]) if has_all and fields["messages"] is not None else None,
                config=_part(fields["config"]) if has_all and fields["config"] is not None else None,
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _damaged(where) from None
        if found.kind not in _KINDS or not version:
            raise _damaged(where)
        return found


def _part(fields: Any) -> Part:
    lists = tuple(bytes.fromhex(each) for each in fields["lists"])
    if any(len(each) != ID_BYTES for each in lists):
        raise ValueError("not an id")
    return Part(_whole(fields["count"]), _whole(fields["size"]), _whole(fields["damaged"]), lists)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a count")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("not a text")
    return value


def _damaged(where: str) -> Corrupt:
    return Corrupt(f"{where} is damaged: it does not read as a snapshot", hint="see: inos backup check")
