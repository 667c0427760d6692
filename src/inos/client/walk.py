"""Walking a folder: what is in it, in order, with names for the catalogue; and grouping it into requests.

Symbolic links are entries and never followed; sockets, pipes and devices are reported as skipped.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inos.client.local import file_error
from inos.core.batch import BATCH_ITEM_MAX, BATCH_ITEMS_MAX, BATCH_MAX
from inos.core.errors import BadInput
from inos.core.file_times import modified_ms_of
from inos.core.object_names import normal_name

FILE: Final = "file"
FOLDER: Final = "folder"
LINK: Final = "link"
SPECIAL: Final = "special"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing found. `target` is set for links."""

    kind: str
    path: str
    name: str
    size: int
    mode: int
    modified_ms: int
    target: str = ""


def walk(root: Path, name: str) -> Iterator[Entry]:
    """Everything below `root`, and `root` itself first, named `name`/…; folders before what is in them, sorted.
    Raises an InosError naming what cannot be read or cannot be the name of an object."""
    yield _entry(root, name, root.stat())
    pending = [(os.fspath(root), name)]
    while pending:
        folder, prefix = pending.pop()
        below = []
        seen: dict[str, str] = {}
        for found in _scan(folder):
            entry = _entry_of(found, prefix)
            if entry.kind != SPECIAL:
                _check_alone(folder, found.name, seen)
            yield entry
            if entry.kind == FOLDER:
                below.append((entry.path, entry.name))
        pending += reversed(below)


def _check_alone(folder: str, name: str, seen: dict[str, str]) -> None:
    """Names that differ only in how they are composed are one in a catalogue: one of them would be lost."""
    twin = seen.setdefault(unicodedata.normalize("NFC", name), name)
    if twin != name:
        raise BadInput(
            f"{twin!a} and {name!a} in {folder!r} differ only in their Unicode form, and would be stored as one",
            hint="rename one of them",
        )


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise file_error(folder, error) from None


def _entry_of(found: os.DirEntry[str], prefix: str) -> Entry:
    try:
        entry = _entry(found.path, f"{prefix}/{found.name}", found.stat(follow_symlinks=False))
        entry.target.encode()
        if entry.kind != SPECIAL:  # which nobody stores
            normal_name(entry.name)
    except OSError as error:
        raise file_error(found.path, error) from None
    except UnicodeEncodeError:
        raise BadInput(f"the target of {found.path!r} is not UTF-8", hint="rename it") from None
    return entry


def _entry(path: str | Path, name: str, status: os.stat_result) -> Entry:
    mode = status.st_mode
    kind = SPECIAL
    if stat.S_ISREG(mode):
        kind = FILE
    elif stat.S_ISDIR(mode):
        kind = FOLDER
    elif stat.S_ISLNK(mode):
        kind = LINK
    size = status.st_size if kind == FILE else 0
    target = os.fspath(Path(path).readlink()) if kind == LINK else ""
    return Entry(kind, os.fspath(path), name, size, stat.S_IMODE(mode), modified_ms_of(status), target)


@dataclass(frozen=True, slots=True)
class Unit:
    """What one request carries: one entry, or several small files."""

    entries: tuple[Entry, ...]

    @property
    def is_batch(self) -> bool:
        return self.entries[0].kind == FILE and self.entries[0].size <= BATCH_ITEM_MAX


def group(entries: Iterable[Entry]) -> Iterator[Unit]:
    """Units in which small files travel together, within the limits of a batch; all else alone."""
    small: list[Entry] = []
    total = 0
    for entry in entries:
        if entry.kind != FILE or entry.size > BATCH_ITEM_MAX:
            yield Unit((entry,))
            continue
        if total + entry.size > BATCH_MAX or len(small) == BATCH_ITEMS_MAX:
            yield Unit(tuple(small))
            small, total = [], 0
        small.append(entry)
        total += entry.size
    if small:
        yield Unit(tuple(small))
