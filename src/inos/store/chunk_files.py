"""Chunk files: blobs/<2 hex>/<64 hex>.enc, written so that a name in blobs/ always stands for synced bytes.

Write order of a batch: bytes to staging/ -> bytes synced -> renamed into blobs/ -> folders synced. A crash leaves
files in staging/, which are deleted at the next start, or whole files without a row, which the orphan sweep adopts.
This module knows files only; the index is `chunk_index.py`'s.

Syncing, measured for 256 files of 1 MiB in batches of 16 and 64 (2 cores, ext4, `dd conv=fsync` 2,200-2,400 MB/s; MB/s
including the renames and folder syncs):

    write and fdatasync, one by one            300-1,200     write all, then fdatasync all           600-1,000
    the same from 4 threads                    760-1,500     sync_file_range after each write,
    write all, then syncfs                     560-1,000       then fdatasync all, one thread      1,250-1,500
                                                             the same, then syncfs               1,450-1,800

Starting the write-back early is what counts. syncfs is left out although fastest: it waits for every other program's
data too, and reports their errors as ours.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from inos.core.errors import BadInput, Corrupt
from inos.core.ids import DIGEST_BYTES, Address
from inos.store.disk_errors import exhausted, from_errno
from inos.store.files import start_writeback, sync_data, sync_folder, write_all

SUFFIX: Final = ".enc"
PREFIXES: Final = 256
# Files open at once in one batch; below every platform's limit of open files, several threads at a time.
_BATCH: Final = 32


class ChunkFiles:
    """The chunk files under one data root. Callers see to it that no two calls change one address at a time."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._staging = root / "staging"
        self._root = root

    def prepare(self) -> int:
        """Make the folders that are missing and empty staging/; how many files were in it."""
        with _translated("preparing the chunk folders"):
            made = [folder for folder in self._folders() if _make_folder(folder)]
            for parent in {folder.parent for folder in made}:
                sync_folder(parent)
            staged = list(self._staging.iterdir())
            for file in staged:
                file.unlink()
            return len(staged)

    def write(self, chunks: Sequence[tuple[Address, bytes]]) -> None:
        """All of `chunks` as files, synced. Raises StorageFull or Corrupt; then some may be there, none is half."""
        for start in range(0, len(chunks), _BATCH):
            self._write_batch(chunks[start : start + _BATCH])

    def _write_batch(self, chunks: Sequence[tuple[Address, bytes]]) -> None:
        staged: list[Path] = []
        with _translated("writing chunks"):
            try:
                self._stage(chunks, staged)
                for (address, _), file in zip(chunks, staged, strict=True):
                    file.replace(self.path(address))
                for folder in {self.path(address).parent for address, _ in chunks}:
                    sync_folder(folder)
            except OSError:
                for file in staged:
                    with suppress(OSError):
                        file.unlink(missing_ok=True)
                raise

    def _stage(self, chunks: Sequence[tuple[Address, bytes]], staged: list[Path]) -> None:
        descriptors: list[int] = []
        try:
            for address, data in chunks:
                file = self._staging / address.hex()
                descriptors.append(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
                staged.append(file)
                write_all(descriptors[-1], data)
                start_writeback(descriptors[-1])
            for descriptor in descriptors:
                sync_data(descriptor)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def read(self, address: Address, size: int) -> bytes | None:
        """What the file holds, at most one byte more than `size`; None when it is not there or the disk cannot read
        it. Raises Busy when it is this process that cannot."""
        try:
            with self.path(address).open("rb", buffering=0) as file:
                return _read(file.fileno(), size + 1)
        except OSError as error:
            if exhausted(error):
                raise from_errno(error.errno or 0, "reading a chunk") from None
            return None

    def size(self, address: Address) -> int | None:
        """Bytes of the file, None when it is not there."""
        try:
            return self.path(address).stat().st_size
        except OSError:
            return None

    def remove(self, addresses: Iterable[Address]) -> None:
        """Unlink these; absent ones are fine. Not synced: a file that comes back after a crash is a mere orphan."""
        for address in addresses:
            with suppress(OSError):
                self.path(address).unlink(missing_ok=True)

    def listed(self, prefix: int) -> dict[Address, int]:
        """Address and size of each chunk file in one of the 256 folders; other names are not ours and left alone."""
        if not 0 <= prefix < PREFIXES:
            raise BadInput(f"a prefix is 0 to {PREFIXES - 1}, got {prefix}")
        found: dict[Address, int] = {}
        with _translated("listing chunk files"), os.scandir(self._blobs / f"{prefix:02x}") as entries:
            for entry in entries:
                address = _address_in(entry.name)
                if address is not None and address[0] == prefix and entry.is_file(follow_symlinks=False):
                    found[address] = entry.stat(follow_symlinks=False).st_size
        return found

    def free_bytes(self) -> int:
        """Room an unprivileged writer has on this disk."""
        with _translated("asking for free space"):
            disk = os.statvfs(self._blobs)
        return disk.f_bavail * disk.f_frsize

    def path(self, address: Address) -> Path:
        name = address.hex()
        return self._blobs / name[:2] / (name + SUFFIX)

    def _folders(self) -> list[Path]:
        return [self._staging, self._blobs, *(self._blobs / f"{prefix:02x}" for prefix in range(PREFIXES))]


def _make_folder(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _read(descriptor: int, limit: int) -> bytes:
    data = os.read(descriptor, limit)
    while 0 < len(data) < limit:
        more = os.read(descriptor, limit - len(data))
        if not more:
            break
        data += more
    return data


def _address_in(name: str) -> Address | None:
    digits, dot, suffix = name.partition(".")
    if dot + suffix != SUFFIX or len(digits) != 2 * DIGEST_BYTES or digits != digits.lower():
        return None
    try:
        return Address(bytes.fromhex(digits))
    except (ValueError, BadInput):
        return None


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            hint = "the data root was changed while the node ran; restart the node"
            raise Corrupt(f"{doing} failed: {error.strerror}", hint=hint) from None
        raise from_errno(error.errno or 0, doing) from None
