"""The log of a database: what a crash may leave is read without a word, what it cannot have left is refused."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from inos.core.errors import Corrupt
from inos.store.database import Database
from inos.store.filesystem import REAL_FILES
from inos.store.rebuild import Base, rebuild
from inos.store.settings import Settings
from inos.testing.chunks import Clock

KEY: Final = bytes(range(32))
HEADER: Final = 32
FRAME: Final = 4096 + 24
ROUNDS: Final = 6


class Died:
    """A database whose process died with ROUNDS transactions in the log; each opening works on a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "died").mkdir()
        with closing(Database(folder / "inos.db", KEY, Clock())) as database:
            Settings(database).put({"first": b"written back"})
            database.checkpoint()
            for number in range(ROUNDS):
                Settings(database).put({f"late {number}": b"x" * 50})
            for name in ("inos.db", "inos.db-wal"):
                shutil.copy(folder / name, folder / "died" / name)
        self.log = bytearray((folder / "died" / "inos.db-wal").read_bytes())

    def opened(self, log: bytes | bytearray) -> list[str]:
        """The settings that are there when the log holds `log`. Raises Corrupt."""
        place = self.folder / "opened"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.folder / "died", place)
        (place / "inos.db-wal").write_bytes(log)
        with closing(Database(place / "inos.db", KEY, Clock())) as database:
            return [name for name in ["first", *late(ROUNDS)] if Settings(database).get(name) is not None]

    def commits(self) -> list[int]:
        """Where the frames end that end a transaction."""
        starts = range(HEADER, len(self.log) - FRAME + 1, FRAME)
        salt = self.log[16:24]
        return [at + FRAME for at in starts if any(self.log[at + 4 : at + 8]) and self.log[at + 8 : at + 16] == salt]


def late(count: int) -> list[str]:
    return [f"late {number}" for number in range(count)]


@pytest.fixture
def died(tmp_path: Path) -> Died:
    made = Died(tmp_path)
    assert made.opened(made.log) == ["first", *late(ROUNDS)] and len(made.commits()) >= ROUNDS
    return made


def test_a_log_that_ends_anywhere_loses_its_end_only(died: Died) -> None:
    before: list[str] = []
    for end in range(HEADER, len(died.log), 3000):
        found = died.opened(bytes(died.log[:end]))
        assert found == ["first", *late(len(found) - 1)] and len(found) >= len(before)
        before = found


def test_an_unsynced_transaction_may_be_there_in_any_pieces(died: Died) -> None:
    """The last one: some of its pages reached the disk, in no order."""
    start, end = died.commits()[-2:]
    assert died.opened(bytes(died.log[:start]) + bytes(512) + bytes(died.log[start + 512 :])) == ["first", *late(5)]
    assert died.opened(bytes(died.log[: end - 512]) + bytes(512)) == ["first", *late(5)]


@pytest.mark.parametrize("lost", range(ROUNDS - 1))
def test_a_transaction_that_others_follow_was_synced(died: Died, lost: int) -> None:
    """Whatever of it is damaged: SQLite would drop it and all that follow without a word."""
    ends = died.commits()[-ROUNDS:]
    for at in (ends[lost] - 1, ends[lost] - 4096, ends[lost] - FRAME + 20, ends[lost] - FRAME + 2):
        log = bytearray(died.log)
        log[at] ^= 0x40
        with pytest.raises(Corrupt, match=r"inos\.db-wal is damaged") as caught:
            died.opened(log)
        assert "inos rebuild" in caught.value.hint
        assert (died.folder / "opened" / "inos.db-wal").read_bytes() == log  # and nothing was touched


def test_a_damaged_header_is_no_empty_log(died: Died) -> None:
    for at in range(HEADER):
        log = bytearray(died.log)
        log[at] ^= 0x02
        with pytest.raises(Corrupt):
            died.opened(log)


def test_what_was_written_back_long_ago_is_not_missed(died: Died) -> None:
    """Frames of an earlier round of the log lie behind those of this one."""
    with closing(Database(died.folder / "inos.db", KEY, Clock())) as database:
        for number in range(40):
            Settings(database).put({"much": b"%d" % number * 3000})
        database.checkpoint()
        Settings(database).put({"again": b"1"})
        for name in ("inos.db", "inos.db-wal"):
            shutil.copy(died.folder / name, died.folder / "died" / name)
    assert died.opened((died.folder / "died" / "inos.db-wal").read_bytes()) == ["first", *late(ROUNDS)]


def test_rebuilding_takes_what_can_be_read(died: Died) -> None:
    log = bytearray(died.log)
    log[died.commits()[-3] - 100] ^= 1
    with pytest.raises(Corrupt):
        died.opened(log)
    place = died.folder / "opened"
    assert rebuild(place, KEY, Clock(), files=REAL_FILES).base is Base.NOTHING
    with closing(Database(place / "inos.db", KEY, Clock())) as database:
        assert Settings(database).get("first") == b"written back"
        assert Settings(database).get("late 0") == b"x" * 50
    assert (place / "inos.db.lost-1-wal").exists()


def test_a_log_that_was_not_synced_may_have_holes_until_it_was_written_back(tmp_path: Path) -> None:
    """What a loss of power leaves of it is no damage; once its writes are synced again, it is."""
    path, log = tmp_path / "inos.db", tmp_path / "inos.db-wal"

    def written(*, synced: bool) -> tuple[bytes, bytes]:
        """The files as they are after ROUNDS transactions, with a hole in the log."""
        with closing(Database(path, KEY, Clock(), synced=synced)) as database:
            for number in range(ROUNDS):
                Settings(database).put({f"{synced} {number}": b"x" * 50})
            holed = bytearray(log.read_bytes())
            holed[HEADER + FRAME : HEADER + FRAME + 99] = bytes(99)
            return path.read_bytes(), bytes(holed)

    Database(path, KEY, Clock(), synced=False).close()
    for file, content in zip((path, log), written(synced=False), strict=True):
        file.write_bytes(content)
    with closing(Database(path, KEY, Clock())) as database:
        found = [number for number in range(ROUNDS) if Settings(database).get(f"False {number}")]
        assert found == list(range(len(found))) and len(found) < ROUNDS
    for file, content in zip((path, log), written(synced=True), strict=True):
        file.write_bytes(content)
    with pytest.raises(Corrupt, match="damaged"):
        Database(path, KEY, Clock())
