"""Upgrades of the schema: what was there stays, the file as it was is kept, and no death in between leaves neither."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from inos.core.errors import Corrupt, NewerFormat, StorageFull
from inos.core.ids import Cid
from inos.core.rows.kept import HeldObject
from inos.core.rows.personal import Preference
from inos.core.rows.row import Query
from inos.sim.disk import SimDisk
from inos.store.cursor import Cursor, SqlValue
from inos.store.database import Database
from inos.store.filesystem import REAL_FILES, Files
from inos.store.holdings import Holding, Holdings, HoldingState
from inos.store.migrations import MIGRATIONS
from inos.store.previous import KEPT_S, previous_versions
from inos.store.repositories import Repositories
from inos.testing.chunks import Clock

KEY: Final = bytes(range(32))
ROWS: Final = 200
HELD: Final = Holding(Cid(b"c" * 32), 3, HoldingState.HELD, 70_000, 1_700_000_000)


def rows_of(database: Database, sql: str) -> list[tuple[SqlValue, ...]]:
    return database.read(lambda cursor: list(cursor.execute(sql)))


def content(database: Database) -> list[tuple[SqlValue, ...]]:
    return rows_of(database, "SELECT key, value FROM settings ORDER BY key")


def opened(folder: Path, files: Files = REAL_FILES, steps: int | None = None, clock: Clock | None = None) -> Database:
    return Database(folder / "inos.db", KEY, clock or Clock(), migrations=MIGRATIONS[:steps], files=files)


def written_by_the_first_release(folder: Path, files: Files = REAL_FILES) -> list[tuple[SqlValue, ...]]:
    """A database with the first schema only, as the release that knew no other left it; what its settings are."""
    database = opened(folder, files, steps=1)

    def work(cursor: Cursor) -> None:
        values = ((f"k{number}", b"%d" % number * 40) for number in range(ROWS))
        list(cursor.executemany("INSERT INTO settings VALUES (?, ?)", values))
        held = (HELD.cid, HELD.epoch, HELD.state.value, HELD.size_bytes, HELD.attached_at_s)
        list(cursor.execute("INSERT INTO holdings VALUES (?, ?, ?, ?, ?, NULL)", held))

    database.write(work)
    found = content(database)
    database.close()
    return found


@pytest.fixture(params=("machine", "simulated"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Files]]:
    if request.param == "machine":
        yield tmp_path, REAL_FILES
    else:
        disk = SimDisk(random.Random(1), capacity_bytes=10**9)
        yield disk.root, disk.files


def test_a_database_of_the_first_release_is_upgraded_with_all_that_is_in_it(place: tuple[Path, Files]) -> None:
    folder, files = place
    before = written_by_the_first_release(folder, files)
    database = opened(folder, files)
    assert rows_of(database, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert content(database) == before
    assert Holdings(database).get(HELD.cid) == HELD
    rows = Repositories(database)
    assert [row.cid for row in rows.objects.page(_all_objects()).rows] == [HELD.cid]
    rows.preferences.put(Preference("theme", "dark", 5))
    assert database.check() == []
    database.close()


def _all_objects() -> Query[HeldObject]:

    return Query(HeldObject)


def test_the_file_as_it_was_is_kept_and_serves_the_old_release(place: tuple[Path, Files]) -> None:
    folder, files = place
    before = written_by_the_first_release(folder, files)
    as_it_was = files.read(folder / "inos.db", 1 << 30)
    opened(folder, files).close()
    assert files.read(folder / "inos.db.v1", 1 << 30) == as_it_was
    assert previous_versions(folder / "inos.db", files) == [1]
    with pytest.raises(NewerFormat):
        opened(folder, files, steps=1)
    # The way back that the documents give.
    files.unlink(folder / "inos.db-wal")
    files.rename(folder / "inos.db.v1", folder / "inos.db")
    database = opened(folder, files, steps=1)
    assert content(database) == before
    database.close()


def test_what_is_kept_is_for_its_owner_only_and_encrypted(tmp_path: Path) -> None:
    written_by_the_first_release(tmp_path)
    opened(tmp_path).close()
    kept = tmp_path / "inos.db.v1"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert b"settings" not in kept.read_bytes() and b"SQLite format" not in kept.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inos.db", "inos.db.v1"]


def test_nothing_is_kept_of_a_database_that_is_new_or_up_to_date(place: tuple[Path, Files]) -> None:
    folder, files = place
    for _ in range(2):
        opened(folder, files).close()
        assert sorted(name for name, _ in files.listed(folder)) == ["inos.db"]


def test_when_each_step_was_taken_is_written_down(tmp_path: Path) -> None:
    clock = Clock()
    clock.wall_s = 1_800_000_000.5
    written_by_the_first_release(tmp_path)
    database = opened(tmp_path, clock=clock)
    history = rows_of(database, "SELECT version, applied_at, description FROM schema_version ORDER BY version")
    database.close()
    assert [row[0] for row in history] == list(range(1, len(MIGRATIONS) + 1))
    assert [row[1] for row in history] == [None, *[1_800_000_000] * (len(MIGRATIONS) - 1)]
    assert [row[2] for row in history] == [step.description for step in MIGRATIONS]


def test_a_copy_goes_when_it_is_a_week_old_and_the_database_is_sound(tmp_path: Path) -> None:
    clock = Clock()
    written_by_the_first_release(tmp_path)
    database = opened(tmp_path, clock=clock)
    clock.wall_s += KEPT_S - 1
    database.drop_previous()
    assert (tmp_path / "inos.db.v1").exists()
    database.close()
    clock.wall_s += 1
    database = opened(tmp_path, clock=clock)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "check", lambda: ["a page is damaged"])
        database.drop_previous()
        assert (tmp_path / "inos.db.v1").exists()
    database.drop_previous()
    assert not (tmp_path / "inos.db.v1").exists()
    database.close()


def test_without_room_for_the_copy_nothing_is_touched() -> None:
    disk = SimDisk(random.Random(1), capacity_bytes=10**9)
    before = written_by_the_first_release(disk.root, disk.files)
    as_it_was = disk.peek(str(disk.root / "inos.db"))
    disk.fill(1 << 20)
    with pytest.raises(StorageFull) as caught:
        opened(disk.root, disk.files)
    assert "start again" in caught.value.hint
    assert disk.peek(str(disk.root / "inos.db")) == as_it_was
    assert sorted(name for name, _ in disk.files.listed(disk.root)) == ["inos.db"]
    disk.fill(None)
    database = opened(disk.root, disk.files)
    assert content(database) == before
    database.close()


def test_a_disk_that_fails_while_copying_leaves_the_database_as_it_was() -> None:
    disk = SimDisk(random.Random(1), capacity_bytes=10**9)
    before = written_by_the_first_release(disk.root, disk.files)
    disk.fail("write", where="inos.db.v1")
    with pytest.raises(Corrupt):
        opened(disk.root, disk.files)
    database = opened(disk.root, disk.files)
    assert content(database) == before
    database.close()


@pytest.mark.parametrize("seed", range(4))
def test_power_lost_at_any_step_of_an_upgrade(seed: int) -> None:
    """Either schema, all of the content, a copy that is whole or not there; and the next start gets through."""
    at = 0
    while True:
        at += 1
        disk = SimDisk(random.Random(1000 * seed + at), capacity_bytes=10**9)
        before = written_by_the_first_release(disk.root, disk.files)
        as_it_was = disk.peek(str(disk.root / "inos.db"))
        alive = disk.files
        disk.cut_power_at(disk.steps + at)
        opened(disk.root, alive).close()
        if disk.files is alive:
            break
        kept = disk.peek(str(disk.root / "inos.db.v1"))
        assert kept in (None, as_it_was)
        database = opened(disk.root, disk.files)
        assert content(database) == before and rows_of(database, "PRAGMA user_version") == [(len(MIGRATIONS),)]
        assert database.check() == []
        database.close()
        assert disk.peek(str(disk.root / "inos.db.v1")) is not None
    assert at > 20


KILLED = """
import json, os, signal, sys
from pathlib import Path
import apsw
from inos.core.env import RealEnv
from inos.store.database import Database
from inos.store.migrations import MIGRATIONS

