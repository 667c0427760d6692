"""Bringing a snapshot back: a whole data root, built beside the present one and proven before it takes its place.

A chunk that the present data root still has is linked, not fetched, once it was read and found right; so is one that an
interrupted restore had brought already. A snapshot without chunks leaves the node those it has: the mesh may rely on it
for them. Nothing of the present state changes before `swap.begin_swap`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from inos.backup.gathering import CONFIG
from inos.backup.lists import ids_in
from inos.backup.make import Steps
from inos.backup.messages import settle_messages
from inos.backup.repository import Repository
from inos.backup.snapshot import FULL, MESH, Part, Snapshot
from inos.backup.trees import write_tree
from inos.components.shelf import FOLDER as COMPONENTS
from inos.core.env import Env
from inos.core.errors import Corrupt, StorageFull
from inos.core.ids import Address
from inos.core.reports import BackupReport
from inos.crypto.hashing import address_of
from inos.messages.on_disk import FOLDER as MESSAGES
from inos.store.chunk_files import SUFFIX
from inos.store.chunks import MAX_CHUNK_BYTES
from inos.store.database import Database
from inos.store.disk_chunks import RESERVE_BYTES, DiskChunkStore
from inos.store.filesystem import REAL_FILES
from inos.store.private_files import explained, write_private
from inos.store.rebuild import DATABASE, take_chunks
from inos.store.salvage import OpenedDamaged
from inos.store.settings import Settings

BLOBS: Final = "blobs"
NODE: Final = "node.json"
_BATCH: Final = 16
_DATABASE_STEP: Final = 64
# What is written of a component is its own; settings and messages come back for whom they were.
_OWNERS: Final = 0o700
_ALL: Final = 0o777


def part_ids(repository: Repository, part: Part) -> Iterator[bytes]:
    """The ids in all lists of a part, in order. Raises Corrupt."""
    for each in part.lists:
        yield from ids_in(repository.block(each))


def build_database(repository: Repository, snapshot: Snapshot, path: Path) -> Iterator[int]:
    """Write the database file of a snapshot to `path`, synced; bytes written, now and then. Raises Corrupt."""
    written = blocks = 0
    with explained("write", path), path.open("wb") as file:
        path.chmod(0o600)
        for piece in part_ids(repository, snapshot.database):
            block = repository.block(piece)
            file.write(block)
            written, blocks = written + len(block), blocks + 1
            if not blocks % _DATABASE_STEP:
                yield written
        file.flush()
        os.fsync(file.fileno())
    if written != snapshot.database.size:
        raise Corrupt("the database in the backup is not as long as its snapshot says", hint="see: inos backup check")
    yield written


class Restorer:
    """Builds one snapshot in the folder `new` of the data root `root`."""

    def __init__(self, repository: Repository, snapshot: Snapshot, root: Path, new: Path) -> None:
        self._repository = repository
        self._snapshot = snapshot
        self._root = root
        self._new = new
        self._done = 0
        self._written = 0
        self._total = snapshot.size

    def steps(self, database_key: bytes, env: Env) -> Steps:
        """Builds and proves it. Raises Corrupt, StorageFull; then nothing was replaced."""
        self._prepare()
        for written in build_database(self._repository, self._snapshot, self._new / DATABASE):
            self._done = self._written = written
            yield self._report()
        yield from self._chunks()
        for name, part, modes in (
            (COMPONENTS, self._snapshot.components, _OWNERS),
            (MESSAGES, self._snapshot.messages, _ALL),
            (CONFIG, self._snapshot.config, _ALL),
        ):
            yield from self._tree(name, part, modes)
        yield from self._prove(database_key, env)
        write_private(self._new / NODE, self._snapshot.node_file.encode())
        REAL_FILES.sync_folder(self._new)

    def _report(self) -> BackupReport:
        return BackupReport(min(self._done, self._total), self._total, self._written)

    def _prepare(self) -> None:
        with explained("prepare", self._new):
            self._new.mkdir(mode=0o700, parents=True, exist_ok=True)
            for stale in self._new.iterdir():
                # Chunks are known by their names, and may have taken hours.
                if stale.name != BLOBS or self._snapshot.kind == MESH:
                    shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
            folders = [BLOBS, *(f"{BLOBS}/{prefix:02x}" for prefix in range(256))]
            REAL_FILES.make_folders(self._new, folders)
            free = REAL_FILES.free_bytes(self._new) - RESERVE_BYTES
        linked = (self._root / BLOBS).is_dir() or any((self._new / BLOBS).rglob("*" + SUFFIX))
        needed = self._total - (self._snapshot.chunks.size if linked else 0)
        if needed > free:
            raise StorageFull(
                f"{needed} bytes do not fit: {max(free, 0)} are free above the reserve of {RESERVE_BYTES}",
                hint="free space on the disk of the data root; nothing was replaced",
            )

    def _chunks(self) -> Steps:
        batch: list[tuple[Path, bytes]] = []
        for raw in part_ids(self._repository, self._snapshot.chunks):
            name = f"{raw.hex()[:2]}/{raw.hex()}{SUFFIX}"
            size = self._at_hand(raw, self._new / BLOBS / name, self._root / BLOBS / name)
            if not size:
                data = self._repository.chunk(raw)
                batch.append((self._new / BLOBS / name, data))
                size = len(data)
                self._written += size
            self._done += size
            if len(batch) >= _BATCH:
                self._write(batch)
                yield self._report()
        self._write(batch)
        yield self._report()
        if self._snapshot.kind == MESH:
            yield from self._keep_present()
        with explained("sync", self._new / BLOBS):
            for prefix in range(256):
                REAL_FILES.sync_folder(self._new / BLOBS / f"{prefix:02x}")

    def _at_hand(self, address: bytes, new: Path, old: Path) -> int:
        """Bytes of a chunk that an interrupted restore brought, or that the present data root has; 0 when neither."""
        for path in (new, old):
            with suppress(OSError):
                data = REAL_FILES.read(path, MAX_CHUNK_BYTES + 1)
                if address_of(data) == Address(address):
                    if path is old:
                        new.unlink(missing_ok=True)
                        new.hardlink_to(old)
                    return len(data)
        return 0

    def _keep_present(self) -> Steps:
        """Have every chunk file of the present data root in the new one."""
        for prefix in range(256):
            old, new = (folder / BLOBS / f"{prefix:02x}" for folder in (self._root, self._new))
            with explained("link the chunks of", old):
                for name, _ in REAL_FILES.listed(old) if old.is_dir() else ():
                    if name.endswith(SUFFIX):
                        _link(old / name, new / name)
            yield self._report()

    def _write(self, batch: list[tuple[Path, bytes]]) -> None:
        with explained("write chunks to", self._new / BLOBS):
            REAL_FILES.write_synced(batch)
        batch.clear()

    def _tree(self, name: str, part: Part | None, modes: int) -> Steps:
        if part is not None and part.count:
            (self._new / name).mkdir(mode=0o700)
            for size in write_tree(self._repository, part, self._new / name, modes):
                self._done += size
                self._written += size
                yield self._report()

    def _prove(self, database_key: bytes, env: Env) -> Steps:
        """Open what was built and hold its index against its files; of messages, bring together what there is."""
        database = Database(self._new / DATABASE, database_key, env)
        try:
            if found := database.check():
                raise Corrupt(
                    f"the database in the backup is damaged: {found[0]}", hint="restore another snapshot: --at"
                )
            chunks = DiskChunkStore(self._new, database, env)
            result = chunks.rebuild_index()
            if self._snapshot.kind == MESH and (present := self._present(database_key)):
                with present:
                    take_chunks(present, chunks)
            if self._snapshot.kind == FULL and result.dropped > self._snapshot.chunks.damaged:
                raise Corrupt(
                    f"{result.dropped} chunks of the backup are missing", hint="restore another snapshot: --at"
                )
            if self._snapshot.messages is not None:
                settings, present_messages = Settings(database), self._root / MESSAGES
                for _ in settle_messages(self._new / MESSAGES, present_messages, database_key, settings, env):
                    yield self._report()
        finally:
            database.close()
        shutil.rmtree(self._new / "staging", ignore_errors=True)

    def _present(self, database_key: bytes) -> OpenedDamaged | None:
        """The present database, as far as it can be read."""
        with suppress(Corrupt):
            if (self._root / DATABASE).exists():
                return OpenedDamaged(self._root / DATABASE, database_key, REAL_FILES)
        return None

    def names(self) -> tuple[list[str], list[str]]:
        """What is to be put in place, and what to be put away before, as `swap.begin_swap` takes it."""
        folders = [name for name in (COMPONENTS, MESSAGES, CONFIG) if (self._new / name).exists()]
        put = [DATABASE, BLOBS, *folders, NODE]
        beside = sorted(path.name for path in self._root.glob(f"{DATABASE}?*") if ".lost-" not in path.name)
        return put, [*beside, "staging", COMPONENTS]


def _link(old: Path, new: Path) -> None:
    try:
        new.hardlink_to(old)
    except OSError:  # a file system without links
        REAL_FILES.copy_synced(old, new)
