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
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from inos.core.errors import BadInput, Corrupt
from inos.core.ids import DIGEST_BYTES, Address
from inos.store.disk_errors import exhausted, from_errno
from inos.store.filesystem import REAL_FILES, Files

SUFFIX: Final = ".enc"
PREFIXES: Final = 256
_FOLDERS: Final = ("staging", "blobs", *(f"blobs/{prefix:02x}" for prefix in range(PREFIXES)))
# Files open at once in one batch; below every platform's limit of open files, several threads at a time.
_BATCH: Final = 32
# Written last and left in the machine's memory. Putting a gigabyte on a virtual machine whose host takes free memory
# back took 1.5 ms/MB of the kernel's time instead of 4.6 once the pages of what was synced were used again.
RECENT_BYTES: Final = 64 << 20
RECENT_FILES: Final = 1024


class ChunkFiles:
    """The chunk files under one data root. Callers see to it that no two calls change one address at a time."""

    def __init__(self, root: Path, files: Files = REAL_FILES) -> None:
        self._blobs = root / "blobs"
        self._folders = [self._blobs / f"{prefix:02x}" for prefix in range(PREFIXES)]
        self._staging = root / "staging"
        self._root = root
        self._files = files
        self._space = _Space()
        self._recent = _Recent()

    def prepare(self) -> int:
        """Make the folders that are missing and empty staging/; how many files were in it."""
        with _translated("preparing the chunk folders"):
            self._files.make_folders(self._root, _FOLDERS)
            staged = self._files.listed(self._staging)
            for name, _ in staged:
                self._files.unlink(self._staging / name)
            return len(staged)

    def write(self, chunks: Sequence[tuple[Address, bytes]]) -> None:
        """All of `chunks` as files, synced. Raises StorageFull or Corrupt; then some may be there, none is half."""
        for start in range(0, len(chunks), _BATCH):
            self._write_batch(chunks[start : start + _BATCH])

    def _write_batch(self, chunks: Sequence[tuple[Address, bytes]]) -> None:
        staged = [(self._staging / address.hex(), data) for address, data in chunks]
        places = [self.path(address) for address, _ in chunks]
        with _translated("writing chunks"):
            try:
                self._files.write_synced(staged)
                for (file, _), place in zip(staged, places, strict=True):
                    self._files.rename(file, place)
                for folder in {address[0]: self._folders[address[0]] for address, _ in chunks}.values():
                    self._files.sync_folder(folder)
                self._note([(address, place, len(data)) for (address, data), place in zip(chunks, places, strict=True)])
            except OSError:
                for file, _ in staged:
                    with suppress(OSError):
                        self._files.unlink(file)
                raise

    def _note(self, written: Sequence[tuple[Address, Path, int]]) -> None:
        """Count what was written, and let those leave the page cache that are no longer among the last."""
        self._space.grow({address: self._files.allocated(place) for address, place, _ in written})
        for older in self._recent.add((place, size_bytes) for _, place, size_bytes in written):
            self._files.uncache(older)

    def read(self, address: Address, size: int) -> bytes | None:
        """What the file holds, at most one byte more than `size`; None when it is not there or the disk cannot read
        it. Raises Busy when it is this process that cannot."""
        try:
            return self._files.read(self.path(address), size + 1)
        except OSError as error:
            if exhausted(error):
                raise from_errno(error.errno or 0, "reading a chunk") from None
            return None

    def size(self, address: Address) -> int | None:
        """Bytes of the file, None when it is not there."""
        try:
            return self._files.size(self.path(address))
        except OSError:
            return None

    def remove(self, addresses: Iterable[Address]) -> None:
        """Unlink these; absent ones are fine. Not synced: a file that comes back after a crash is a mere orphan."""
        for address in addresses:
            with suppress(OSError):
                place = self.path(address)
                freed = self._files.allocated(place)
                self._files.unlink(place)
                self._space.grow({address: -freed})

    def listed(self, prefix: int) -> dict[Address, int]:
        """Address and size of each chunk file in one of the 256 folders; other names are not ours and left alone."""
        if not 0 <= prefix < PREFIXES:
            raise BadInput(f"a prefix is 0 to {PREFIXES - 1}, got {prefix}")
        found: dict[Address, int] = {}
        with _translated("listing chunk files"):
            for name, size in self._files.listed(self._folders[prefix]):
                address = _address_in(name)
                if address is not None and address[0] == prefix:
                    found[address] = size
        return found

    def measure(self, prefix: int) -> None:
        """Count again what the files of one of the 256 folders take up."""
        with _translated("measuring chunk files"):
            self._space.set(prefix, self._files.allocated_in(self._folders[prefix]))

    def disk_bytes(self) -> int | None:
        """Bytes of the disk that the chunk files take up; None until each folder was measured."""
        return self._space.total()

    def free_bytes(self) -> int:
        """Room an unprivileged writer has on this disk."""
        with _translated("asking for free space"):
            return self._files.free_bytes(self._blobs)

    def path(self, address: Address) -> Path:
        return self._folders[address[0]] / (address.hex() + SUFFIX)


class _Recent:
    """The files written last, which the machine may keep in its memory: whoever put something small is likely to
    read it soon. What a large object would fill that memory with leaves it again, so that a node that keeps others'
    gigabytes does not push out what the programs on its machine work with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: deque[tuple[Path, int]] = deque()
        self._bytes = 0

    def add(self, files: Iterable[tuple[Path, int]]) -> list[Path]:
        """Those that are no longer among the last, now that `files` (name and size in bytes) were written."""
        with self._lock:
            for written in files:
                self._files.append(written)
                self._bytes += written[1]
            older = []
            while self._bytes > RECENT_BYTES or len(self._files) > RECENT_FILES:
                place, size_bytes = self._files.popleft()
                self._bytes -= size_bytes
                older.append(place)
            return older


class _Space:
    """Bytes on the disk by folder: counted once by `set`, kept by `grow`. Written over files count twice until their
    folder is measured again, which happens with every sweep of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_folder: list[int | None] = [None] * PREFIXES

    def set(self, prefix: int, size_bytes: int) -> None:
        with self._lock:
            self._by_folder[prefix] = size_bytes

    def grow(self, by: Mapping[Address, int]) -> None:
        with self._lock:
            for address, size_bytes in by.items():
                before = self._by_folder[address[0]]
                if before is not None:
                    self._by_folder[address[0]] = max(0, before + size_bytes)

    def total(self) -> int | None:
        with self._lock:
            known = [size for size in self._by_folder if size is not None]
        return sum(known) if len(known) == PREFIXES else None


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
