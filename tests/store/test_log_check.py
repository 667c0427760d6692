"""The log of a database: what a crash may leave is read without a word; what it cannot have left is put right where one
word of it was changed, and refused where more was."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Final, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inos.core.errors import Corrupt
from inos.store.cursor import Cursor
from inos.store.database import Database
from inos.store.filesystem import REAL_FILES
from inos.store.rebuild import Base, rebuild
from inos.store.settings import Settings
from inos.testing.chunks import Clock

KEY: Final = bytes(range(32))
HEADER: Final = 32
FRAME: Final = 4096 + 24
SECTOR: Final = 512
ROUNDS: Final = 6


class Died:
    """A database whose process died with ROUNDS transactions in the log; each opening works on a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mended, self.log_found = 0, b""
        (folder / "died").mkdir()
        with closing(Database(folder / "inos.db", KEY, Clock())) as database:
            Settings(database).put({"first": b"written back"})
            for number in range(2 * ROUNDS):
                Settings(database).put({f"early {number}": b"x" * 50})
            database.checkpoint()
            self.older = (folder / "inos.db-wal").read_bytes()
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
            self.mended, self.log_found = database.mended, (place / "inos.db-wal").read_bytes()
            return [name for name in ["first", *late(ROUNDS)] if Settings(database).get(name) is not None]

    def commits(self) -> list[int]:
        """Where the frames end that end a transaction."""
        starts = range(HEADER, len(self.log) - FRAME + 1, FRAME)
        salt = self.log[16:24]
        return [at + FRAME for at in starts if any(self.log[at + 4 : at + 8]) and self.log[at + 8 : at + 16] == salt]


def harmed(log: bytearray, at: int, count: int) -> bytearray:
    return log[:at] + bytes(byte ^ 0x22 for byte in log[at : at + count]) + log[at + count :]


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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_is_put_right(died: Died, data: st.DataObject) -> None:
    """Any byte, in any way, the last transaction included: nothing is lost, and the log is as it was."""
    end = died.commits()[-1]
    near = st.sampled_from([frame - FRAME + at for frame in died.commits()[-3:] for at in range(24)])
    at = data.draw(st.integers(0, HEADER - 1) | near | st.integers(HEADER, end - 1))
    log = bytearray(died.log)
    log[at] ^= data.draw(st.integers(1, 255))
    assert died.opened(log) == ["first", *late(ROUNDS)]
    assert died.mended == 1 and died.log_found == died.log


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changes_in_several_places_and_of_whole_words_are_put_right(died: Died, data: st.DataObject) -> None:
    """One word of each frame, all four bytes of it or the checksum's half."""
    log, frames = bytearray(died.log), (died.commits()[-1] - HEADER) // FRAME
    words = st.sampled_from([0, 1, 4, 5]) | st.integers(6, FRAME // 4 - 1)
    places = data.draw(st.lists(st.integers(0, frames - 1), min_size=1, max_size=5, unique=True))
    for frame in places:
        at = HEADER + frame * FRAME + 4 * data.draw(words)
        change = data.draw(st.integers(1, 2**32 - 1)).to_bytes(4, "big")
        log[at : at + 4] = bytes(one ^ other for one, other in zip(log[at : at + 4], change, strict=True))
    assert died.opened(log) == ["first", *late(ROUNDS)]
    assert died.mended == len(places) and died.log_found == died.log


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_torn_end_is_no_damage(died: Died, data: st.DataObject) -> None:
    """Of the last transaction any sectors are there, the others as they were before it: nothing, or an older log. It is
    there whole or not at all, and of what was synced nothing changes."""
    start, end = died.commits()[-2:]
    before = data.draw(st.sampled_from([bytes(end - start), died.older[start:end]]))
    log, sectors = bytearray(died.log), range(start // SECTOR, (end - 1) // SECTOR + 1)
    for sector in data.draw(st.sets(st.sampled_from(sectors), min_size=1)):
        first, last = max(start, sector * SECTOR), min(end, (sector + 1) * SECTOR)
        log[first:last] = before[first - start : last - start]
    whole = log == died.log
    assert died.opened(log) == ["first", *late(ROUNDS if whole else ROUNDS - 1)]
    assert died.mended == 0 and died.log_found == log


@pytest.mark.parametrize("lost", range(ROUNDS - 1))
def test_a_transaction_that_others_follow_was_synced(died: Died, lost: int) -> None:
    """Damage beyond one word is refused: SQLite would drop it and all that follow without a word."""
    ends = died.commits()[-ROUNDS:]
    for at in (ends[lost] - 60, ends[lost] - 2000, ends[lost] - 4096):
        log = harmed(died.log, at, 50)
        with pytest.raises(Corrupt, match=r"inos\.db-wal is damaged") as caught:
            died.opened(log)
        assert "inos rebuild" in caught.value.hint
        assert (died.folder / "opened" / "inos.db-wal").read_bytes() == log  # and nothing was touched


def test_a_damaged_header_is_no_empty_log(died: Died) -> None:
    """The first frame says what eight bytes of it were; when more is gone, it is refused."""
    for at in range(HEADER - 7):
        assert died.opened(harmed(died.log, at, 8)) == ["first", *late(ROUNDS)] and died.log_found == died.log
    for at in range(9, 13):  # the sequence, both salts and the checksum
        with pytest.raises(Corrupt):
            died.opened(harmed(died.log, at, 20))


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


def test_what_an_undone_transaction_left_does_not_make_a_torn_end_damage(tmp_path: Path) -> None:
    """It outgrew memory, so its pages lie in the log, under the salt of those that were committed before and after."""

    def undone(cursor: Cursor) -> NoReturn:
        cursor.execute("INSERT INTO settings VALUES ('undone', zeroblob(4000000))")
        raise KeyError

    with closing(Database(tmp_path / "inos.db", KEY, Clock())) as database:
        with pytest.raises(KeyError):
            database.write(undone)
        Settings(database).put({"synced": b"1"})
        kept = (tmp_path / "inos.db-wal").read_bytes()
        Settings(database).put({"cut off": b"x" * 9000})
        log = (tmp_path / "inos.db-wal").read_bytes()
        base = (tmp_path / "inos.db").read_bytes()
    changed = next(at for at in range(len(log)) if log[at] != kept[at])
    (tmp_path / "inos.db").write_bytes(base)
    (tmp_path / "inos.db-wal").write_bytes(log[:changed] + kept[changed : changed + 2000] + log[changed + 2000 :])
    with closing(Database(tmp_path / "inos.db", KEY, Clock())) as database:
        assert Settings(database).get("synced") == b"1" and Settings(database).get("cut off") is None
        assert database.mended == 0


def test_rebuilding_takes_what_can_be_read(died: Died) -> None:
    log = bytearray(died.log)
    log[died.commits()[-3] - 100] ^= 1
    log[died.commits()[-3] - 200] ^= 1
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
