"""A snapshot: what one moment of a data root consists of. Pure: JSON with a version, strictly read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from inos.backup.sealing import ID_BYTES
from inos.core.errors import Corrupt, NewerFormat

VERSION: Final = 1
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
    counts blocks, the chunks chunks, the components files."""

    kind: Literal["full", "mesh"]
    created_ms: int
    node_name: str
    release: str
    node_file: str
    database: Part
    chunks: Part
    components: Part

    def encode(self) -> bytes:
        fields = {"version": VERSION} | asdict(self)
        for name in ("database", "chunks", "components"):
            fields[name] = asdict(getattr(self, name)) | {"lists": [each.hex() for each in getattr(self, name).lists]}
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes, where: str) -> Snapshot:
        """Raises Corrupt, NewerFormat."""
        try:
            fields = json.loads(text)
            if isinstance(fields["version"], int) and fields["version"] > VERSION:
                raise NewerFormat(
                    f"{where} has format {fields['version']}, this release knows up to {VERSION}",
                    hint="install the release that wrote it, or a newer one; nothing was changed",
                )
            found = cls(
                kind=fields["kind"],
                created_ms=_whole(fields["created_ms"]),
                node_name=_text(fields["node_name"]),
                release=_text(fields["release"]),
                node_file=_text(fields["node_file"]),
                database=_part(fields["database"]),
                chunks=_part(fields["chunks"]),
                components=_part(fields["components"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _damaged(where) from None
        if found.kind not in _KINDS:
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
