"""Places at a URL, through fsspec: whatever file system it has a driver for.

Names are hashes of fresh bytes, so two writers never meet in one file. Pruning must be alone, though, and no lock holds
over all such places; so whoever writes or prunes leaves a mark in `locks/`, looks for marks of others after that, and
renews its own. A mark that was not renewed for STALE_S is one of somebody who was killed. Who finds that it stood still
for as long itself must give up, because others may have gone on.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from inos.backup.place import FolderPlace, Place, Use
from inos.core.env import Env
from inos.core.errors import BadInput, InosError, Locked, NotFound, Refused, StorageFull, Unavailable
from inos.store.disk_errors import NO_ROOM

_SPARE: Final = ".part"
_FILE: Final = "file://"
_MEMORY: Final = "memory:"
LOCKS: Final = "locks"
# Longer than one pack takes on a line of 10 KB/s; who was killed is in the way of others for that long.
STALE_S: Final = 1800.0
_RENEW_S: Final = 60.0


def place_at(text: str, env: Env) -> Place:
    """The place that a path or a URL names. Raises BadInput for a URL without a driver."""
    if text.startswith(_FILE):
        return FolderPlace(Path(text.removeprefix(_FILE)))
    if "://" not in text:
        return FolderPlace(Path(text).expanduser().absolute())
    if any(part.startswith(_MEMORY) for part in text.split("::")):
        raise BadInput(f"{_MEMORY}// is gone when this process ends", hint="give a folder, or a URL of what stays")
    try:
        system, path = fsspec.core.url_to_fs(text)
    except (ValueError, ImportError, OSError) as error:
        raise BadInput(f"cannot use {text.partition('://')[0]}:// as a place: {error}", hint="give a folder") from None
    return UrlPlace(system, path.rstrip("/"), env)


def refuse_below(root: Path, text: str, env: Env, *, but: str | None = None) -> None:
    """Raises BadInput for a place in the data root `root`: it would hold itself, and be lost with it. The folder `but`
    of it is none."""
    place = place_at(text, env)
    if place.local is None:
        return
    folder, root = place.local.resolve(), root.resolve()
    if folder.is_relative_to(root) and (but is None or folder != root / but):
        raise BadInput(f"{folder} is in the data root that is backed up", hint="name a folder on another disk")


class UrlPlace:
    """Files below `path` of an fsspec file system."""

    def __init__(self, system: Any, path: str, env: Env) -> None:
        self._system = system
        self._path = path
        self._env = env
        self._mark = ""
        self._renewed_s = 0.0

    @property
    def local(self) -> Path | None:
        """Its folder, where it is on this machine after all."""
        return Path(self._path) if isinstance(self._system, LocalFileSystem) else None

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
        self._renew()
        path = f"{self._path}/{name}"
        with _translated(path):
            return bytes(self._system.cat_file(path, start=start, end=None if size is None else start + size))

    def write(self, name: str, data: bytes) -> None:
        self._renew()
        self._write(name, data)

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._renew()
            with suppress(NotFound), _translated(f"{self._path}/{name}"):
                self._system.rm_file(f"{self._path}/{name}")

    def _write(self, name: str, data: bytes) -> None:
        path = f"{self._path}/{name}"
        with _translated(path):
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(path + _SPARE, data)
            self._system.mv(path + _SPARE, path)

    @contextmanager
    def lock(self, use: Use) -> Generator[None]:
        """Readers leave no mark: a prune beside them makes them fail, and what they wanted is gone or there."""
        if use is Use.READ:
            yield
            return
        self._mark, self._renewed_s = f"{LOCKS}/{use.value}-{self._env.token_bytes(16).hex()}", self._env.now_s()
        try:
            self._write(self._mark, str(int(self._renewed_s)).encode())
            self._refuse_others(use)
            yield
            self._renew(now=True)
        finally:
            mark, self._mark = self._mark, ""
            with suppress(InosError):  # it is stale in a while
                self.remove([mark])

    def _refuse_others(self, use: Use) -> None:
        for name in self.names(LOCKS):
            both_write = use is Use.WRITE and not name.startswith(f"{LOCKS}/{Use.PRUNE.value}")
            if name == self._mark or both_write:
                continue
            try:
                renewed_s = self.read(name)
            except NotFound:
                continue
            if renewed_s.isdigit() and self._env.now_s() - int(renewed_s) > STALE_S:
                self.remove([name])
                continue
            raise Locked(
                f"somebody else is at work on this backup, or was killed less than {STALE_S / 60:.0f} minutes ago",
                hint=f"wait until it has finished; if nobody is, remove {name} there",
            )

    def _renew(self, *, now: bool = False) -> None:
        """Also at the end: clocks may differ, and whoever took this work for dead has removed its mark."""
        if not self._mark:
            return
        still_s = self._env.now_s() - self._renewed_s
        if still_s <= _RENEW_S and not now:
            return
        with _translated(self._mark):
            there = self._system.exists(f"{self._path}/{self._mark}")
        if still_s > STALE_S or not there:
            raise Locked("the work on this backup stood still for too long for others to wait", hint="run it again")
        self._renewed_s = self._env.now_s()
        self._write(self._mark, str(int(self._renewed_s)).encode())


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
