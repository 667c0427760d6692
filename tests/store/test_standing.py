"""A database file read as it lies while others write to it: processes of their own, with the real locks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from inos.core.env import RealEnv
from inos.core.errors import Corrupt, Locked
from inos.store.cursor import Cursor
from inos.store.database import Database
from inos.store.filesystem import REAL_FILES
from inos.store.standing import standing_still

KEY = bytes(range(32))

_WRITER = """
import sys, time
from pathlib import Path
from inos.core.env import RealEnv
from inos.store.database import Database

database = Database(Path(sys.argv[1]), bytes(range(32)), RealEnv())
number = 0
while not Path(sys.argv[1] + "-stop").exists():
    if Path(sys.argv[1] + "-pause").exists():
        print("pausing", flush=True)
        while Path(sys.argv[1] + "-pause").exists():
            time.sleep(0.01)
    number += 1
    database.write(lambda cursor: list(cursor.execute(
        "INSERT INTO settings VALUES (?, ?)", (f"{number:09}", bytes(200)))))
    print(number, flush=True)
    if number % 50 == 0:
        database.checkpoint()
database.close()
print("closed", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.db"


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes numbers, one a commit, and says each when it is synced."""
    command = [sys.executable, "-c", _WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            for _ in range(20):
                said(writer)
            yield writer
        finally:
            writer.kill()


def said(writer: subprocess.Popen[str]) -> str:
    assert writer.stdout is not None
    return writer.stdout.readline().strip()


def numbers(cursor: Cursor) -> list[int]:
    return [int(key) for (key,) in cursor.execute("SELECT key FROM settings ORDER BY key")]


def test_it_holds_all_that_was_acknowledged_before(path: Path) -> None:
    with writing(path) as writer:
        for attempt in range(6):
            before = int(said(writer))
            with standing_still(path, KEY, REAL_FILES) as standing:
                copy = path.with_name(f"copy{attempt}")
                with copy.open("wb") as file:
                    for block in standing.blocks(64 << 10):
                        file.write(block)
                        said(writer)  # it goes on meanwhile
                seen = numbers(standing.cursor)
            with closing(Database(copy, KEY, RealEnv())) as database:
                assert database.check() == []
                assert database.read(numbers) == seen == list(range(1, len(seen) + 1))
            assert len(seen) >= before


def test_who_ends_takes_nobody_elses_locks_away(path: Path) -> None:
    """Two stand on the file in this process. When one has ended, the process that writes must not take itself for the
    last one: it would write the log back below the other, and remove it."""
    pause = path.with_name(path.name + "-pause")
    with writing(path) as writer, ExitStack() as stack:
        pause.touch()
        while said(writer) != "pausing":
            pass
        standing = stack.enter_context(standing_still(path, KEY, REAL_FILES))
        before = numbers(standing.cursor)
        with standing_still(path, KEY, REAL_FILES) as second:
            list(second.blocks(4096))
        pause.unlink()
        assert int(said(writer)) == before[-1] + 1
        path.with_name(path.name + "-stop").touch()
        while (last := said(writer)) != "closed":
            assert last
        assert path.with_name(path.name + "-wal").stat().st_size
        whole = b"".join(standing.blocks(4096))
        assert whole == path.read_bytes() and numbers(standing.cursor) == before


def test_a_reader_in_the_way_is_waited_for_and_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inos.store.standing._TRIES", 3)
    with closing(Database(path, KEY, RealEnv())) as database:
        put(database, "a")

        def stand(cursor: Cursor) -> None:
            list(cursor.execute("SELECT count(*) FROM settings"))
            put(other, "b")
            with pytest.raises(Locked), standing_still(path, KEY, REAL_FILES):
                pass

        with closing(Database(path, KEY, RealEnv())) as other:
            database.read(stand)
            with standing_still(path, KEY, REAL_FILES) as standing:
                assert [key for (key,) in standing.cursor.execute("SELECT key FROM settings")] == ["a", "b"]


def put(database: Database, key: str) -> None:
    database.write(lambda cursor: list(cursor.execute("INSERT INTO settings VALUES (?, x'00')", (key,))))


def test_a_damaged_log_is_left_as_it_is(path: Path, tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom inos.core.env import RealEnv\n"
        "from inos.store.database import Database\n"
        "database = Database(Path(sys.argv[1]), bytes(range(32)), RealEnv())\n"
        "for name in 'abcd':\n"
        "    database.write(lambda c: list(c.execute('INSERT INTO settings VALUES (?, ?)', (name, bytes(9000)))))\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    log = path.with_name(path.name + "-wal")
    sound = log.read_bytes()
    for width in (1, 40):  # what can be put right, and what cannot
        damaged = bytearray(sound)
        for at in range(width):
            damaged[len(sound) // 2 + at] ^= 0x55
        log.write_bytes(damaged)
        before = path.read_bytes(), log.read_bytes()
        with pytest.raises(Corrupt, match="-wal is damaged"), standing_still(path, KEY, REAL_FILES):
            pass
        assert (path.read_bytes(), log.read_bytes()) == before
    log.write_bytes(sound)
    with standing_still(path, KEY, REAL_FILES) as standing:
        assert len(list(standing.cursor.execute("SELECT 1 FROM settings"))) == 4
    with pytest.raises(Corrupt), standing_still(path, bytes(32), REAL_FILES):
        pass
    with pytest.raises(Corrupt), standing_still(tmp_path / "none", KEY, REAL_FILES):
        pass
