"""Making a snapshot of a running data root, in steps.

Chunks that are not in the backup yet are sent first, while everything goes on. Then, with nothing freed meanwhile, the
database file stands still for as long as its changed blocks and the last few chunks take; what it lists at that
moment is what the snapshot holds. So every name in a snapshot can be restored, whatever was put and removed
meanwhile. Components, settings and messages come after that (`gathering.py`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from inos.backup.gathering import CONFIG, DATABASE_BLOCK, Gathered, Gathering
from inos.backup.lists import address_lists, full_lists
from inos.backup.repository import Repository
from inos.backup.snapshot import FULL, Part, Snapshot
from inos.components.shelf import FOLDER as COMPONENTS
from inos.core.env import Env
from inos.core.errors import Corrupt, NotFound
from inos.core.ids import Address
from inos.core.reports import BackupReport
from inos.store import chunk_index
from inos.store.chunk_index import Location, Row
from inos.store.cursor import Cursor
from inos.store.database import Database
from inos.store.disk_chunks import DiskChunkStore

_ROWS: Final = 4096
# Progress is told about this often: every 64 chunks.
_STEP_CHUNKS: Final = 64

Steps = Generator[BackupReport, None, None]


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up. `key` opens the database; `node_file` is the text of node.json."""

    root: Path
    database: Database
    key: bytes
    chunks: DiskChunkStore
    node_name: str
    node_file: str
    release: str


class Maker:
    """One run. `repository` is open and locked."""

    def __init__(self, source: Source, repository: Repository, kind: Literal["full", "mesh"], env: Env) -> None:
        self._source = source
        self._repository = repository
        self._kind: Literal["full", "mesh"] = kind
        self._env = env
        self._done = 0
        self._total = 0
        self._damaged: set[Address] = set()
        self._gathering = Gathering(repository, source.root)
        self._config = 0

    def steps(self) -> Steps:
        """Does it; each step says how far it is, the last one is `finished`. Raises StorageFull, Unavailable …"""
        self._total = (self._source.root / "inos.db").stat().st_size
        if self._kind == FULL:
            self._total += self._source.chunks.usage().bytes
            yield from self._send_ahead()
        with self._source.chunks.keeping(), self._source.database.frozen() as standing:
            blocks: list[bytes] = []
            yield from self._send_blocks(standing.blocks(DATABASE_BLOCK), blocks)
            database_part = self._part(len(blocks), standing.size_bytes, 0, full_lists(blocks))
            rows = self._rows(standing.cursor) if self._kind == FULL else iter(())
            chunks_part = self._send_rest(rows)
        components_part = yield from self._gather(self._gathering.tree(COMPONENTS))
        config_part = yield from self._gather(self._gathering.tree(CONFIG))
        messages_part = yield from self._gather(self._gathering.messages(self._source.key))
        self._config = config_part.count
        self._repository.flush()
        snapshot = Snapshot(
            self._kind,
            int(self._env.now_s() * 1000),
            self._source.node_name,
            self._source.release,
            self._source.node_file,
            database_part,
            chunks_part,
            components_part,
            messages_part,
            config_part,
        )
        name = self._repository.write_snapshot(snapshot)
        self._done = self._total = snapshot.size
        yield self._report(name, snapshot.damaged)

    def _gather(self, gathered: Gathered) -> Generator[BackupReport, None, Part]:
        while True:
            try:
                size = next(gathered)
            except StopIteration as ended:
                part: Part = ended.value
                return part
            self._done += size
            self._total = max(self._total, self._done)
            yield self._report()

    def _report(self, snapshot: str = "", damaged: int = 0) -> BackupReport:
        sent, finished = self._repository.sent_bytes, bool(snapshot)
        gathering, done = self._gathering, min(self._done, self._total)
        return BackupReport(
            done, self._total, sent, damaged, snapshot, finished, gathering.left_out, tuple(gathering.left_out_names),
            gathering.databases, self._config,
        )  # fmt: skip

    def _send_ahead(self) -> Steps:
        after: Address | None = None
        while rows := self._source.database.read(partial(chunk_index.page, after=after, limit=_STEP_CHUNKS)):
            after = rows[-1].address
            for row in rows:
                if row.location is Location.FILE:
                    self._send(row)
                self._done += row.size
            yield self._report()

    def _send(self, row: Row) -> bool:
        """Whether the backup has the chunk now; a damaged one is noted, one that is gone is not."""
        try:
            if not self._repository.has(row.address):
                self._repository.add(row.address, self._source.chunks.get(row.address))
        except NotFound:
            return False
        except Corrupt:
            self._damaged.add(row.address)
            return False
        self._damaged.discard(row.address)  # it may have been healed since
        return True

    def _send_blocks(self, source: Iterator[bytes], blocks: list[bytes]) -> Steps:
        for block in source:
            blocks.append(self._repository.add_block(block))
            self._done += len(block)
            if not len(blocks) % _STEP_CHUNKS:
                yield self._report()

    def _rows(self, cursor: Cursor) -> Iterator[Row]:
        after: Address | None = None
        while rows := chunk_index.page(cursor, after, _ROWS):
            after = rows[-1].address
            yield from (row for row in rows if row.location is Location.FILE)

    def _send_rest(self, rows: Iterable[Row]) -> Part:
        count = size = 0

        def present() -> Iterator[bytes]:
            nonlocal count, size
            for row in rows:
                if self._send(row):
                    count, size = count + 1, size + row.size
                    yield row.address
                else:
                    self._damaged.add(row.address)

        lists = tuple(self._repository.add_block(text) for text in address_lists(present()))
        return Part(count, size, len(self._damaged), lists)

    def _part(self, count: int, size: int, damaged: int, lists: Iterable[bytes]) -> Part:
        return Part(count, size, damaged, tuple(self._repository.add_block(text) for text in lists))
