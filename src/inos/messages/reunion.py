"""Messages out of a backup and those that are there, as one: a restore takes none away.

Rules
- A cache gets what the present one has written since, in its order; what of that no hub has for good is pending again.
  The hub takes what it has already for a duplicate.
- A corpus gets the messages and marks of the present one, and another identity: seqs that the old one gave out, and
  what it told agents that it has, may be of messages that are not in the backup. So agents send again what was not
  covered, and the old corpus's segments are taken in like another hub's (decision 16).
- What is there and cannot be read is kept beside, as NAME.lost-N. Nobody may have either side open.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, Corrupt, NotFound, Refused
from inos.core.messages.ids import TAIL_BYTES, next_id
from inos.core.messages.sync import MAX_BATCH
from inos.messages.cache_folder import KEY_FILE
from inos.messages.cache_rows import fact, last_row, place_of_id, run, set_fact
from inos.messages.cache_schema import AGENT, SETBACK
from inos.messages.hub_memory import OWED, Covered, Settings, decode_covered, memory_key
from inos.messages.on_disk import is_beside, is_corpus, is_database, key_of, open_database
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.store.cursor import Cursor, Row, first
from inos.store.database import Database
from inos.store.files import free_name
from inos.store.filesystem import REAL_FILES
from inos.store.private_files import explained

# What a database needs that was not closed.
_GOES_ALONG: Final = ("", "-wal", "-loose")
_PENDING: Final = (
    "(EXISTS (SELECT 1 FROM outbox AS o WHERE o.seq = m.seq) OR EXISTS (SELECT 1 FROM sent AS s WHERE s.seq = m.seq))"
)
_PARKED: Final = "EXISTS (SELECT 1 FROM parked AS p WHERE p.seq = m.seq)"
_UNSENT: Final = (
    f"SELECT m.seq, m.id FROM messages AS m WHERE m.seq > ? AND m.seq < ? AND ({_PENDING} OR {_PARKED})"  # noqa: S608
    " ORDER BY m.seq LIMIT ?"
)
_NEWER: Final = (
    f"SELECT m.seq, m.id, m.time_ms, m.body, p.at_ms, p.code, p.message, p.hint, {_PENDING}"  # noqa: S608
    " FROM messages AS m LEFT JOIN parked AS p ON p.seq = m.seq WHERE m.seq >= ? ORDER BY m.seq LIMIT ?"
)


def bring_together(new: Path, present: Path, root_key: bytes, env: Env) -> Iterator[Path]:
    """Give the folder of messages `new`, out of a backup, what `present` has beyond it; each file looked at. Raises
    Conflict where that cannot be done without losing messages, and what a disk raises."""
    with explained("look into", present):
        there = list(_files_below(present))
    for path in there:
        into = new / path.relative_to(present)
        if is_beside(path.name):
            continue
        if not os.path.lexists(into):
            _carry(path, into)
        elif is_database(path.name) and not path.is_symlink():
            if into.is_symlink():  # what it leads to is no part of this
                _keep_beside(path, into)
            else:
                _join(into, path, root_key, env)
        yield path


def _files_below(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for place, folders, names in os.walk(folder, onerror=_raised):  # what is passed over would be gone
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (Path(place, name) for name in sorted([*names, *links]))


def _raised(error: OSError) -> None:
    raise error


def _carry(path: Path, into: Path) -> None:
    """Have what is at `path` there, too. Links to it do, but for a corpus, which is about to be changed."""
    with explained("keep", path):
        into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for end in _GOES_ALONG if is_database(path.name) else _GOES_ALONG[:1]:
            old, new = path.with_name(path.name + end), into.with_name(into.name + end)
            if old.is_symlink():
                new.symlink_to(os.readlink(old))  # noqa: PTH115 - as it is
            elif old.is_file():
                _link(old, new, copies=is_corpus(path))


def _link(old: Path, new: Path, *, copies: bool) -> None:
    new.unlink(missing_ok=True)  # it may share its bytes with what is present
    try:
        if not copies:
            new.hardlink_to(old)
            return
    except OSError:  # a file system without links, or another one
        pass
    REAL_FILES.copy_synced(old, new)
    shutil.copystat(old, new)


def _join(into: Path, path: Path, root_key: bytes, env: Env) -> None:
    try:
        if is_corpus(path):
            _join_corpora(into, path, root_key, env)
            return
        with closing(open_database(path, root_key, env)) as other, closing(open_database(into, root_key, env)) as cache:
            take_over(cache, other, path)
    except (Corrupt, NotFound, Refused):  # of the present one: the other was proven
        _keep_beside(path, into)


def _keep_beside(path: Path, into: Path) -> None:
    ending = free_name(into).name.removeprefix(into.name)
    with explained("keep", path):
        for old in (path, path.with_name(path.name + "-wal"), path.parent / KEY_FILE):
            if old.is_file():
                _link(old, into.with_name(f"{old.name}{ending}"), copies=False)


# Caches


def take_over(into: Database, other: Database, where: Path) -> int:
    """Append to a cache what another one of the same agent, at `where`, has written after it; how many messages.
    Raises Conflict where the other one has earlier ones that no hub has for good."""
    agents = {database.read(_agent) for database in (into, other)} - {""}
    if len(agents) > 1:
        raise Conflict(f"{where} is the cache of another agent than in the backup", hint=f"move {where} away")
    last = into.read(_last_id)
    seq = other.read(lambda cursor: place_of_id(cursor, last))
    if other.read(lambda cursor: _id_at(cursor, seq)) == last:
        seq += 1  # the one is the beginning of the other
    elif missing := _missing(into, other, seq):
        raise Conflict(
            f"{where} and the cache in the backup are of two beginnings, and {missing} messages here are on no hub yet",
            hint=f"have them sent first (inos up, inos msg stats), or move {where} away",
        )
    setback_ms, count = other.read(lambda cursor: fact(cursor, SETBACK)), 0
    while rows := other.read(partial(_rows, _NEWER, (seq, MAX_BATCH))):
        into.write(partial(_append, rows, setback_ms))
        seq, count = int(rows[-1][0]) + 1, count + len(rows)
    return count


def _agent(cursor: Cursor) -> str:
    row = first(cursor.execute("SELECT value FROM facts WHERE name = ?", (AGENT,)))
    return str(row[0]) if row else ""


def _last_id(cursor: Cursor) -> bytes:
    row = last_row(cursor)
    return bytes(row[1]) if row else b""


def _id_at(cursor: Cursor, seq: int) -> bytes:
    row = first(cursor.execute("SELECT id FROM messages WHERE seq = ?", (seq,)))
    return bytes(row[0]) if row else b""


def _rows(sql: str, bindings: Sequence[int], cursor: Cursor) -> list[Row]:
    return list(cursor.execute(sql, bindings))


def _missing(into: Database, other: Database, until: int) -> int:
    """How many of those that no hub has for good, below the seq `until` of `other`, are not in `into`."""
    count = seq = 0
    while rows := other.read(partial(_rows, _UNSENT, (seq, until, MAX_BATCH))):
        ids = [bytes(row[1]) for row in rows]
        there = into.read(partial(_between, ids[0], ids[-1]))
        count, seq = count + len(set(ids) - there), int(rows[-1][0])
    return count


def _between(low: bytes, high: bytes, cursor: Cursor) -> set[bytes]:
    """The ids from `low` to `high`. Of one agent's as many as it wrote meanwhile."""
    sql = "SELECT id FROM messages WHERE seq >= ? AND seq <= ?"
    return {bytes(row[0]) for row in cursor.execute(sql, (place_of_id(cursor, low), place_of_id(cursor, high)))}


