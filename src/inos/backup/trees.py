"""Entries back into files, links and folders, below one folder that nobody else uses yet.

Links come after everything else, so that nothing is ever written through one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from inos.backup.entries import FILE, LINK, Entry, entries_in
from inos.backup.gathering import FILE_BLOCK
from inos.backup.lists import ids_in
from inos.backup.repository import Repository
from inos.backup.snapshot import Part
from inos.core.errors import Corrupt
from inos.store.filesystem import REAL_FILES
from inos.store.private_files import explained


def entries_of(repository: Repository, part: Part) -> Iterator[Entry]:
    """The entries in the lists of a part, in order. Raises Corrupt."""
    for each in part.lists:
        yield from entries_in(repository.block(each))


def write_tree(repository: Repository, part: Part, base: Path, modes: int) -> Iterator[int]:
    """All of a part below `base`, synced; of their modes the bits in `modes`. Bytes written, file by file. Raises
    Corrupt, and what a disk raises."""
    for entry in entries_of(repository, part):
        if entry.kind != LINK:
            yield from _write(repository, entry, base, modes)
    for entry in entries_of(repository, part):
        if entry.kind == LINK:
            path = _place(base, entry)
            with explained("make the link", path):
                path.symlink_to(entry.target)
                with suppress(NotImplementedError):
                    os.utime(path, ns=(entry.modified_ms * 10**6,) * 2, follow_symlinks=False)
    with explained("sync", base):
        for folder in folders_below(base):
            REAL_FILES.sync_folder(folder)


def _write(repository: Repository, entry: Entry, base: Path, modes: int) -> Iterator[int]:
    path = _place(base, entry)
    if entry.kind != FILE:
        with explained("make", path):
            path.mkdir(mode=0o700, exist_ok=True)
            path.chmod(entry.mode & modes | 0o700)
        return
    yield from write_file(repository, entry, path, entry.mode & modes)


def _place(base: Path, entry: Entry) -> Path:
    path = base / entry.path
    with explained("make", path.parent):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(base.resolve()):
            raise Corrupt("a file in the backup leads outside its folder", hint="see: inos backup check")
    return path


def write_file(repository: Repository, entry: Entry, path: Path, mode: int = 0o600) -> Iterator[int]:
    """A file as it was, at `path`, synced; bytes written, now and then. Raises Corrupt."""
    with explained("write", path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    written = 0
    with os.fdopen(descriptor, "wb") as file:
        for each in entry.lists:
            for piece in ids_in(repository.block(each)):
                block = repository.block(piece)[:FILE_BLOCK]
                with explained("write", path):
                    file.write(block)
                written += len(block)
                yield len(block)
        with explained("write", path):
            file.flush()
            os.fchmod(descriptor, mode)
            os.utime(descriptor, ns=(entry.modified_ms * 10**6,) * 2)
            os.fsync(descriptor)
    if written != entry.size:
        raise Corrupt(f"{path.name} in the backup is not as long as it was", hint="see: inos backup check")


def content_of(repository: Repository, entry: Entry, most_bytes: int) -> bytes:
    """The content of a small file. Raises Corrupt for one that is larger than `most_bytes`."""
    if entry.size > most_bytes:
        raise Corrupt(f"{entry.path} in the backup is larger than the {most_bytes} bytes it may have")
    blocks = (repository.block(piece) for each in entry.lists for piece in ids_in(repository.block(each)))
    return b"".join(blocks)


def folders_below(base: Path) -> Iterator[Path]:
    """`base` and every folder below it, links left alone."""
    if base.is_dir():
        for folder, _, _ in os.walk(base):
            yield Path(folder)
