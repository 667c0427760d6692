"""The encrypted database: durability of writes, group commit, and every way its file can be wrong."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.env import RealEnv
from inos.core.errors import BadInput, Conflict, Corrupt, NewerFormat
from inos.sim.disk import SimDisk
from inos.store.cursor import Cursor
from inos.store.database import Database
from inos.store.filesystem import REAL_FILES, Files
from inos.store.group_commit import Outcome, Work
from inos.store.migrations import MIGRATIONS
from inos.store.migrations.step import Migration
from inos.testing.env import SimEnv
from inos.testing.run import trio_test

KEY: Final = bytes(range(32))
PLAIN: Final = b"a plaintext nobody may find on the disk"


def put(key: str, value: bytes) -> Callable[[Cursor], None]:
    def work(cursor: Cursor) -> None:
        list(cursor.execute("INSERT INTO settings VALUES (?, ?)", (key, value)))

    return work


def everything(cursor: Cursor) -> dict[str, bytes]:
    return dict(cursor.execute("SELECT key, value FROM settings"))


@dataclass(frozen=True)
class Place:
    """Where a database is put: a folder of a machine, or of a simulated disk."""

    folder: Path
    files: Files

    @property
    def path(self) -> Path:
        return self.folder / "inos.db"

    def open(self, name: str = "inos.db", key: bytes = KEY, migrations: Sequence[Migration] = MIGRATIONS) -> Database:
        return Database(self.folder / name, key, RealEnv(), migrations=migrations, files=self.files)

    def content(self, name: str = "inos.db") -> bytes:
        return self.files.read(self.folder / name, 1 << 30)

    def write(self, name: str, data: bytes) -> None:
        self.files.write_synced([(self.folder / name, data)])

    def names(self) -> list[str]:
        return sorted(name for name, _ in self.files.listed(self.folder))


KINDS: Final = ("machine", "simulated")


def place_of(kind: str, folder: Path) -> Place:
    if kind == "machine":
        return Place(folder, REAL_FILES)
    disk = SimDisk(random.Random(1), capacity_bytes=10**9)
    return Place(disk.root, disk.files)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of(request.param, tmp_path)


def opened(path: Path) -> Database:
    return Database(path, KEY, RealEnv())


def filled(place: Place, rows: int = 200) -> Place:
    """A closed database with `rows` settings, its log written back."""
    database = place.open()
    database.write(
        lambda cursor: list(
            cursor.executemany("INSERT INTO settings VALUES (?, ?)", ((f"k{n}", PLAIN * 8) for n in range(rows)))
        )
    )
    database.close()
    return place


def test_what_was_written_is_there_after_reopening(place: Place) -> None:
    first = place.open()
    first.write(put("a", b"1"))
    first.close()
    second = place.open()
    assert second.read(everything) == {"a": b"1"}
    second.close()


def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    opened(tmp_path / "inos.db").close()
    assert ((tmp_path / "inos.db").stat().st_mode & 0o777) == 0o600


def test_a_write_that_raises_leaves_nothing(place: Place) -> None:
    database = place.open()

    def half(cursor: Cursor) -> None:
        put("a", b"1")(cursor)
        raise BadInput("no")

    with pytest.raises(BadInput):
        database.write(half)
    assert database.read(everything) == {}
    database.close()


def test_readers_cannot_write(place: Place) -> None:
    database = place.open()
    with pytest.raises(Exception, match=r"readonly|read.only"):
        database.read(put("b", b"2"))
    database.write(put("a", b"1"))
    assert database.read(everything) == {"a": b"1"}
    database.close()


def test_readers_see_a_snapshot(tmp_path: Path) -> None:
    database = opened(tmp_path / "inos.db")

    def read_around_a_write(cursor: Cursor) -> tuple[int, int]:
        before = len(everything(cursor))
        database.write(put("a", b"1"))
        return before, len(everything(cursor))

    assert database.read(read_around_a_write) == (0, 0)
    assert database.read(everything) == {"a": b"1"}
    database.close()


def test_threads_share_it(place: Place) -> None:
    database = place.open()

    def work(number: int) -> None:
        for step in range(10):
            database.write(put(f"{number}.{step}", b"x"))
            assert f"{number}.{step}" in database.read(everything)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        database.release_memory()
    for thread in threads:
        thread.join()
    assert len(database.read(everything)) == 120
    database.close()


def test_closing_twice_is_fine_and_using_it_after_is_said(place: Place) -> None:
    database = place.open()
    database.close()
    database.close()
    for use in (lambda: database.read(everything), lambda: database.write(put("a", b"")), database.checkpoint):
        with pytest.raises(Conflict):
            use()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=40), st.integers(0, 3))
def test_group_commit_is_each_write_alone(kind: str, jobs: list[tuple[int, bool]], seed: int) -> None:
    """Whatever meets in a group, the result is that of running the successful ones one after the other."""

    async def main(place: Place) -> None:
        database = Database(place.path, KEY, SimEnv(seed), files=place.files)
        failed: list[int] = []

        async def run(number: int, slot: int, fails: bool) -> None:
            def add(cursor: Cursor) -> None:
                sql = (
                    "INSERT INTO settings VALUES (?, ?)"
                    " ON CONFLICT DO UPDATE SET value = CAST(value || excluded.value AS BLOB)"
                )
                list(cursor.execute(sql, (str(slot), b"%d," % number)))
                if fails:
                    raise BadInput("no")

            try:
                await database.write_async(add)
            except BadInput:
                failed.append(number)

        async with trio.open_nursery() as nursery:
            for number, (slot, fails) in enumerate(jobs):
                nursery.start_soon(run, number, slot, fails)
        assert sorted(failed) == [number for number, (_, fails) in enumerate(jobs) if fails]
        found = {key: sorted(value.split(b",")[:-1]) for key, value in database.read(everything).items()}
        expected: dict[str, list[bytes]] = {}
        for number, (slot, fails) in enumerate(jobs):
            if not fails:
                expected.setdefault(str(slot), []).append(b"%d" % number)
        assert found == {key: sorted(values) for key, values in expected.items()}
        database.close()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, place_of(kind, Path(folder)))


@trio_test
async def test_writers_of_one_moment_share_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = opened(tmp_path / "inos.db")
    groups: list[int] = []
    run_group = database._commits._run_group

    def counted(group: Sequence[Work[Any]]) -> list[Outcome]:
        groups.append(len(group))
        return run_group(group)

    monkeypatch.setattr(database._commits, "_run_group", counted)
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(database.write_async, put(str(number), b""))
    assert sum(groups) == 100
    assert len(groups) <= 3
    database.close()


@trio_test
async def test_a_cancelled_writer_holds_nobody_up(place: Place) -> None:
    database = place.open()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            scope.cancel()
            await database.write_async(put("cancelled", b""))
        for number in range(5):
            nursery.start_soon(database.write_async, put(str(number), b""))
    assert sorted(database.read(everything)) == ["0", "1", "2", "3", "4"]
    database.close()


def replace_with(value: bytes) -> Callable[[Cursor], object]:
    return lambda cursor: list(cursor.execute("REPLACE INTO settings VALUES ('k', ?)", (value,)))


def test_two_that_write_the_log_back_at_once_are_not_in_each_others_way(tmp_path: Path) -> None:
    """A writer's backstop meets whoever looks after the log: neither may tell a writer that it failed."""
    database, failed = opened(tmp_path / "inos.db"), list[Exception]()
    try:
        done = threading.Event()

        def write_back() -> None:
            while not done.is_set():
                try:
                    database.checkpoint()
                except Exception as error:  # a thread has nobody to raise to
                    failed.append(error)
                    return

        threads = [threading.Thread(target=write_back) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(60):
            database.write(put(str(number), bytes(100_000)))
        done.set()
        for thread in threads:
            thread.join()
        assert not failed, failed
        assert len(database.read(everything)) == 60
    finally:
        database.close()


def test_checkpoint_empties_the_log_for_reuse(tmp_path: Path) -> None:
    database = opened(tmp_path / "inos.db")
    log = tmp_path / "inos.db-wal"
    for _ in range(3):
        for number in range(40):
            database.write(replace_with(bytes([number]) * 60_000))
        database.checkpoint()
    assert log.stat().st_size < 2 * 40 * 70_000  # three rounds fit in little more than one
    database.close()
    assert not log.exists()


def test_nothing_readable_on_the_disk(tmp_path: Path) -> None:
    database = opened(tmp_path / "inos.db")
    database.write(put("a name nobody may find", PLAIN * 100))
    database.write(lambda cursor: list(cursor.execute("SELECT * FROM settings ORDER BY value || random()")))
    for _ in range(2):
        contents = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert len(contents) > 4000
        for secret in (PLAIN, b"a name nobody", b"settings", b"CREATE TABLE", b"SQLite format", KEY):
            assert secret not in contents
        database.close()


def test_another_key_does_not_open_it(place: Place) -> None:
    before = filled(place).content()
    with pytest.raises(Corrupt) as caught:
        place.open(key=bytes(32))
    assert "identity" in caught.value.hint
    assert place.content() == before
    with pytest.raises(BadInput):
        place.open(key=b"short")


@pytest.mark.parametrize("kept", [0, 1, 16, 100, 511, 512, 4096, 5000, 40_960])
def test_a_truncated_file_is_reported(place: Place, kept: int) -> None:
    place.write("inos.db", filled(place).content()[:kept])
    with pytest.raises(Corrupt) as caught:
        place.open().read(everything)
    assert caught.value.hint


def test_garbage_is_reported_and_left_alone(place: Place) -> None:
    garbage = bytes(range(256)) * 64
    place.write("inos.db", garbage)
    with pytest.raises(Corrupt):
        place.open()
    assert place.content() == garbage


def test_every_flipped_bit_is_noticed(place: Place) -> None:
    original = filled(place).content()
    for position in range(0, len(original), len(original) // 60):
        flipped = bytearray(original)
        flipped[position] ^= 1
        place.write("flipped.db", bytes(flipped))
        try:
            database = place.open("flipped.db")
        except (Corrupt, NewerFormat):
            continue
        assert database.check() or len(database.read(everything)) == 200
        database.close()


def test_a_log_without_its_database_is_reported(place: Place) -> None:
    place.write("inos.db-wal", b"the log of a lost database")
    with pytest.raises(Corrupt, match="missing"):
        place.open()


def test_a_creation_that_was_interrupted_starts_over(place: Place) -> None:
    place.write("inos.db.new", b"half of a")
    place.open().close()
    assert place.names() == ["inos.db"]


def test_a_newer_schema_is_refused_and_left_untouched(place: Place) -> None:
    database = place.open()
    database.write(lambda cursor: list(cursor.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")))
    before = {end: place.content("inos.db" + end) for end in ("", "-wal")}
    for end, content in before.items():  # as a crash would leave it: with a log
        place.write("copy.db" + end, content)
    with pytest.raises(NewerFormat):
        place.open("copy.db")
    assert {end: place.content("copy.db" + end) for end in before} == before
    database.close()


def test_migrations_resume_where_they_stopped(place: Place) -> None:
    filled(place, rows=3)
    grow = Migration("more", "CREATE TABLE more (a INTEGER) STRICT; INSERT INTO more VALUES (7)", frozenset({"more"}))
    broken = Migration("broken", "CREATE TABLE most (a INTEGER) STRICT", frozenset({"most", "never made"}))
    mended = Migration("mended", "CREATE TABLE most (a INTEGER) STRICT", frozenset({"most"}))
    with pytest.raises(Corrupt, match="never made"):
        place.open(migrations=(*MIGRATIONS, grow, broken))
    with pytest.raises(NewerFormat):
        place.open()
    database = place.open(migrations=(*MIGRATIONS, grow, mended))
    assert database.read(lambda cursor: list(cursor.execute("SELECT a FROM more"))) == [(7,)]
    assert len(database.read(everything)) == 3
    database.close()


FILL = """
import resource, signal, sys
from pathlib import Path
from inos.core.env import RealEnv
from inos.core.errors import StorageFull
from inos.store.database import Database
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
database = Database(Path(sys.argv[1]), bytes(range(32)), RealEnv())
resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, resource.RLIM_INFINITY))
def put(name, blob):
    database.write(lambda cursor: list(cursor.execute("INSERT INTO settings VALUES (?, ?)", (name, blob))))
done = 0
try:
    while done < 1000:
        put(f"k{done}", bytes(20_000))
        done += 1
except StorageFull as error:
    print(done, bool(error.hint))
count = lambda: database.read(lambda cursor: list(cursor.execute("SELECT count(*) FROM settings")))[0][0]
assert count() == done, (count(), done)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
put("after", b"room again")
assert count() == done + 1
database.close()
"""


def test_a_full_disk_fails_the_write_whole_and_it_goes_on_after(tmp_path: Path) -> None:
    path = tmp_path / "inos.db"
    ran = subprocess.run([sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    done, hinted = ran.stdout.split()
    assert 5 < int(done) < 1000
    assert hinted == "True"
    database = opened(path)
    assert len(database.read(everything)) == int(done) + 1
    assert database.check() == []
    database.close()


def test_settings_of_every_connection(place: Place) -> None:
    database = place.open()

    def look(cursor: Cursor) -> list[int | str]:
        names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "cell_size_check", "temp_store")
        return [next(iter(cursor.execute(f"PRAGMA {name}")))[0] for name in names]

    assert database.read(look) == ["wal", 2, 1, 0, 1, 2]
    assert database.write(look) == ["wal", 2, 1, 0, 1, 2]
    database.close()
