"""Packages: a .zip or .tar.gz from anywhere, unpacked into an empty folder of ours, or refused.

Nothing of an archive is believed: names, kinds and sizes are checked before a byte is written, and what it unpacks to
is counted as it comes. Only regular files are taken, never links, and each is made anew below the folder.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final

from inos.core.errors import BadInput
from inos.store.files import sync_data, write_all

MAX_FILES: Final = 4096
MAX_UNPACKED_BYTES: Final = 256 << 20
# Served from memory where it belongs to a front end.
MAX_FILE_BYTES: Final = 64 << 20
MAX_DEPTH: Final = 16
MAX_NAME_BYTES: Final = 255
# A header for each file, its name twice at its longest.
_MAX_HEADERS: Final = MAX_FILES * 1024
_BLOCK: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_END_BYTES: Final = 22
_ZIP64_LOCATOR: Final = b"PK\x06\x07"
_MAX_COMMENT: Final = 1 << 16
_ENCRYPTED: Final = 1

Entry = tuple[str, IO[bytes]]


def unpack(archive: BinaryIO, folder: Path) -> None:
    """Write the files of `archive` below `folder`, which is empty, synced. BadInput where it is no sound package; what
    was written by then is the caller's to remove."""
    start = archive.read(4)
    archive.seek(0)
    with _understood():
        if start.startswith(_GZIP):
            entries = _tar_entries(archive)
        elif start == _ZIP:
            entries = _zip_entries(archive)
        else:
            raise BadInput("the package is no .zip or .tar.gz", hint="give a folder, a .zip or a .tar.gz")
        _write_all(entries, folder)


def parse_package(data: bytes, write: Callable[[str, bytes], None]) -> None:
    """As `unpack`, into the function `write`."""
    archive = io.BytesIO(data)
    with _understood():
        entries = _tar_entries(archive) if data.startswith(_GZIP) else _zip_entries(archive)
        names = Names()
        budget = [MAX_UNPACKED_BYTES]
        for name, content in entries:
            names.take(name)
            write(name, b"".join(_bounded(name, content, budget)))


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except (
        tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, struct.error,
        EOFError, ValueError, OverflowError, NotImplementedError, RuntimeError, IndexError,
    ) as error:  # fmt: skip
        text = str(error).encode("ascii", "backslashreplace").decode()[:200]
        raise BadInput(f"the package is damaged: {text}", hint="make it anew") from None


