"""What a snapshot holds of a data root beside database and chunks: components, messages, settings. As entries.

Rules: each database of messages is taken as it stands still, at a moment of its own. The hub's corpus comes last, after
the caches and after the node's database: so it holds whatever any of these says that this hub has.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from inos.backup.entries import FILE, LINK, Entry
from inos.backup.lists import full_lists
from inos.backup.repository import Repository
from inos.backup.snapshot import Part
from inos.backup.walking import Found, LeftOut, walk
from inos.components.shelf import FOLDER as COMPONENTS
from inos.components.shelf import UNPACKING
from inos.core.errors import InosError
from inos.messages.hub_config import SQLITE, hub_file, load_hub_config
from inos.messages.on_disk import FOLDER as MESSAGES
from inos.messages.on_disk import is_beside, is_corpus, is_database, key_of
from inos.store.filesystem import REAL_FILES
from inos.store.standing import Standing, standing_still

CONFIG: Final = "config"
DATABASE_BLOCK: Final = 64 << 10
FILE_BLOCK: Final = 1 << 20
_LINES_BYTES: Final = 512 << 10
# Enough to see what kind of thing it is; the count says how many there are.
_NAMES_TOLD: Final = 20
# Between two steps: what is sent of a file.
_STEP_BLOCKS: Final = 16

Gathered = Generator[int, None, Part]
"""Bytes read, now and then; at the end the part."""


class Gathering:
    """Gathers of one data root, and knows what it left out."""

    def __init__(self, repository: Repository, root: Path) -> None:
        self._repository = repository
        self._root = root
        self.databases = 0
        self.left_out = 0
        self.left_out_names: list[str] = []

    def tree(self, name: str) -> Gathered:
        """All below the folder `name` of the data root, but for what is being installed."""
        entries = _Entries(self._repository)
        for found in walk(self._root / name, but=self._root / COMPONENTS / UNPACKING):
            yield from self._take(found, self._root / name, entries)
        return entries.part()

    def messages(self, root_key: bytes) -> Gathered:
        """The databases of messages, each as of one moment, and what else lies beside them. `root_key` opens those of
        the node."""
        folder, entries = self._root / MESSAGES, _Entries(self._repository)
        databases: list[Path] = []
        for found in walk(folder):
            if is_beside(found.path.name) and not (isinstance(found, LeftOut) and found.lost):
                continue
            if isinstance(found, Found) and found.kind == FILE and is_database(found.path.name):
                databases.append(found.path)
                continue
            yield from self._take(found, folder, entries)
        for path in sorted(databases, key=lambda path: (is_corpus(path), path)):
            yield from self._database(path, folder, root_key, entries)
        self._note_elsewhere()
        return entries.part()

    def _note_elsewhere(self) -> None:
        with suppress(InosError):  # what is wrong with it, the node says when it starts
            if load_hub_config(self._root).store != SQLITE:
                self._note(LeftOut(hub_file(self._root), "what a hub keeps in PostgreSQL is backed up there"))

    def _take(self, found: Found | LeftOut, folder: Path, entries: _Entries) -> Iterator[int]:
        if isinstance(found, LeftOut):
            entries.damaged += found.lost
            self._note(found)
            return
        try:
            name, status = found.path.relative_to(folder).as_posix(), found.path.lstat()
            head = (name, status.st_mode & 0o777, status.st_mtime_ns // 10**6)
            if found.kind == FILE:
                with found.path.open("rb") as file:
                    blocks = iter(lambda: file.read(FILE_BLOCK), b"")
                    size, lists = yield from self._send(blocks)
                entries.add(Entry(*head, size, lists))
            else:
                target = os.readlink(found.path) if found.kind == LINK else ""  # noqa: PTH115 - as it is
                entries.add(Entry(*head, 0, kind=found.kind, target=target))
                if found.kind == LINK and folder.name != COMPONENTS:  # whoever made it may count on what is behind it
                    self._note(LeftOut(found.path, "a link is in it, not what it leads to"))
        except OSError as error:
            entries.damaged += 1
            self._note(LeftOut(found.path, error.strerror or str(error), lost=True))

    def _database(self, path: Path, folder: Path, root_key: bytes, entries: _Entries) -> Iterator[int]:
        with ExitStack() as stack:
            try:
                status = path.stat()
                standing = stack.enter_context(standing_still(path, key_of(path, root_key), REAL_FILES))
            except FileNotFoundError:
                return
            except (InosError, OSError) as error:
                entries.damaged += 1
                why = error.message if isinstance(error, InosError) else error.strerror or str(error)
                self._note(LeftOut(path, why, lost=True))
                return
            try:
                size, lists = yield from self._send(_read(standing))
            except _Unreadable as error:
                entries.damaged += 1
                self._note(LeftOut(path, str(error), lost=True))
                return
        self.databases += 1
        name = path.relative_to(folder).as_posix()
        entries.add(Entry(name, status.st_mode & 0o777, status.st_mtime_ns // 10**6, size, lists))

    def _send(self, blocks: Iterator[bytes]) -> Generator[int, None, tuple[int, tuple[bytes, ...]]]:
        """Have the backup hold them; their size and their lists."""
        ids: list[bytes] = []
        size = waiting = 0
        for block in blocks:
            ids.append(self._repository.add_block(block))
            size, waiting = size + len(block), waiting + len(block)
            if not len(ids) % _STEP_BLOCKS:
                yield waiting
                waiting = 0
        yield waiting
        return size, tuple(self._repository.add_block(text) for text in full_lists(ids))

    def _note(self, found: LeftOut) -> None:
        self.left_out += 1
        if len(self.left_out_names) < _NAMES_TOLD:
            name = found.path.relative_to(self._root).as_posix()
            self.left_out_names.append(f"{name}: {found.why}")


class _Unreadable(Exception):
    """A database could not be read to its end: its own trouble, not that of the place it goes to."""


def _read(standing: Standing) -> Iterator[bytes]:
    try:
        yield from standing.blocks(DATABASE_BLOCK)
    except InosError as error:
        raise _Unreadable(error.message) from None


class _Entries:
    """Entries on their way into lists of lines, none longer than need be."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lines = bytearray()
        self._lists: list[bytes] = []
        self._count = self._size = 0
        self.damaged = 0

    def add(self, entry: Entry) -> None:
        self._lines += entry.encode()
        self._count, self._size = self._count + 1, self._size + entry.size
        if len(self._lines) >= _LINES_BYTES:
            self._close()

    def _close(self) -> None:
        if self._lines:
            self._lists.append(self._repository.add_block(bytes(self._lines)))
            self._lines.clear()

    def part(self) -> Part:
        self._close()
        return Part(self._count, self._size, self.damaged, tuple(self._lists))
