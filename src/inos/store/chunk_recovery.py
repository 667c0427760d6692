"""Bringing chunk files and their rows together again: after a crash between the two, after the loss of the database.

A file without a row is adopted when it verifies and deleted when it does not; a row whose file is gone or has another
size is dropped, so that the chunk counts as missing and is fetched again. One of 256 folders a call.
"""

from __future__ import annotations

from dataclasses import dataclass

from inos.core.env import Env
from inos.core.ids import Address
from inos.crypto.hashing import address_of
from inos.store import chunk_index as index
from inos.store.chunk_files import ChunkFiles
from inos.store.chunk_index import Location, Row
from inos.store.chunks import MAX_CHUNK_BYTES
from inos.store.claims import Claims
from inos.store.database import Database


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What one sweep changed: files given a row, files deleted, rows dropped."""

    adopted: int
    deleted: int
    dropped: int

    def plus(self, other: SweepResult) -> SweepResult:
        return SweepResult(self.adopted + other.adopted, self.deleted + other.deleted, self.dropped + other.dropped)


def sweep(prefix: int, files: ChunkFiles, database: Database, claims: Claims, env: Env) -> SweepResult:
    """Sweep the folder of addresses that begin with the byte `prefix`."""
    on_disk = files.listed(prefix)
    files.measure(prefix)
    rows = database.read(lambda cursor: index.in_folder(cursor, prefix))
    adopted = deleted = dropped = 0
    # The listing and the rows were read one after the other: each difference is looked at again under its claim.
    for address in sorted(on_disk.keys() - rows.keys()):
        with claims.hold([address]):
            verdict = _adopt(address, files, database, env)
        adopted += verdict is True
        deleted += verdict is False
    for row in rows.values():
        if on_disk.get(row.address) != row.size:
            with claims.hold([row.address]):
                dropped += _drop(row, files, database)
    return SweepResult(adopted, deleted, dropped)


def _adopt(address: Address, files: ChunkFiles, database: Database, env: Env) -> bool | None:
    """True: it has a row now. False: it was deleted. None: it needed neither, or the disk would not say."""
    row = database.read(lambda cursor: index.find(cursor, address))
    if row is not None and row.location is Location.INLINE:  # a move into files that was cut off
        files.remove([address])
        return False
    if row is not None:
        return None
    data = files.read(address, MAX_CHUNK_BYTES)
    if data is None:
        return None
    if address_of(data) != address:
        files.remove([address])
        return False
    database.write(lambda cursor: index.add(cursor, [Row(address, len(data), Location.FILE)], env.now_s()))
    return True


def _drop(row: Row, files: ChunkFiles, database: Database) -> bool:
    if files.size(row.address) == row.size:
        return False
    return bool(database.write(lambda cursor: index.remove(cursor, [row.address])))
