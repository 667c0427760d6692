"""`mesh.components`: components of the node, over its API.

report = await mesh.components.install("notes", grant=["api"])   # a folder, a .zip or a .tar.gz
await mesh.components.start(report.component_id)
"""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from inos.client.calls import Calls
from inos.client.http import ConnectionLost, Request, lost
from inos.client.local import file_error, in_thread
from inos.core.components import MAX_PACKAGE_BYTES, ApplicationReport, ComponentReport, LogPart, Removed
from inos.core.errors import BadInput, InosError, TooLarge
from inos.core.reports import from_dict

_BLOCK: Final = 1 << 20
_IN_MEMORY: Final = 8 << 20
# What Python writes beside programs when they run; no part of them.
_LEFT_OUT: Final = frozenset(("__pycache__", ".git"))


@dataclass(frozen=True, slots=True)
class _Components:
    components: tuple[ComponentReport, ...]


@dataclass(frozen=True, slots=True)
class _Applications:
    applications: tuple[ApplicationReport, ...]


class Components:
    """Components of one node. Every failure is an InosError."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def install(self, package: str | os.PathLike[str], *, grant: Sequence[str] = ()) -> ComponentReport:
        """Install a folder, a .zip or a .tar.gz of this machine; `grant` is what the component may use of what its
        manifest asks for."""
        async with aclosing(package_blocks(package)) as blocks:
            query = {"grant": ",".join(grant)} if grant else None
            request = Request("PUT", "/v1/components", query, {"content-type": "application/octet-stream"}, blocks)
            try:
                async with self._calls.response(request) as response:
                    return from_dict(ComponentReport, await response.json())
            except ConnectionLost as error:
                raise lost(error) from None

    async def install_from(self, target: str, *, grant: Sequence[str] = ()) -> ComponentReport:
        """Install a package that is an object, by its reference or name."""
        return await self._calls.post(ComponentReport, "/v1/components", {"target": target, "grant": list(grant)})

    async def list(self) -> tuple[ComponentReport, ...]:
        """All installed components, by id."""
        return (await self._calls.get(_Components, "/v1/components")).components

    async def get(self, component_id: str) -> ComponentReport:
        """One of them. NotFound."""
        return await self._calls.get(ComponentReport, _path(component_id))

    async def start(self, component_id: str) -> ComponentReport:
        """Run it, now and whenever the node starts; `status` says what became of it."""
        return await self._calls.post(ComponentReport, _path(component_id, "/start"), {})

    async def stop(self, component_id: str) -> ComponentReport:
        """Have it stopped, now and when the node starts."""
        return await self._calls.post(ComponentReport, _path(component_id, "/stop"), {})

    async def restart(self, component_id: str) -> ComponentReport:
        """Stop it where it runs, and start it."""
        return await self._calls.post(ComponentReport, _path(component_id, "/restart"), {})

    async def log(self, component_id: str, after: str = "", limit: int = 16 << 10) -> LogPart:
        """What it said: the last `limit` bytes, or what comes behind the `next` of a part."""
        query = {"limit": str(limit)} | ({"after": after} if after else {})
        return await self._calls.get(LogPart, _path(component_id, "/log"), query)

    async def remove(self, component_id: str) -> Removed:
        """Stop it and remove it, with its log and its data of all versions."""
        return await self._calls.report(Removed, Request("DELETE", _path(component_id)))

    async def applications(self) -> tuple[ApplicationReport, ...]:
        """All applications, by id."""
        return (await self._calls.get(_Applications, "/v1/applications")).applications

    async def start_application(self, application_id: str) -> tuple[ComponentReport, ...]:
        """Start all components of an application."""
        path = _path(application_id, "/start", "applications")
        return (await self._calls.post(_Components, path, {})).components

    async def stop_application(self, application_id: str) -> tuple[ComponentReport, ...]:
        """Stop them all."""
        path = _path(application_id, "/stop", "applications")
        return (await self._calls.post(_Components, path, {})).components


def _path(name: str, what: str = "", kind: str = "components") -> str:
    if not name:
        raise BadInput("the id is missing", hint="inos component list")
    return f"/v1/{kind}/{quote(name, safe='')}{what}"


def _opened(path: Path) -> IO[bytes]:
    """The package that `path` is, or one made of the folder that it is. Blocks."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _packed(path)
        if not stat.S_ISREG(mode):  # opening a pipe would wait for its writer
            raise BadInput(f"{path} is no ordinary file", hint="give a package or the folder of a component")
        file = path.open("rb")
    except OSError as error:
        raise file_error(path, error) from None
    if os.fstat(file.fileno()).st_size > MAX_PACKAGE_BYTES:
        file.close()
        raise TooLarge(f"a package has at most {MAX_PACKAGE_BYTES} bytes", hint="put data into objects")
    return file


def _packed(folder: Path) -> IO[bytes]:
    package = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by whoever sends it
    try:
        with tarfile.open(fileobj=package, mode="w:gz", compresslevel=1) as tar:
            for path in _files(folder):
                _add(tar, path, path.relative_to(folder).as_posix())
    except OSError as error:
        package.close()
        raise file_error(folder, error) from None
    except InosError:
        package.close()
        raise
    package.seek(0)
    return package


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    info = tar.gettarinfo(path, name)
    info.type, info.linkname = tarfile.REGTYPE, ""  # a second name of a file is a file of its own here
    info.size = path.stat().st_size
    with path.open("rb") as file:
        tar.addfile(info, file)


def _files(folder: Path) -> list[Path]:
    """The files below a folder, in order. Raises BadInput for a link and whatever else a package cannot have."""
    found: list[Path] = []
    size = 0
    for base, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(set(folders) - _LEFT_OUT)
        for path in (Path(base, name) for name in (*folders, *sorted(names))):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode):
                raise BadInput(
                    f"{path} is a link or no ordinary file", hint="put the file itself there, or leave it out"
                )
            size += status.st_size
            if size > 4 * MAX_PACKAGE_BYTES:
                raise TooLarge(f"{folder} is too large for a package", hint="put data into objects")
            found.append(path)
    return found


def _raise(error: OSError) -> None:
    raise error


async def package_blocks(package: str | os.PathLike[str]) -> AsyncGenerator[bytes, None]:
    """The bytes of a package of this machine, packed first where it is a folder. Raises BadInput, TooLarge."""
    file = await in_thread(_opened, Path(package))
    try:
        while block := await in_thread(file.read, _BLOCK):
            yield block
    finally:
        file.close()
