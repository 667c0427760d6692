"""Places: where a backup lies. The seam, and the folder of this machine; URLs are `remote.py`'s."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from inos.core.errors import BadInput, Locked, NotFound
from inos.store.filesystem import REAL_FILES
from inos.store.private_files import explained, make_private_folder, remove_folders

LOCK: Final = "lock"
_SPARE: Final = ".part"
# What a writer that was killed leaves, and nothing of anybody else's (docs/format.md).
_HALF: Final = re.compile(r"(inos-backup|(packs/[0-9a-f]{2}|index|snapshots)/[0-9a-f]{64})\.part")


class Use(Enum):
    """What somebody is about to do with a place."""

    READ = "read"
    WRITE = "write"
    PRUNE = "prune"


class Place(Protocol):
    """Files by name ("packs/ab/…"), few and large. Raises InosErrors: NotFound, Refused, StorageFull, Unavailable."""

    @property
    def local(self) -> Path | None:
        """The folder of this machine in which the files are, if they are in one."""

    def names(self, folder: str) -> Mapping[str, int]:
        """Name and size in bytes of every whole file below `folder`; none when there is no such folder."""

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """Bytes [start, start + size) of a file, or all from `start`; fewer where the file ends."""

    def write(self, name: str, data: bytes) -> None:
        """A new file, whole and as safe as the place can make it when this returns."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, which need not be there; safely gone when this returns, as far as the place can make it."""

    def lock(self, use: Use) -> AbstractContextManager[None]:
        """Keep away meanwhile whoever would be in the way: nobody is at work on a place that is pruned, and nobody
        prunes one that is written to. Raises Locked at once."""


class FolderPlace:
    """A folder of this machine: every write is synced and then renamed into place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self, folder: str) -> Mapping[str, int]:
        found: dict[str, int] = {}
        with explained("look into", self._folder / folder):
            for path, _, files in os.walk(self._folder / folder):
                for name in files:
                    whole = Path(path, name)
                    if not self._is_half(whole):
                        found[whole.relative_to(self._folder).as_posix()] = whole.stat().st_size
        return found

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        path = self._folder / name
        with explained("read", path), path.open("rb") as file:
            file.seek(start)
            return file.read(-1 if size is None else size)

    def write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        if not path.parent.is_dir():  # what is there keeps its mode: it may be somebody else's
            make_private_folder(path.parent)
        spare = path.with_name(path.name + _SPARE)
        with explained("write", path):
            try:
                REAL_FILES.write_synced([(spare, data)])
                spare.replace(path)
            except OSError:
                with suppress(OSError):
                    spare.unlink(missing_ok=True)
                raise
            REAL_FILES.sync_folder(path.parent)

    def remove(self, names: Sequence[str]) -> None:
        folders = set()
        for name in names:
            path = self._folder / name
            with explained("remove", path):
                path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in sorted(folders):
            with explained("sync", folder):
                REAL_FILES.sync_folder(folder)

    @contextmanager
    def lock(self, use: Use) -> Generator[None]:
        """Writers are alone too."""
        alone = use is not Use.READ
        path = self._folder / LOCK
        if not self._folder.is_dir():
            if use is not Use.WRITE:
                raise NotFound(f"there is no folder {self._folder}", hint="check the path of the backup")
            if self._folder.exists():
                raise BadInput(f"{self._folder} is not a folder", hint="name a folder to keep the backup in")
        if not alone and not path.exists():  # perhaps a medium that nobody can write to
            yield
            return
        made = [] if self._folder.is_dir() else make_private_folder(self._folder)
        with explained("lock", path):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT if alone else os.O_RDONLY, 0o600)
            except OSError:
                remove_folders(made)
                raise
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise Locked(
                    f"another process is at work on the backup in {self._folder}", hint="wait until it has finished"
                ) from None
        try:
            if alone:
                self._remove_halves()
            yield
        except BaseException:
            if alone:
                self._leave_nothing(made)
            raise
        finally:
            os.close(descriptor)

    def _leave_nothing(self, made: list[Path]) -> None:
        """Of what was refused before it began: no lock where nothing else is, and none of the folders `made`."""
        with suppress(OSError):
            if [path.name for path in self._folder.iterdir()] == [LOCK]:
                (self._folder / LOCK).unlink()
        remove_folders(made)

    @property
    def local(self) -> Path | None:
        """Its folder."""
        return self._folder

    def _remove_halves(self) -> None:
        """What a writer that was killed was writing."""
        with explained("tidy", self._folder):
            for path, _, files in os.walk(self._folder):
                for half in filter(self._is_half, (Path(path, name) for name in files)):
                    half.unlink()

    def _is_half(self, path: Path) -> bool:
        return _HALF.fullmatch(path.relative_to(self._folder).as_posix()) is not None
