"""The shelf: what of components lies in the data root. Everything here blocks.

    components/<id>/<version>/code/   the package, never changed; known by the hash of all its files
    components/<id>/<version>/data/   what the component writes, kept until it is removed
    components/<id>/log, log.1        what it said
    components/<id>/lock              held by the process that runs it
    components/<id>/removed           it is being removed: once its row is gone, the rest goes too
    components/.new/                  packages being unpacked; emptied at start

A version is there when its `code` folder is: it gets that name by one rename, of files that are synced. The row of the
component is written after that, so a crash leaves the old version in use, and at worst a folder that nobody uses: it
goes at the next start (`tidy`), unless something was written there and nobody said that it may go.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inos.components.manifest import MAX_MANIFEST_BYTES, Manifest, is_module, parse_manifest
from inos.components.package import unpack
from inos.core.components import MANIFEST_NAME, MAX_PACKAGE_BYTES
from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, Corrupt, NotFound, TooLarge
from inos.crypto.hashing import ContentHasher
from inos.store.files import sync_folder, write_all
from inos.store.private_files import explained, make_private_folder, write_private

FOLDER: Final = "components"
UNPACKING: Final = ".new"
_PACKAGE: Final = "package"
_UNPACKED: Final = "unpacked"
_CODE: Final = "code"
_DATA: Final = "data"
_LOG: Final = "log"
_LOCK: Final = "lock"
_REMOVED: Final = "removed"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FileHash:
    """One file of a package: its size and its BLAKE3."""

    size_bytes: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Code:
    """The files of an unpacked package by their names, and the hash over all of them."""

    folder: Path
    files: dict[str, FileHash]

    @property
    def digest(self) -> str:
        """Hash of names, sizes and contents, in hexadecimal: the same for the same files, however they were packed."""
        hasher = ContentHasher()
        for name, file in sorted(self.files.items()):
            hasher.update(b"%d %s %d " % (len(name.encode()), name.encode(), file.size_bytes) + file.digest)
        return hasher.digest().hex()


class Incoming:
    """A package on its way in, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._size_bytes = 0
        with explained("write", folder):
            self._file = os.open(folder / _PACKAGE, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, data: bytes) -> None:
        """Take more of it. Raises TooLarge, StorageFull."""
        self._size_bytes += len(data)
        if self._size_bytes > MAX_PACKAGE_BYTES:
            raise TooLarge(f"a package has at most {MAX_PACKAGE_BYTES} bytes", hint="put data into objects")
        with explained("write", self.folder / _PACKAGE):
            write_all(self._file, data)

    def close(self) -> None:
        """Nothing more is written."""
        os.close(self._file)

    def unpacked(self) -> tuple[Manifest, Code]:
        """Unpack what was written and read its manifest. Raises BadInput, StorageFull."""
        target = self.folder / _UNPACKED
        with explained("unpack the package into", target):
            target.mkdir(mode=0o700)
            os.lseek(self._file, 0, os.SEEK_SET)
            with os.fdopen(os.dup(self._file), "rb") as archive:
                unpack(archive, target)
            top = _top(target)
            _sync_folders(top)
            code = hashed(top)
            with (top / MANIFEST_NAME).open("rb") as file:
                manifest = parse_manifest(file.read(MAX_MANIFEST_BYTES + 1))
        _refuse_without_entry(manifest, code)
        return manifest, code


