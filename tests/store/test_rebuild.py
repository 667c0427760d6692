"""A database that was lost or damaged comes back from its spare, its remains and the chunk files."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from inos.core.env import RealEnv
from inos.core.errors import Corrupt, InosError, NewerFormat, StorageFull
from inos.core.ids import Address
from inos.core.rows.personal import Preference
from inos.core.rows.row import Query
from inos.core.rows.software import Application
from inos.core.rows.wallet import Transaction
from inos.node.disk import Disk, open_disk
from inos.sim.disk import SimDisk
from inos.state.record import Record
from inos.store import rebuild as rebuild_module
from inos.store.database import Database
from inos.store.filesystem import REAL_FILES, Files
from inos.store.migrations import MIGRATIONS
from inos.store.migrations.step import Migration
from inos.store.rebuild import DATABASE, LOST, SPARE, Base, Rebuilt, kept_until_s, rebuild
from inos.testing.chunks import chunk
from inos.testing.row_samples import sample
from inos.testing.rows import Filled

KEY: Final = bytes(range(32))
QUOTA: Final = 10**9
SMALL: Final = [chunk(n, 3_000 + n) for n in range(40)]
LARGE: Final = [chunk(100 + n, 70_000 + n) for n in range(5)]


@dataclass
class Root:
    path: Path
    files: Files = REAL_FILES

    def opened(self) -> closing[_Opened]:
        return closing(_Opened(self))

    def rebuilt(self) -> Rebuilt:
        return rebuild(self.path, KEY, RealEnv(), files=self.files)

    def lose(self) -> None:
        for end in ("", "-wal", "-shm", "-journal"):
            (self.path / (DATABASE + end)).unlink(missing_ok=True)


class _Opened:
    def __init__(self, root: Root) -> None:
        self._stack = ExitStack()
        self.disk: Disk = self._stack.enter_context(open_disk(root.path, KEY, QUOTA, RealEnv(), files=root.files))

    def fill(self, small: list[tuple[Address, bytes]] = SMALL) -> None:
        self.disk.chunks.put_many([*small, *LARGE])
        self.disk.settings.put({"mesh": b"of mine"})
        self.disk.records.apply([record(n) for n in range(50)], [n % 7 for n in range(50)])

    def readable(self) -> int:
        held = self.disk.chunks.present([address for address, _ in [*SMALL, *LARGE]])
        for address, data in [*SMALL, *LARGE]:
            if address in held:
                assert self.disk.chunks.get(address) == data
        return len(held)

    def close(self) -> None:
        self._stack.close()


def record(number: int, lamport: int = 5) -> Record:
    key = b"key" + number.to_bytes(4, "big")
    return Record("catalogue", key, b"value" * 40, False, lamport, b"a" * 32, b"encoded%d" % number * 30)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = Root(tmp_path / "home")
    made.path.mkdir()
    with made.opened() as node:
        node.fill()
    yield made


def test_a_lost_database_comes_back_from_its_spare(root: Root) -> None:
    with root.opened() as node:
        node.disk.spare.make()
        late = chunk(7_000, 80_000)
        node.disk.chunks.put_many([late])
    root.lose()
    with pytest.raises(Corrupt, match="missing") as caught, root.opened():
        pass
    assert "inos rebuild" in caught.value.hint
    built = root.rebuilt()
    assert (built.base, built.moved, built.files.adopted) == (Base.SPARE, "", 1)
    with root.opened() as node:
        assert node.readable() == 45 and node.disk.chunks.get(late[0]) == late[1]
        assert node.disk.settings.get("mesh") == b"of mine"
        assert node.disk.records.get_many("catalogue", [record(n).key for n in range(50)])[49] == record(49)
        assert node.disk.database.check() == []
        assert kept_until_s(node.disk.settings) > RealEnv().now_s() + 6 * 86400


def test_a_row_of_the_spare_whose_file_is_gone_goes(root: Root) -> None:
    with root.opened() as node:
        node.disk.spare.make()
        node.disk.chunks.remove_many([LARGE[0][0]])
    root.lose()
    assert root.rebuilt().files.dropped == 1
    with root.opened() as node:
        assert node.readable() == 44


def test_without_a_spare_the_files_are_indexed_and_nothing_is_lost_of_them(root: Root) -> None:
    root.lose()
    built = root.rebuilt()
    assert (built.base, built.files.adopted) == (Base.NOTHING, 5)
    with root.opened() as node:
        assert node.readable() == 5
        assert node.disk.settings.get("mesh") is None


def test_a_sound_database_stays(root: Root) -> None:
    before = sorted(file.name for file in root.path.iterdir())
    built = root.rebuilt()
    assert (built.base, built.moved, built.files.adopted) == (Base.DATABASE, "", 0)
    assert sorted(file.name for file in root.path.iterdir()) == before
    with root.opened() as node:
        assert node.readable() == 45 and kept_until_s(node.disk.settings) == 0


@pytest.mark.parametrize("seed", range(6))
def test_what_can_be_read_of_a_damaged_database_is_taken_over(root: Root, seed: int) -> None:
    with root.opened() as node:
        node.disk.spare.make()
        node.disk.chunks.put_many(more := [chunk(5_000 + n, 20_000) for n in range(30)])
        node.disk.records.apply([record(n, lamport=9) for n in range(50)], [n % 7 for n in range(50)])
        node.disk.database.checkpoint()
    path = root.path / DATABASE
    content = bytearray(path.read_bytes())
    place = random.Random(seed).randrange(len(content) // 2, len(content))
    content[place] ^= 1
    path.write_bytes(content)
    built = root.rebuilt()
    assert built.base is Base.SPARE and built.moved == f"{LOST}1" and (root.path / built.moved).exists()
    with root.opened() as node:
        assert node.readable() == 45
        held = node.disk.chunks.present([address for address, _ in more])
        assert len(held) >= 25  # a damaged page costs one or two
        newer = sum(found.lamport == 9 for found in node.disk.records.scan("catalogue", b"", b"", 100))
        assert newer >= 25
        assert node.disk.database.check() == []
    again = root.rebuilt()
    assert (again.base, again.records, again.chunks) == (Base.DATABASE, 0, 0)


def test_what_could_not_be_written_is_taken_over_the_next_time(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray((root.path / DATABASE).read_bytes())
    content[-2000] ^= 1
    (root.path / DATABASE).write_bytes(content)

    def fails(*_arguments: object) -> int:
        raise Corrupt("the disk failed")

    with monkeypatch.context() as patched:
        patched.setattr(rebuild_module, "_take_records", fails)
        with pytest.raises(Corrupt, match="the disk failed"):
            root.rebuilt()
    built = root.rebuilt()
    assert built.base is Base.DATABASE and built.records >= 25
    with root.opened() as node:
        assert node.disk.settings.get("mesh") == b"of mine" and node.readable() >= 40


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_can_be_read_are_taken_over(root: Root, seed: int) -> None:
    with root.opened() as node:
        filled = Filled(node.disk.database)
        filled.add(Transaction, *range(20))
        filled.add(Application, *range(200))
        node.disk.spare.make()
        filled.rows.transactions.put(
            *(dataclasses.replace(sample(Transaction, n), purpose="newer") for n in range(400))
        )
        filled.rows.preferences.put(Preference("theme", {"dark": True}, 5))
        expected = filled.rows.applications.page(Query(Application)).rows
        node.disk.database.checkpoint()
    path = root.path / DATABASE
    content = bytearray(path.read_bytes())
    content[random.Random(seed).randrange(len(content) // 2, len(content))] ^= 1
    path.write_bytes(content)
    built = root.rebuilt()
    assert built.base is Base.SPARE and built.rows > 300
    with root.opened() as node:
        rows = node.disk.rows
        newer = [row for row in rows.transactions.page(Query(Transaction)).rows if row.purpose == "newer"]
        assert len(newer) >= 100  # a damaged page costs those on it, or below it
        assert rows.applications.page(Query(Application)).rows == expected
        assert rows.search.problems() == [] and node.disk.database.check() == []


def test_a_spare_of_an_older_schema_is_brought_up_to_date_without_a_copy_of_it(root: Root) -> None:
    root.lose()
    old = Database(root.path / SPARE, KEY, RealEnv(), migrations=MIGRATIONS[:1])
    old.write(lambda cursor: list(cursor.execute("INSERT INTO settings VALUES ('kept', x'01')")))
    old.close()
    assert root.rebuilt().base is Base.SPARE
    with root.opened() as node:
        assert node.disk.settings.get("kept") == b"\x01"
    assert not [file.name for file in root.path.iterdir() if ".db.spare." in file.name or ".v1" in file.name]


def test_a_damaged_first_page_and_no_spare(root: Root) -> None:
    path = root.path / DATABASE
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt) as caught, root.opened():
        pass
    assert "inos rebuild" in caught.value.hint
    built = root.rebuilt()
    assert (built.base, built.moved, built.files.adopted) == (Base.NOTHING, f"{LOST}1", 5)


def test_a_damaged_spare_is_not_begun_from(root: Root) -> None:
    with root.opened() as node:
        node.disk.spare.make()
    spare = root.path / SPARE
    content = bytearray(spare.read_bytes())
    content[len(content) // 2] ^= 1
    spare.write_bytes(content)
    root.lose()
    assert root.rebuilt().base is Base.NOTHING


def test_a_newer_database_is_left_as_it_is(root: Root) -> None:
    newer = (*MIGRATIONS, Migration("later", "CREATE TABLE later (x INTEGER) STRICT", frozenset({"later"})))
    Database(root.path / DATABASE, KEY, RealEnv(), migrations=newer).close()
    content = (root.path / DATABASE).read_bytes()
    with pytest.raises(NewerFormat):
        root.rebuilt()
    assert (root.path / DATABASE).read_bytes() == content


def test_files_of_the_rebuilding_are_for_their_owner(root: Root) -> None:
    with root.opened() as node:
        node.disk.spare.make()
    assert (root.path / SPARE).stat().st_mode & 0o777 == 0o600
    assert b"of mine" not in (root.path / SPARE).read_bytes()


def test_a_spare_is_outdated_by_a_write_and_needs_room() -> None:
    disk = SimDisk(random.Random(1), capacity_bytes=10**9)
    with Root(disk.root, disk.files).opened() as node:
        assert node.disk.spare.outdated()
        node.disk.spare.make()
        assert not node.disk.spare.outdated()
        node.disk.settings.put({"a": b"b"})
        assert node.disk.spare.outdated()
        disk.fill(60 << 20)
        with pytest.raises(StorageFull):
            node.disk.spare.make()
        disk.fill(None)
        node.disk.spare.make()
        assert node.disk.database.check() == []


def test_power_may_go_anywhere_in_a_rebuild() -> None:
    """Run again after it, the rebuild ends as if nothing had happened."""
    steps = _rebuilt_with_a_cut(None)
    assert steps > 60
    for cut in range(1, steps, max(1, steps // 60)):
        _rebuilt_with_a_cut(cut)


def _rebuilt_with_a_cut(cut: int | None) -> int:
    """Damage a database, lose power `cut` steps into its rebuilding, rebuild it; the steps of a rebuild."""
    disk = SimDisk(random.Random(cut), capacity_bytes=10**9)
    root = Root(disk.root, disk.files)
    with root.opened() as node:
        node.fill(SMALL[:20])
        node.disk.spare.make()
        node.fill()
    path = f"{disk.root}/{DATABASE}"
    size = len(disk.peek(path) or b"")
    disk.files.write(path, disk.files.tree.get(path), b"\x55" * 50, size - 3000)
    disk.files.sync(path, disk.files.tree.get(path))
    disk.files.sync_folder(disk.root)  # or the log comes back with the power, and heals the page
    before = disk.steps
    if cut is not None:
        disk.cut_power_at(before + cut)
        with suppress(InosError):
            rebuild(disk.root, KEY, RealEnv(), files=root.files)
    rebuild(disk.root, KEY, RealEnv(), files=disk.files)
    after = disk.steps
    with Root(disk.root, disk.files).opened() as node:
        held = node.readable()
        assert held >= 43, f"{held} of 45 with power lost at step {cut}"
        assert node.disk.settings.get("mesh") == b"of mine"
        assert kept_until_s(node.disk.settings) > 0
    return after - before
