"""Bringing a lost or damaged database back: from its spare, from what can still be read of it, from the chunk files.

    inos.db.spare     a whole copy of the database of some hours ago, made while the node ran
    inos.db.lost-N    what was in the place of the database when it was rebuilt; never deleted by a node

Rules
- Nothing is thrown away: what is there is moved aside first, under a name of its own.
- From a damaged database are taken: settings, records, chunks and the rows of repositories, each of which can stand
  alone. Everything else is as the spare has it. Holdings follow from the records once the node runs.
- It may be broken off at any moment and run again.
- The files of chunks that no holding names any more may be the last there are: a note in the settings keeps
  collection from freeing anything for a while (`KEPT_UNTIL`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from inos.core.env import Env
from inos.core.errors import Corrupt
from inos.core.ids import Address
from inos.crypto.hashing import address_of
from inos.state.record import Record
from inos.store.chunk_recovery import SweepResult
from inos.store.connection import with_logs
from inos.store.database import Database
from inos.store.disk_chunks import DiskChunkStore
from inos.store.disk_errors import from_errno
from inos.store.filesystem import REAL_FILES, Files
from inos.store.records import RecordStore
from inos.store.repositories import Repositories
from inos.store.repositories.repository import Repository
from inos.store.salvage import OpenedDamaged
from inos.store.settings import Settings

T = TypeVar("T")

DATABASE: Final = "inos.db"
SPARE: Final = "inos.db.spare"
LOST: Final = "inos.db.lost-"
KEPT_UNTIL: Final = "chunks/kept_until"
# Long enough to notice what is missing and to bring a backup, or the other nodes, for it.
KEPT_FOR_S: Final = 7 * 86400.0
_READ: Final = "rebuilt/"  # and the name of a lost database: all that can be read of it was taken over
_BEGUN: Final = "inos.db.begun"
_AT_ONCE: Final = 512


class Base(StrEnum):
    """What the rebuilt database began as."""

    DATABASE = "database"  # the one that was there: it is sound
    SPARE = "spare"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of the database. `moved` is where the old one is now, "" when it stayed or was not there;
    `records`, `chunks` and `rows` were read from it; `files` is what the chunk files added."""

    base: Base
    moved: str
    records: int
    chunks: int
    rows: int
    files: SweepResult


Progress = Callable[[int, int], None]


def rebuild(
    root: Path, key: bytes, env: Env, *, files: Files = REAL_FILES, progress: Progress = lambda _done, _total: None
) -> Rebuilt:
    """Make the database of the data root `root` sound again and its index equal to the chunk files. Nobody may be at
    work there. `progress` hears of folders done and folders there are. Raises StorageFull, Corrupt for a disk that
    fails, NewerFormat."""
    path = root / DATABASE
    if _is_sound(path, key, env, files):
        base, moved = Base.DATABASE, ""
    else:
        moved = _move_aside(path, files)
        base = _begin(root, key, env, files)
    with closing(Database(path, key, env, files=files)) as database:
        chunks = DiskChunkStore(root, database, env, files=files)
        settings = Settings(database)
        records = small = rows = 0
        for lost in [name for name in _lost(root, files) if settings.get(_READ + name) is None]:
            if (opened := _opened_damaged(root / lost, key, files)) is not None:
                with opened as damaged:  # what cannot be read of it raises nothing; a disk that cannot be written does
                    settings.put(_settings_in(damaged))
                    records += _take_records(damaged, RecordStore(database))
                    small += take_chunks(damaged, chunks)
                    rows += _take_rows(damaged, Repositories(database))
            settings.put({_READ + lost: b"1"})
        found = chunks.rebuild_index(progress)
    return Rebuilt(base, moved, records, small, rows, found)


def kept_until_s(settings: Settings) -> float:
    """Until when, by the wall clock, nothing may be freed because the database was rebuilt; 0 when it was not."""
    text = (settings.get(KEPT_UNTIL) or b"0").decode("ascii", "replace")
    return float(text) if text.isdecimal() else 0.0


def _opened_damaged(path: Path, key: bytes, files: Files) -> OpenedDamaged | None:
    try:
        return OpenedDamaged(path, key, files)
    except Corrupt:
        return None