class Names:
    """The names of the files of one package: each within it, each once, none a folder of another."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def take(self, name: str) -> None:
        """Raises BadInput unless a file may have this name beside the others."""
        if len(self._files) >= MAX_FILES:
            raise BadInput(f"the package has more than {MAX_FILES} files", hint="put data into objects, not packages")
        parts = name.split("/")
        if wrong := _wrong(name, parts):
            shown = name[:100].encode("ascii", "backslashreplace").decode()
            raise BadInput(f"the package has a file called '{shown}': {wrong}", hint="names are paths within it")
        # As a file system that tells neither case nor composition apart sees them, so that it unpacks alike anywhere.
        folded = unicodedata.normalize("NFC", name).casefold()
        above = {folded[:at] for at, letter in enumerate(folded) if letter == "/"}
        if folded in self._files | self._folders or above & self._files:
            raise BadInput(f"the package has two files called '{name[:100]}'", hint="case does not tell them apart")
        self._files.add(folded)
        self._folders |= above


def _wrong(name: str, parts: list[str]) -> str:
    if "\\" in name or any(ord(each) < 32 or ord(each) == 127 for each in name):
        return "it holds a backslash or a control character"
    if any(0xD800 <= ord(each) < 0xE000 for each in name):
        return "it is no UTF-8"
    if any(part in ("", ".", "..") for part in parts):
        return "it leads out of the package"
    if len(parts) > MAX_DEPTH or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return f"it is longer than {MAX_NAME_BYTES} bytes or deeper than {MAX_DEPTH} folders"
    return ""


def _write_all(entries: Iterator[Entry], folder: Path) -> None:
    names = Names()
    budget = [MAX_UNPACKED_BYTES]
    for name, content in entries:
        names.take(name)
        path = folder / name
        for above in reversed(path.relative_to(folder).parents):
            (folder / above).mkdir(exist_ok=True, mode=0o700)  # the mode of `parents=True` is another
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            for block in _bounded(name, content, budget):
                write_all(descriptor, block)
            sync_data(descriptor)
        finally:
            os.close(descriptor)


def _bounded(name: str, content: IO[bytes], budget: list[int]) -> Iterator[bytes]:
    size = 0
    while block := content.read(_BLOCK):
        size += len(block)
        budget[0] -= len(block)
        if size > MAX_FILE_BYTES or budget[0] < 0:
            limit = f"{MAX_FILE_BYTES >> 20} MiB a file, {MAX_UNPACKED_BYTES >> 20} MiB in all"
            raise BadInput(f"the package is too large at '{name[:100]}'", hint=f"at most {limit}")
        yield block


def _tar_entries(archive: BinaryIO) -> Iterator[Entry]:
    # A header may announce gigabytes of names, which tarfile reads at once: the stream ends before that.
    limited = _Limited(gzip.GzipFile(fileobj=archive), MAX_UNPACKED_BYTES + _MAX_HEADERS * 2)
    with tarfile.open(fileobj=limited, mode="r|", errors="surrogateescape") as tar:
        for count, member in enumerate(tar):
            if count > 2 * MAX_FILES:
                raise BadInput(f"the package has more than {MAX_FILES} files and folders")
            name = member.name.removeprefix("./")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise BadInput(f"'{_shown(name)}' is a link or no ordinary file", hint="packages hold ordinary files")
            content = tar.extractfile(member)
            assert content is not None
            yield name, content


def _zip_entries(archive: BinaryIO) -> Iterator[Entry]:
    _refuse_large_directory(archive)
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.is_dir():
                continue
            kind = info.external_attr >> 28  # the top of a Unix mode; 0 where another system made it
            if kind not in (0, 0o10):
                raise BadInput(
                    f"'{_shown(info.filename)}' is a link or no ordinary file", hint="packages hold ordinary files"
                )
            if info.flag_bits & _ENCRYPTED:
                raise BadInput(f"'{_shown(info.filename)}' is encrypted", hint="make the package without a password")
            with file.open(info) as content:
                yield info.filename, content


def _refuse_large_directory(archive: BinaryIO) -> None:
    """`zipfile` reads all headers at once: their size is looked at first, wherever it may find them announced."""
    size = archive.seek(0, os.SEEK_END)
    archive.seek(max(0, size - _ZIP_END_BYTES - _MAX_COMMENT - 64))
    tail = archive.read()
    archive.seek(0)
    if _ZIP64_LOCATOR in tail:
        raise BadInput("the package is a zip of more than 4 GB or 65,535 files", hint="make a smaller one")
    at = tail.find(_ZIP_END)
    while at >= 0:
        if int.from_bytes(tail[at + 12 : at + 16], "little") > _MAX_HEADERS:
            raise BadInput(f"the package has more than {MAX_FILES} files", hint="put data into objects, not packages")
        at = tail.find(_ZIP_END, at + 1)


def _shown(name: str) -> str:
    return name[:100].encode("ascii", "backslashreplace").decode()


class _Limited(io.RawIOBase):
    """A stream that is an error beyond its limit."""

    def __init__(self, inner: gzip.GzipFile, limit: int) -> None:
        self._inner = inner
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(min(size, _BLOCK) if size >= 0 else _BLOCK)
        self._left -= len(data)
        if self._left < 0:
            raise BadInput(
                f"the package unpacks to over {MAX_UNPACKED_BYTES >> 20} MiB",
                hint="put data into objects, not packages",
            )
        return data
