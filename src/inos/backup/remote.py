"""Places at a URL, through fsspec: whatever file system it has a driver for.

There is no lock that would hold over all of them, and none is needed: names are hashes of fresh bytes, so two writers
never meet in one file.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import fsspec

from inos.backup.place import FolderPlace, Place
from inos.core.errors import BadInput, NotFound, Refused, StorageFull, Unavailable
from inos.store.disk_errors import NO_ROOM

_SPARE: Final = ".part"
_FILE: Final = "file://"


def place_at(text: str) -> Place:
    """The place that a path or a URL names. Raises BadInput for a URL without a driver."""
    if text.startswith(_FILE):
        return FolderPlace(Path(text.removeprefix(_FILE)))
    if "://" not in text:
        return FolderPlace(Path(text).expanduser().absolute())
    try:
        system, path = fsspec.core.url_to_fs(text)
    except (ValueError, ImportError, OSError) as error:
        raise BadInput(f"cannot use {text.partition('://')[0]}:// as a place: {error}", hint="give a folder") from None
    return UrlPlace(system, path.rstrip("/"))


class UrlPlace:
    """Files below `path` of an fsspec file system."""

    def __init__(self, system: Any, path: str) -> None:
        self._system = system
        self._path = path

    def names(self, folder: str) -> Mapping[str, int]:
        start = f"{self._path}/{folder}"
        with _translated(start):
            self._system.invalidate_cache()
            try:
                found = self._system.find(start, detail=True)
            except FileNotFoundError:
                return {}
        skip = len(self._path.lstrip("/")) + 1
        plain = {name.lstrip("/")[skip:]: info for name, info in found.items() if not name.endswith(_SPARE)}
        return {name: int(info.get("size") or 0) for name, info in plain.items()}

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        path = f"{self._path}/{name}"
        with _translated(path):
            return bytes(self._system.cat_file(path, start=start, end=None if size is None else start + size))

    def write(self, name: str, data: bytes) -> None:
        path = f"{self._path}/{name}"
        with _translated(path):
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(path + _SPARE, data)
            self._system.mv(path + _SPARE, path)

    @contextmanager
    def lock(self, *, alone: bool) -> Generator[None]:
        del alone
        yield


@contextmanager
def _translated(path: str) -> Generator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"there is no {path}", hint="check the URL of the backup") from None
    except PermissionError as error:
        raise Refused(f"{path} may not be used: {error}", hint="check the credentials for that place") from None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull(f"no room for {path}", hint="free some space there and run it again") from None
        raise Unavailable(f"{path} cannot be reached: {error}", hint="check the connection and run it again") from None