def _append(rows: Sequence[Row], setback_ms: int, cursor: Cursor) -> None:
    for _, message_id, time_ms, body, at_ms, code, text, hint, pending in rows:
        run(cursor, "INSERT INTO messages VALUES (NULL, ?, ?, ?)", (message_id, time_ms, body))
        if at_ms is not None:
            run(cursor, "INSERT INTO parked VALUES (last_insert_rowid(), ?, ?, ?, ?)", (at_ms, code, text, hint))
        elif pending:
            run(cursor, "INSERT INTO outbox VALUES (last_insert_rowid())")
    if setback_ms > fact(cursor, SETBACK):
        set_fact(cursor, SETBACK, setback_ms)


# Corpora


def _join_corpora(into: Path, path: Path, root_key: bytes, env: Env) -> None:
    with (
        closing(SqliteCorpus(path, key_of(path, root_key), env)) as other,
        closing(SqliteCorpus(into, key_of(into, root_key), env)) as corpus,
    ):
        same, stats = corpus.identity == other.identity, corpus.stats()
        seq, mark_seq = (stats.last_seq, stats.last_mark_seq) if same else (0, 0)
        while page := other.after(seq, MAX_BATCH):
            corpus.insert([each.message for each in page], int(env.now_s() * 1000))
            seq = page[-1].seq
        while changes := other.marks_after(mark_seq, MAX_BATCH):
            corpus.merge_marks([(each.id, each.marks) for each in changes])
            mark_seq = changes[-1].mark_seq


def renew(path: Path, root_key: bytes, settings: Settings, env: Env) -> None:
    """Give the corpus at `path`, out of a backup, another identity, and under it what the hub remembered in `settings`;
    what it has and the mesh has not is owed to the hub there is."""
    fresh = str(next_id(int(env.now_s() * 1000), env.token_bytes(TAIL_BYTES), None))

    def work(cursor: Cursor) -> str:
        row = first(cursor.execute("SELECT identity FROM corpus"))
        run(cursor, "UPDATE corpus SET identity = ?", (fresh,))
        return str(row[0]) if row else ""

    with closing(open_database(path, root_key, env)) as database:
        before = database.write(work)
    values = {OWED: b"1"}
    if (encoded := settings.get(memory_key(before))) is not None:
        values[memory_key(fresh)] = _as_of_then(encoded)
    settings.put(values)


def _as_of_then(encoded: bytes) -> bytes:
    try:
        covered = decode_covered(encoded)
    except BadInput:
        covered = Covered()
    covered.whole_term = 0  # it serves only once a majority was heard: the mesh may have gone on since
    return covered.encode()
