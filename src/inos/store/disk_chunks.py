"""The chunk store on a disk: small chunks inside the database, larger ones as files, one index over both.

Rules
- Write: files synced and in place, then their rows committed, then acknowledged. Delete: rows, then files. Whoever
  changes a chunk holds its claim for both steps.
- Nothing walks directories while the node runs, except the orphan sweep, one of 256 folders a call.
- What does not verify is no longer counted as present, so that it is fetched again; its file is left to the sweep,
  which adopts it should it verify after all (a cable, not the disk) and deletes it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from inos.core.env import Env
from inos.core.errors import Corrupt, NotFound, StorageFull
from inos.core.ids import Address
from inos.crypto.hashing import address_of
from inos.store import chunk_index as index
from inos.store import chunk_recovery as recovery
from inos.store.chunk_files import PREFIXES, ChunkFiles
from inos.store.chunk_index import Location, Row
from inos.store.chunk_marks import DiskMark, Marking
from inos.store.chunk_recovery import SweepResult
from inos.store.chunks import ScrubResult, StoreUsage, checked
from inos.store.claims import Claims
from inos.store.cursor import Cursor
from inos.store.database import Database
from inos.store.filesystem import REAL_FILES, Files

INLINE_LIMIT_BYTES: Final = 64 * 1024
# What a file takes up on the common file systems: whole blocks of this.
_BLOCK_BYTES: Final = 4096
# Room left on the disk for the database, its log and the rest of the machine.
RESERVE_BYTES: Final = 64 << 20
PAGE: Final = 4096


class DiskChunkStore:
    """The chunk store contract (`chunks.py`) on one data root, and its recovery."""

    def __init__(
        self,
        root: Path,
        database: Database,
        env: Env,
        *,
        reserve_bytes: int = RESERVE_BYTES,
        quota_bytes: int | None = None,
        files: Files = REAL_FILES,
    ) -> None:
        """Use blobs/ and staging/ under `root`, making what is missing. `quota_bytes` bounds what the chunk
        files take up on the disk."""
        self._database = database
        self._env = env
        self._files = ChunkFiles(root, files)
        self._claims = Claims()
        self._marking = Marking()
        self._reserve_bytes = reserve_bytes
        self._quota_bytes = quota_bytes
        self.small_as_files = False
        """Whether small chunks become files too, because the database is as large as it may be."""
        self.recover()

    # Reading

    def get(self, address: Address) -> bytes:
        row = self._database.read(lambda cursor: index.find(cursor, address))
        data = None if row is None else self._verified(row)
        return self._look_again(address) if data is None else data

    def unchecked(self, address: Address) -> bytes | None:
        row = self._database.read(lambda cursor: index.find(cursor, address))
        return None if row is None else self._kept(row)

    def _kept(self, row: Row) -> bytes | None:
        return row.data if row.location is Location.INLINE else self._files.read(row.address, row.size)

    def _verified(self, row: Row) -> bytes | None:
        data = self._kept(row)
        return data if data is not None and address_of(data) == row.address else None

    def _look_again(self, address: Address) -> bytes:
        """Read it with nobody writing it; forget the chunk when it still does not verify."""
        with self._claims.hold([address]):
            row = self._database.read(lambda cursor: index.find(cursor, address))
            if row is None:
                raise NotFound(f"chunk {address.hex()[:12]} is not on this node")
            data = self._verified(row)
            if data is not None:
                return data
            with suppress(StorageFull):  # a full disk must not hide that the chunk is damaged
                self._database.write(lambda cursor: index.remove(cursor, [address]))
            raise Corrupt(
                f"chunk {address.hex()[:12]} is damaged on this node's disk",
                hint="it is fetched again from other members; if this repeats, check the disk",
            )

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]:
        return frozenset(self._database.read(lambda cursor: index.held(cursor, addresses)))

    # Writing

    def put_many(self, chunks: Sequence[tuple[Address, bytes]]) -> None:
        batch = checked(chunks)
        if not batch:
            return
        with self._claims.hold(batch):
            missing = self._missing(batch)
            if missing:
                self._admit(missing)
            written = [(row.address, batch[row.address]) for row in missing if row.location is Location.FILE]
            try:
                self._files.write(written)
                self._database.write(lambda cursor: self._add(cursor, batch, missing))
            except StorageFull:
                self._discard([address for address, _ in written])
                raise

    def _missing(self, batch: dict[Address, bytes]) -> list[Row]:
        """Rows to be for what must be written: not held, or held as a file that is gone or has another size."""
        held = self._database.read(lambda cursor: index.held(cursor, batch))
        missing = []
        for address, data in batch.items():
            row = held.get(address)
            if row is None:
                inline = len(data) <= INLINE_LIMIT_BYTES and not self.small_as_files
                missing.append(Row(address, len(data), Location.INLINE if inline else Location.FILE, data))
            elif row.location is Location.FILE and self._files.size(address) != len(data):
                missing.append(Row(address, len(data), Location.FILE))
        return missing

    def _add(self, cursor: Cursor, batch: dict[Address, bytes], missing: list[Row]) -> None:
        index.add(cursor, missing, self._env.now_s())
        fresh = {row.address for row in missing}
        index.touch(cursor, [address for address in batch if address not in fresh], self._env.now_s())
        self._marking.keep(cursor, batch)

    def _discard(self, written: Sequence[Address]) -> None:
        """Take back files whose rows were not committed; the claim is still held, so nobody relies on them."""
        held = self._database.read(lambda cursor: index.held(cursor, written))
        self._files.remove(address for address in written if address not in held)

    def _admit(self, rows: Sequence[Row]) -> None:
        size_bytes = sum(row.size for row in rows)
        free = self._files.free_bytes() - self._reserve_bytes
        if size_bytes > free:
            raise StorageFull(
                f"{size_bytes} bytes do not fit: {max(free, 0)} are free above the reserve of {self._reserve_bytes}",
                hint="free space on this disk",
            )
        files_bytes = sum(-(-row.size // _BLOCK_BYTES) * _BLOCK_BYTES for row in rows if row.location is Location.FILE)
        if files_bytes and self._quota_bytes is not None and self.cold_bytes() + files_bytes > self._quota_bytes:
            raise StorageFull(
                f"{size_bytes} bytes do not fit in this node's quota of {self._quota_bytes} bytes for chunk files",
                hint="raise it (inos up --quota-cold), unpin or remove something, or put through another node",
            )

    def touch(self, addresses: Sequence[Address]) -> frozenset[Address]:
        def work(cursor: Cursor) -> frozenset[Address]:
            held = index.touch(cursor, addresses, self._env.now_s())
            self._marking.keep(cursor, held)
            return held

        return self._database.write(work) if addresses else frozenset()

    def remove_many(self, addresses: Sequence[Address]) -> int:
        if not addresses:
            return 0
        with self._claims.hold(addresses):
            rows = self._database.write(
                lambda cursor: [] if self._marking.nothing_freed else index.remove(cursor, addresses)
            )
            self._files.remove(row.address for row in rows if row.location is Location.FILE)
        return sum(row.size for row in rows)

    # Listing, checking, collecting

    def addresses(self) -> Iterator[Address]:
        after: Address | None = None
        while page := self._page(after, PAGE):
            yield from (row.address for row in page)
            after = page[-1].address

    def _page(self, after: Address | None, limit: int, *, data: bool = False) -> list[Row]:
        return self._database.read(lambda cursor: index.page(cursor, after, limit, data=data))

    def usage(self) -> StoreUsage:
        return self._database.read(index.usage)

    def scrub(self, after: Address | None, limit: int, end: Address | None = None) -> ScrubResult:
        page = [row for row in self._page(after, limit, data=True) if end is None or row.address <= end]
        good: list[Address] = []
        corrupt: list[Address] = []
        for row in page:
            try:
                if self._verified(row) is None:
                    self._look_again(row.address)
                good.append(row.address)
            except NotFound:  # removed meanwhile
                continue
            except Corrupt:
                corrupt.append(row.address)
        self._database.write(lambda cursor: index.verified(cursor, good, self._env.now_s()))
        following = page[-1].address if len(page) == limit else None
        return ScrubResult(following, len(page), tuple(corrupt))

    def keeping(self) -> AbstractContextManager[None]:
        """Inside, nothing is freed: what the index lists at some moment can be read until the end. Collections and
        removals find nothing to do meanwhile and come back to it."""
        return self._marking.keeping()

    def begin_mark(self) -> DiskMark:
        return DiskMark(self._marking, self._database, self._files, self._claims, self._env.now_s())

    # Tiers

    def cold_bytes(self) -> int:
        """Bytes of the disk that the chunk files take up; until `measure` has been through, what the index says."""
        measured = self._files.disk_bytes()
        return self.usage().bytes if measured is None else measured

    def measure(self) -> None:
        """Look at every chunk file's size on the disk once; about a second for 100,000."""
        for prefix in range(PREFIXES):
            self._files.measure(prefix)

    def demote(self, limit: int) -> StoreUsage:
        """Move up to `limit` of the chunks that have been in the database for longest into files; what was moved.
        Raises StorageFull when there is no room for them."""
        found = self._database.read(lambda cursor: index.oldest_inline(cursor, limit))
        with self._claims.hold([row.address for row in found]):
            there = self._database.read(lambda cursor: index.held(cursor, [row.address for row in found]))
            rows = [row for row in found if row.address in there and there[row.address].location is Location.INLINE]
            as_files = [Row(row.address, row.size, Location.FILE) for row in rows]
            if as_files:
                self._admit(as_files)
            self._files.write([(row.address, row.data or b"") for row in rows])
            self._database.write(lambda cursor: index.moved_to_files(cursor, as_files))
        return StoreUsage(len(rows), sum(row.size for row in rows))

    # Recovery

    def recover(self) -> int:
        """Throw away what was being written when the node stopped; how many files. Nothing acknowledged is there."""
        return self._files.prepare()

    def sweep_orphans(self, prefix: int) -> SweepResult:
        """Bring the files and the rows of one folder of blobs/ (0 to 255) together again."""
        return recovery.sweep(prefix, self._files, self._database, self._claims, self._env)

    def rebuild_index(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> SweepResult:
        """Index every chunk file that verifies; for a new database over old files. Reads those without a row.
        `progress` hears of folders done and folders there are."""
        total = SweepResult(0, 0, 0)
        for prefix in range(PREFIXES):
            total = total.plus(self.sweep_orphans(prefix))
            progress(prefix + 1, PREFIXES)
        return total