class Shelf:
    """The components below one data root."""

    def __init__(self, root: Path, env: Env) -> None:
        self._path = root / FOLDER
        self._env = env

    def log(self, component_id: str) -> Path:
        """Where what it says is written."""
        return self._path / component_id / _LOG

    def lock(self, component_id: str) -> Path:
        """What the process that runs it holds."""
        return self._path / component_id / _LOCK

    def code(self, component_id: str, version: str) -> Path:
        """The files of a version."""
        return self._path / component_id / version / _CODE

    def data(self, component_id: str, version: str) -> Path:
        """Where that version may write."""
        return self._path / component_id / version / _DATA

    def make_data(self, component_id: str, version: str) -> None:
        """Make sure that folder is there: a backup brings back files, not folders that were empty."""
        make_private_folder(self.data(component_id, version))

    def clear(self) -> None:
        """Remove what installations that were cut off have left."""
        with explained("remove", self._path / UNPACKING):
            _remove_tree(self._path / UNPACKING)

    def tidy(self, known: Mapping[str, Collection[str] | None]) -> tuple[str, ...]:
        """Remove what installations and removals left that were cut off; the names of what went. `known` is what rows
        say: the components there are, and the versions of each, None where that cannot be told."""
        gone = []
        with explained("tidy", self._path):
            for component_id in _folders_in(self._path):
                folder = self._path / component_id
                if component_id not in known:
                    if (folder / _REMOVED).exists() or not any(map(_wrote, _version_folders(folder))):
                        self.remove(component_id)
                        gone.append(component_id)
                    continue
                (folder / _REMOVED).unlink(missing_ok=True)
                if (versions := known[component_id]) is not None:
                    gone += [
                        f"{component_id} {each.name}"
                        for each in _version_folders(folder)
                        if each.name not in versions and not _wrote(each) and self._discard(each)
                    ]
        return tuple(gone)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A place for a package; what is still in it at the end goes."""
        folder = self._path / UNPACKING / self._env.token_bytes(8).hex()
        make_private_folder(folder)
        try:
            package = Incoming(folder)
            try:
                yield package
            finally:
                package.close()
        finally:
            with suppress(OSError):
                _remove_tree(folder)

    def place(self, manifest: Manifest, code: Code, recorded: str | None) -> None:
        """Put an unpacked package where its version belongs. `recorded` is the hash that the component's row knows for
        this version: where a folder is there with another, it is damaged, or nobody's. Raises Conflict when the version
        is known with other content, StorageFull."""
        if recorded not in (None, code.digest):
            raise Conflict(
                f"{manifest.id} {manifest.version} is installed already, with other content",
                hint="give what changed another version",
            )
        final = self.code(manifest.id, manifest.version)
        make_private_folder(final.parent)
        make_private_folder(final.parent / _DATA)
        with explained("install", final):
            if final.exists():
                if _intact(final, code.digest):
                    return
                final.rename(self._path / UNPACKING / f"damaged-{self._env.token_bytes(8).hex()}")
            code.folder.rename(final)
            sync_folder(final.parent)

    def verified(self, component_id: str, version: str, digest: str) -> Code:
        """The files of a version, compared with their hash. Raises Corrupt, NotFound."""
        folder = self.code(component_id, version)
        with explained("read", folder):
            if not folder.is_dir():
                raise NotFound(f"the code of {component_id} {version} is gone", hint="install it again")
            code = hashed(folder)
        if code.digest != digest:
            raise Corrupt(f"the code of {component_id} {version} is damaged or was changed", hint="install it again")
        return code

    def versions(self, component_id: str) -> tuple[str, ...]:
        """The versions whose data is kept."""
        with suppress(FileNotFoundError), os.scandir(self._path / component_id) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False)))
        return ()

    def condemn(self, component_id: str) -> None:
        """Note that everything of a component goes with its row. Follow with `remove`."""
        if (self._path / component_id).is_dir():
            write_private(self._path / component_id / _REMOVED, b"")

    def remove(self, component_id: str) -> None:
        """Everything of a component: moved out of the way at once, then deleted."""
        folder = self._path / component_id
        with explained("remove", folder), suppress(FileNotFoundError):
            self._discard(folder)

    def _discard(self, folder: Path) -> bool:
        gone = self._path / UNPACKING / f"gone-{self._env.token_bytes(8).hex()}"
        make_private_folder(gone.parent)
        folder.rename(gone)
        sync_folder(folder.parent)
        _remove_tree(gone)
        return True


def hashed(folder: Path) -> Code:
    """The files below `folder`. Raises OSError, and Corrupt for a link or anything else that is no ordinary file."""
    files: dict[str, FileHash] = {}
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                elif entry.is_file(follow_symlinks=False):
                    files[path.relative_to(folder).as_posix()] = _hash_file(path)
                else:
                    raise Corrupt(f"{path} is no ordinary file", hint="install the component again")
    return Code(folder, files)


def _hash_file(path: Path) -> FileHash:
    hasher, size = ContentHasher(), 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
            size += len(block)
    return FileHash(size, hasher.digest())


def _top(folder: Path) -> Path:
    """Where the manifest is: at the top, or in the one folder that is there, as `tar` of a folder makes it."""
    if (folder / MANIFEST_NAME).is_file():
        return folder
    below = list(folder.iterdir())
    if len(below) == 1 and (below[0] / MANIFEST_NAME).is_file():
        return below[0]
    raise BadInput(
        f"the package has no {MANIFEST_NAME}", hint=f"{MANIFEST_NAME} stands at its top; see docs/components.md"
    )


def _refuse_without_entry(manifest: Manifest, code: Code) -> None:
    if is_module(manifest.entry):
        stem = manifest.entry.partition(":")[0].replace(".", "/")
        found = f"{stem}.py" in code.files or f"{stem}/__init__.py" in code.files
    else:
        found = manifest.entry in code.files
    if not found:
        raise BadInput(f"{MANIFEST_NAME}: entry {manifest.entry!r} is not in the package", hint="name a file of it")


def _intact(folder: Path, digest: str) -> bool:
    try:
        return hashed(folder).digest == digest
    except (Corrupt, OSError):
        return False


def _sync_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top):
        sync_folder(Path(folder))


def _folders_in(path: Path) -> list[str]:
    with suppress(FileNotFoundError), os.scandir(path) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name != UNPACKING
        )
    return []


def _version_folders(folder: Path) -> list[Path]:
    return [folder / name for name in _folders_in(folder)]


def _wrote(version: Path) -> bool:
    """Whether a version has left anything in its data folder."""
    with suppress(FileNotFoundError), os.scandir(version / _DATA) as entries:
        return any(entries)
    return False


def _remove_tree(path: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path)
