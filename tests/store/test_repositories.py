"""The repositories, on a machine's disk and on a simulated one, under one suite; and the schema's own checks."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.env import RealEnv
from inos.core.errors import BadInput, StorageFull
from inos.core.rows import KINDS, kind_named
from inos.core.rows.personal import Preference
from inos.core.rows.row import Query, Row
from inos.core.rows.software import Component
from inos.core.rows.wallet import Transaction
from inos.sim.disk import SimDisk
from inos.store.database import Database
from inos.testing.row_samples import sample
from inos.testing.rows import Filled, RowSuite

KEY: Final = bytes(range(32))


@contextmanager
def on_disk(folder: Path) -> Iterator[Database]:
    folder.mkdir(exist_ok=True)
    database = Database(folder / "inos.db", KEY, RealEnv())
    yield database
    assert database.check() == []
    database.close()


@contextmanager
def on_a_simulated_disk() -> Iterator[Database]:
    disk = SimDisk(random.Random(1), capacity_bytes=10**9)
    database = Database(disk.root / "inos.db", KEY, RealEnv(), files=disk.files)
    yield database
    database.close()


class TestOnDisk(RowSuite):
    def fresh(self, folder: Path) -> AbstractContextManager[Database]:
        return on_disk(folder)


class TestOnASimulatedDisk(RowSuite):
    def fresh(self, folder: Path) -> AbstractContextManager[Database]:
        return on_a_simulated_disk()


BAD: Final[list[tuple[type[Row], dict[str, Any]]]] = [
    (kind_named("components"), {"component_id": ""}),
    (kind_named("components"), {"component_id": "../up"}),
    (kind_named("components"), {"component_id": "Upper"}),
    (kind_named("components"), {"name": "x" * 201}),
    (kind_named("components"), {"name": "nul\0"}),
    (kind_named("components"), {"name": "\ud800"}),
    (kind_named("components"), {"type": "middle"}),
    (kind_named("components"), {"type": "frontend", "runtime": "wasm"}),
    (kind_named("components"), {"manifest": {"x": float("nan")}}),
    (kind_named("components"), {"manifest": {"x": "y" * (64 << 10)}}),
    (kind_named("components"), {"manifest": []}),
    (kind_named("components"), {"installed_at_s": -1}),
    (kind_named("components"), {"installed_at_s": True}),
    (kind_named("components"), {"installed_at_s": 10**15}),
    (kind_named("components"), {"installed_at_s": 1.5}),
    (kind_named("applications"), {"components": ("a", "a")}),
    (kind_named("applications"), {"components": ("/etc",)}),
    (kind_named("applications"), {"launch_count": -1}),
    (kind_named("registry"), {"status": "running", "pid": None}),
    (kind_named("registry"), {"status": "stopped", "pid": 3}),
    (kind_named("registry"), {"pid": 0}),
    (kind_named("keys"), {"public_key": b"short"}),
    (kind_named("keys"), {"derivation_index": 1 << 32}),
    (kind_named("keys"), {"kind": "rsa"}),
    (kind_named("transactions"), {"amount": 5}),
    (kind_named("transactions"), {"amount": "1.5"}),
    (kind_named("transactions"), {"amount": "-1"}),
    (kind_named("transactions"), {"amount": "01"}),
    (kind_named("transactions"), {"amount": "1e9"}),
    (kind_named("transactions"), {"amount": "9" * 79}),
    (kind_named("transactions"), {"amount": "٣"}),
    (kind_named("transactions"), {"status": "confirmed", "confirmed_at_s": None}),
    (kind_named("cache"), {"chunk": b"short"}),
    (kind_named("cache"), {"access_count": -1}),
    (kind_named("preferences"), {"value": {1, 2}}),
    (kind_named("preferences"), {"value": None}),
    (kind_named("messages"), {"priority": 10}),
    (kind_named("messages"), {"state": "lost"}),
    (kind_named("messages"), {"meta": "text"}),
]


@pytest.mark.parametrize(("kind", "change"), BAD, ids=lambda value: repr(value)[:60])
def test_what_a_row_may_not_be(kind: type[Row], change: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        dataclasses.replace(sample(kind, 2), **change)
    assert any(name in caught.value.message for name in change)


# SQL that goes around the value types: the schema itself must refuse it.
AROUND: Final = [
    "UPDATE components SET manifest = '{broken'",
    "UPDATE components SET manifest = '[]'",
    "UPDATE components SET type = 'frontend'",
    "UPDATE components SET name = ''",
    "UPDATE components SET installed_at = 'soon'",
    "DELETE FROM components",
    "UPDATE applications SET launch_count = -1",
    "INSERT INTO application_components VALUES ('app-00002', 'nobody')",
    "UPDATE component_registry SET status = 'lost'",
    "UPDATE component_registry SET pid = NULL WHERE status = 'running'",
    "UPDATE component_registry SET component_id = 'nobody'",
    "UPDATE keys_metadata SET public_key = x'00'",
    "UPDATE keys_metadata SET derivation_index = -1",
    "UPDATE wallet_transactions SET amount = '1.5'",
    "UPDATE wallet_transactions SET amount = '-1'",
    "UPDATE wallet_transactions SET amount = '007'",
    "UPDATE wallet_transactions SET amount = ''",
    "UPDATE wallet_transactions SET amount = x'31'",
    "UPDATE wallet_transactions SET gas_used = '1e3'",
    "UPDATE wallet_transactions SET confirmed_at = 5 WHERE status = 'pending'",
    "UPDATE mesh_cache SET chunk = zeroblob(32)",
    "UPDATE mesh_cache SET address = x'00'",
    "UPDATE user_preferences SET value = 'dark'",
    "UPDATE messages SET priority = 11",
    "UPDATE messages SET meta = '3'",
]


@pytest.mark.parametrize("sql", AROUND)
def test_the_schema_refuses_what_goes_around_the_value_types(tmp_path: Path, sql: str) -> None:
    with on_disk(tmp_path) as database:
        filled = Filled(database)
        for kind in KINDS.values():
            if kind.KIND != "chunks":  # those of the cache
                filled.add(kind, 2, 3)
        with pytest.raises(Exception, match=r"constraint|Constraint|CHECK|FOREIGN|cannot store"):
            database.write(lambda cursor: list(cursor.execute(sql)))


def test_amounts_are_exact(tmp_path: Path) -> None:
    with on_disk(tmp_path) as database:
        filled = Filled(database)
        for amount in ("0", "1", str(2**256 - 1), str(2**63), "9" * 78):
            row = dataclasses.replace(sample(Transaction, 0), amount=amount)
            filled.rows.transactions.put(row)
            assert filled.rows.transactions.need(row.key).amount == amount


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def test_any_json_is_kept_as_it_is_or_refused(tmp_path: Path) -> None:
    with on_disk(tmp_path) as database:
        preferences = Filled(database).rows.preferences

        @settings(max_examples=200, deadline=None)
        @given(JSON | st.text(st.characters(), max_size=20))
        def keep(value: Any) -> None:
            try:
                row = Preference("any", value, 1)
            except BadInput:
                assert value is None or "ud" in json.dumps(value)  # half a character
                return
            preferences.put(row)
            assert preferences.need("any") == row

        keep()


@pytest.mark.parametrize("depth", [63, 64, 65, 900, 2000, 100_000])
def test_json_has_so_many_levels(tmp_path: Path, depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    if depth > 64:
        with pytest.raises(BadInput, match=r"levels|not JSON"):
            Preference("deep", value, 1)
        return
    with on_disk(tmp_path) as database:
        Filled(database).rows.preferences.put(Preference("deep", value, 1))


def test_rows_are_there_after_reopening_and_after_a_vacuum(tmp_path: Path) -> None:
    with on_disk(tmp_path) as database:
        Filled(database).add(Component, *range(9))
        Filled(database).rows.components.remove(sample(Component, 3).key)
    with on_disk(tmp_path) as database:
        rows = Filled(database).rows
        assert rows.components.count() == 8 and len(rows.search.find("bartok")) == 8
        with database._commits.exclusive:
            database._writer.execute("VACUUM")
        assert {found.key for found in rows.search.find("bartok")} == {
            sample(Component, number).key for number in range(9) if number != 3
        }
        assert rows.search.problems() == []


def test_a_full_disk_refuses_rows_whole_and_takes_them_once_there_is_room() -> None:
    disk = SimDisk(random.Random(1), capacity_bytes=10**9)
    database = Database(disk.root / "inos.db", KEY, RealEnv(), files=disk.files)
    filled = Filled(database)
    [kept] = filled.add(Component, 1)
    disk.fill(20_000)
    large = [Preference(f"large-{number}", "x" * 9000, 1) for number in range(200)]
    with pytest.raises(StorageFull) as caught:
        filled.rows.preferences.put(*large)
    assert caught.value.hint and filled.rows.preferences.count() == 0
    assert filled.rows.components.get(kept.key) == kept
    disk.fill(None)
    filled.rows.preferences.put(*large)
    assert filled.rows.preferences.count() == 200 and database.check() == []
    database.close()


@pytest.mark.parametrize("seed", range(8))
def test_what_was_put_is_there_after_power_was_lost_anywhere(seed: int) -> None:
    chance = random.Random(seed)
    disk = SimDisk(chance, capacity_bytes=10**9)
    acknowledged: set[str] = set()
    for number in range(6):
        alive = disk.files
        database = Database(disk.root / "inos.db", KEY, RealEnv(), files=alive)
        filled = Filled(database)
        assert acknowledged <= {row.key for row in filled.rows.components.page(Query(Component)).rows}
        assert filled.rows.search.problems() == [] and database.check() == []
        disk.cut_power_at(disk.steps + chance.randint(1, 600))
        for each in range(20):
            [row] = filled.add(Component, 100 * number + each)
            if disk.files is not alive:
                break
            acknowledged.add(row.key)
        database.close()
    assert acknowledged


WRITER: Final = """
import sys
from pathlib import Path
from inos.core.env import RealEnv
from inos.core.rows.wallet import Transaction
from inos.store.database import Database
from inos.store.repositories import Repositories
rows = Repositories(Database(Path(sys.argv[1]), bytes(range(32)), RealEnv()))
for number in range(1_000_000):
    rows.transactions.put(Transaction(str(number), "a", "b", str(number), "n", 1))
    print(number, flush=True)
"""


def test_what_was_put_is_there_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "inos.db"
    for wanted in (1, 7, 40):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(wanted)]
            writer.kill()
            said += writer.stdout.readlines()
        acknowledged = {line.strip() for line in said if line.endswith("\n")}
        with on_disk(tmp_path) as database:
            found = {
                row.tx_hash: row.amount for row in Filled(database).rows.transactions.page(Query(Transaction)).rows
            }
        assert acknowledged <= set(found) and all(key == amount for key, amount in found.items())


def test_a_search_index_out_of_step_is_noticed(tmp_path: Path) -> None:
    with on_disk(tmp_path) as database:
        filled = Filled(database)
        filled.add(Component, 1, 2)
        database.write(lambda cursor: list(cursor.execute("DELETE FROM search WHERE rowid = 4")))
        assert filled.rows.search.problems() == ["1 components are missing from the full-text index"]


def test_nothing_of_a_row_is_readable_on_the_disk(tmp_path: Path) -> None:
    database = Database(tmp_path / "inos.db", KEY, RealEnv())
    Filled(database).add(Component, *range(50))
    contents = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (b"Bart", b"example.part", b"components", b"manifest"):
        assert secret not in contents
    database.close()