home, key = Path(sys.argv[1]), bytes(range(32))


def die_at(number):
    seen = 0

    def trace(*_):
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    apsw.connection_hooks.append(lambda connection: connection.set_exec_trace(trace))


results = []
for at in range(1, 500):
    folder = home / str(at)
    folder.mkdir()
    database = Database(folder / "inos.db", key, RealEnv(), migrations=MIGRATIONS[:1])
    database.write(lambda cursor: list(cursor.execute("INSERT INTO settings VALUES ('kept', x'01')")))
    database.close()
    child = os.fork()
    if child == 0:
        die_at(at)
        Database(folder / "inos.db", key, RealEnv()).close()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    database = Database(folder / "inos.db", key, RealEnv())
    rows = database.read(lambda cursor: list(cursor.execute("SELECT key, value FROM settings")))
    version = database.read(lambda cursor: list(cursor.execute("PRAGMA user_version")))[0][0]
    sound = rows == [("kept", bytes([1]))] and version == len(MIGRATIONS) and not database.check()
    database.close()
    results.append((code, sound, (folder / "inos.db.v1").exists()))
    if code == 0:
        break
print(json.dumps(results))
"""


def test_killed_at_every_statement_of_an_upgrade(tmp_path: Path) -> None:
    """A process, `kill -9` at each statement that SQLite is given in turn, and a start after it."""
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=110, check=False
    )
    assert ran.returncode == 0, ran.stderr
    results = json.loads(ran.stdout)
    assert results[-1][0] == 0 and all(code == -9 for code, _, _ in results[:-1])
    assert len(results) > 50
    assert all(sound and kept for _, sound, kept in results)