def _is_sound(path: Path, key: bytes, env: Env, files: Files) -> bool:
    if not files.exists(path):
        return False
    try:
        # Of a spare no copy is kept when it is brought up to date: it is one.
        in_place = path.name == DATABASE
        with closing(Database(path, key, env, files=files, keeps_previous=in_place)) as database:
            return not database.check()
    except Corrupt:
        return False


def _move_aside(path: Path, files: Files) -> str:
    """Move a database and its logs to the first free name for them; that name, "" when there was none."""
    there = [file for file in with_logs(path) if files.exists(file)]
    if not there:
        return ""
    before = _lost(path.parent, files)
    # The database goes first: its log alone then belongs to the one moved aside last, before a crash.
    place = path.with_name(
        before[-1] if path not in there and before else f"{LOST}{_number(before[-1]) + 1 if before else 1}"
    )
    try:
        for old, new in zip(with_logs(path), with_logs(place), strict=True):
            if old in there:
                files.rename(old, new)
        files.sync_folder(path.parent)
    except OSError as error:
        raise from_errno(error.errno or 0, f"moving {path.name} aside") from None
    return place.name


def _begin(root: Path, key: bytes, env: Env, files: Files) -> Base:
    """Put a database in place, and in it the note that nothing is to be freed: never the one without the other."""
    spare, begun = root / SPARE, root / _BEGUN
    base = Base.SPARE if _is_sound(spare, key, env, files) else Base.NOTHING
    try:
        for leftover in with_logs(begun):
            files.unlink(leftover)
        if base is Base.SPARE:
            with closing(Database(spare, key, env, files=files, keeps_previous=False)) as database:
                database.copy_to(begun)
        with closing(Database(begun, key, env, files=files, keeps_previous=False)) as database:
            Settings(database).put({KEPT_UNTIL: str(int(env.now_s() + KEPT_FOR_S)).encode()})
        files.rename(begun, root / DATABASE)
        files.sync_folder(root)
    except OSError as error:
        raise from_errno(error.errno or 0, f"putting {DATABASE} in place") from None
    return base


def _lost(root: Path, files: Files) -> list[str]:
    """The databases moved aside, in order."""
    numbers = (name.removeprefix(LOST) for name, _ in files.listed(root) if name.startswith(LOST))
    return [f"{LOST}{number}" for number in sorted(int(text) for text in numbers if text.isdecimal())]


def _number(name: str) -> int:
    return int(name.removeprefix(LOST))


def _settings_in(damaged: OpenedDamaged) -> dict[str, bytes]:
    found = damaged.rows("settings", ("key", "value"), ("key",))
    return {str(key): bytes(value) for key, value in found if not str(key).startswith((_READ, KEPT_UNTIL))}


def _take_records(damaged: OpenedDamaged, records: RecordStore) -> int:
    columns = ("tbl", "key", "value", "removed", "lamport", "author", "encoded", "sector")
    taken = 0
    for rows in _batches(damaged.rows("records", columns, ("tbl", "key"))):
        found = [(Record(row[0], row[1], row[2], bool(row[3]), *row[4:7]), int(row[7])) for row in rows]
        taken += sum(records.apply([record for record, _ in found], [sector for _, sector in found]))
    return taken


def take_chunks(damaged: OpenedDamaged, chunks: DiskChunkStore) -> int:
    """Take over the chunks that lie inside another database and can still be read; how many were missing."""
    taken = 0
    for rows in _batches(damaged.rows("inline_chunks", ("address", "data"), ("rowid",))):
        found = [(Address(address), data) for address, data in rows if address_of(data) == address]
        held = chunks.present([address for address, _ in found])
        chunks.put_many([chunk for chunk in found if chunk[0] not in held])
        taken += len(found) - len(held)
    return taken


def _take_rows(damaged: OpenedDamaged, rows: Repositories) -> int:
    """In the order in which they need each other; those of the cache after the chunks."""
    taken = 0
    for repository in rows.all:
        if isinstance(repository, Repository):
            taken += sum(repository.take(batch) for batch in _batches(repository.remains(damaged)))
    return taken


def _batches(rows: Iterator[T]) -> Iterator[Sequence[T]]:
    batch: list[T] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
