"""Operations of the stores of one data root: chunks, rows, settings, upkeep of the database, its copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from crash.operations import Acknowledge, Operation
from crash.roots import MINE, Clock, Found, Scene, found, large, lost_databases, make_root, opens, small
from inos.core.component_keys import KeyName
from inos.core.errors import Corrupt
from inos.core.ids import Cid
from inos.core.rows.kept import Cached
from inos.core.rows.keys import KeyInfo
from inos.core.rows.row import Row
from inos.core.rows.software import Application, Component, ComponentRun
from inos.node.disk import Disk
from inos.node.key_desk import KeyDesk
from inos.state.record import Record
from inos.store.database import Database
from inos.store.database_care import DatabaseCare
from inos.store.dataroot import DataRoot
from inos.store.holdings import Holding, HoldingState
from inos.store.migrations import MIGRATIONS
from inos.store.rebuild import DATABASE, SPARE, kept_until_s, rebuild
from inos.testing.row_samples import CHANGES, a_component, sample

_LATER_S: Final = 2_000_000_000.0


def _empty(scene: Scene) -> None:
    make_root(scene)


def _filled(scene: Scene) -> None:
    make_root(scene)
    with scene.opened() as disk:
        _fill(disk)


def _fill(disk: Disk) -> None:
    disk.chunks.put_many([*small(*range(6)), *large(*range(20, 24))])
    disk.settings.put({f"{MINE}a": b"1", f"{MINE}b": b"2"})
    for kind in CHANGES:
        if kind not in (Cached, Application, ComponentRun, Component):
            disk.rows.of(kind).put(sample(kind, 1))  # type: ignore[attr-defined]


def _on_disk(
    name: str, work: Callable[[Disk, Acknowledge], None], make: Callable[[Scene], None] = _filled, **more: Any
) -> Operation:
    def run(scene: Scene, acknowledge: Acknowledge) -> None:
        with scene.opened() as disk:
            work(disk, acknowledge)

    return Operation(name, make, run, **more)


# Chunks


def _put_small(disk: Disk, acknowledge: Acknowledge) -> None:
    for number in (50, 51, 52):
        disk.chunks.put_many(small(number))
        acknowledge()


def _put_large(disk: Disk, acknowledge: Acknowledge) -> None:
    for number in (60, 61):
        disk.chunks.put_many(large(number))
        acknowledge()


def _put_batch(disk: Disk, acknowledge: Acknowledge) -> None:
    disk.chunks.put_many([*small(50, 51), *large(60, 61, 62)])
    acknowledge()
    disk.chunks.put_many([*small(51, 52), *large(62, 63)])
    acknowledge()


def _remove(disk: Disk, acknowledge: Acknowledge) -> None:
    disk.chunks.remove_many([address for address, _ in [*small(0, 1), *large(20, 21)]])
    acknowledge()
    disk.chunks.remove_many([address for address, _ in large(22)])
    acknowledge()


def _collect(disk: Disk, acknowledge: Acknowledge) -> None:
    mark = disk.chunks.begin_mark()
    mark.add([address for address, _ in [*small(0, 2), *large(20)]])
    while mark.sweep(_LATER_S).chunks:
        pass
    acknowledge()


def _demote(disk: Disk, acknowledge: Acknowledge) -> None:
    disk.chunks.small_as_files = True
    while disk.chunks.demote(2).chunks:
        acknowledge()


def _sweep(disk: Disk, acknowledge: Acknowledge) -> None:
    for prefix in range(256):
        disk.chunks.sweep_orphans(prefix)
    acknowledge()


def _with_strays(scene: Scene) -> None:
    """Files without rows, a row without its file, half a file: what crashes of long ago left."""
    _filled(scene)
    kept = {path.name: path.read_bytes() for path in (scene.home / "blobs").glob("*/*.enc")}
    with scene.opened() as disk:
        disk.chunks.remove_many([address for address, _ in large(20, 21)])
    for name, data in kept.items():
        (scene.home / "blobs" / name[:2] / name).write_bytes(data)


# Rows and what else is in the database


def _rows_of(kind: type[Row]) -> Operation:
    def add_needed(disk: Disk, *numbers: int) -> None:
        if kind in (Application, ComponentRun):
            disk.rows.components.put(*(a_component(number) for number in numbers))

    def make(scene: Scene) -> None:
        make_root(scene)
        with scene.opened() as disk:
            add_needed(disk, 1, 2, 3, 4)
            disk.rows.of(kind).put(sample(kind, 1), sample(kind, 2))  # type: ignore[attr-defined]

    def work(disk: Disk, acknowledge: Acknowledge) -> None:
        repository: Any = disk.rows.of(kind)
        repository.put(sample(kind, 3), sample(kind, 4))
        acknowledge()
        repository.put(dataclasses.replace(sample(kind, 1), **CHANGES[kind]))
        acknowledge()
        repository.remove(sample(kind, 2).key)
        acknowledge()

    return _on_disk(f"rows of {kind.KIND}", work, make)


def _rows_of_cache() -> Operation:
    kept = large(20, 21, 22)

    def row(number: int) -> Cached:
        address, data = kept[number]
        return Cached(address, "chunk", address, len(data), 1_700_000_000, 1_700_000_000)

    def work(disk: Disk, acknowledge: Acknowledge) -> None:
        disk.rows.cache.put(row(0), row(1))
        acknowledge()
        disk.rows.cache.touch([kept[0][0]], 1_700_000_050.0)
        acknowledge()
        disk.chunks.remove_many([kept[1][0]])  # takes its row along
        acknowledge()

    return _on_disk("rows of cache", work)


def _settings(disk: Disk, acknowledge: Acknowledge) -> None:
    disk.settings.put({f"{MINE}a": b"one", f"{MINE}c": b"three"})
    acknowledge()
    disk.settings.put({f"{MINE}b": b"two"})
    acknowledge()


def _records(disk: Disk, acknowledge: Acknowledge) -> None:
    def record(number: int, lamport: int) -> Record:
        key = b"key%d" % number
        return Record(f"{MINE}records", key, b"value", False, lamport, bytes(32), key + b"%d" % lamport)

    for lamport in (1, 2):
        disk.records.apply([record(number, lamport) for number in range(20)], [number % 7 for number in range(20)])
        acknowledge()


def _holdings(disk: Disk, acknowledge: Acknowledge) -> None:
    cids = [Cid(address) for address, _ in small(70, 71)]
    disk.holdings.save([Holding(cid, 1, HoldingState.HELD, 900, 1_700_000_000) for cid in cids])
    acknowledge()
    disk.holdings.save([Holding(cids[0], 2, HoldingState.DROPPING, 900, 1_700_000_000, 1_700_000_001)])
    acknowledge()
    disk.holdings.forget(cids)
    acknowledge()


def _pins(disk: Disk, acknowledge: Acknowledge) -> None:
    cids = [Cid(address) for address, _ in small(70, 71)]
    for cid, pinned in ((cids[0], True), (cids[1], True), (cids[0], False)):
        disk.local.pin(cid, pinned, 1_700_000_000.0)
        acknowledge()
    disk.local.used({cids[1]: (1_700_000_000, 2.0), Cid(small(72)[0][0]): (1_700_000_000, 1.0)})
    acknowledge()


def _derive(scene: Scene, acknowledge: Acknowledge) -> None:
    import trio

    root = DataRoot(scene.home)
    keyring = root.unlock(opens(root)).keyring
    with scene.opened() as disk:
        desk = KeyDesk(keyring, disk.rows.keys, Clock())
        for number, kind in enumerate(("ed25519", "secp256k1", "ml_dsa")):
            trio.run(desk.derive, KeyName("org.example.wallet", kind, number), "signing")  # type: ignore[arg-type]
            acknowledge()


# Upkeep


def _upkeep(disk: Disk, acknowledge: Acknowledge) -> None:
    care = DatabaseCare(disk.database)
    disk.chunks.remove_many([address for address, _ in small(*range(6))])
    acknowledge()
    care.checkpoint(shrink=False)
    while care.vacuum(2):
        pass
    assert not [problem for table in care.tables() for problem in care.check(table)]
    care.checkpoint(shrink=True)
    disk.settings.put({f"{MINE}c": b"after"})
    acknowledge()


def _spare(disk: Disk, acknowledge: Acknowledge) -> None:
    disk.spare.make()
    disk.settings.put({f"{MINE}c": b"after the first"})
    acknowledge()
    disk.spare.make()
    disk.settings.put({f"{MINE}d": b"after the second"})
    acknowledge()


def _of_the_first_release(scene: Scene) -> None:
    """A root whose database has the first schema only."""
    make_root(scene)
    for path in scene.home.glob("inos.db*"):
        path.unlink()
    root = DataRoot(scene.home)
    key = root.unlock().keyring.database_key()
    with closing(Database(root.database, key, Clock(), migrations=MIGRATIONS[:1])) as database:
        values = [(f"{MINE}{number}", b"%d" % number * 40) for number in range(60)]
        database.write(lambda cursor: list(cursor.executemany("INSERT INTO settings VALUES (?, ?)", values)))


def _upgrade(scene: Scene, acknowledge: Acknowledge) -> None:
    with scene.opened() as disk:
        disk.settings.put({f"{MINE}after": b"1"})
        acknowledge()


def _with_spare(scene: Scene) -> None:
    _filled(scene)
    with scene.opened() as disk:
        disk.spare.make()


def _damaged(scene: Scene) -> None:
    """Its database is torn in the middle; there is a spare, and chunks in files."""
    _with_spare(scene)
    path = scene.home / DATABASE
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8192] = bytes(8192)
    path.write_bytes(data)


def _without(scene: Scene) -> None:
    """Its database is gone, and it never had a spare."""
    _filled(scene)
    for path in [*scene.home.glob(f"{DATABASE}*"), *scene.home.glob(SPARE)]:
        path.unlink()


def _rebuild(scene: Scene, acknowledge: Acknowledge) -> None:
    root = DataRoot(scene.home)
    with root.lock():
        rebuild(scene.home, root.unlock().keyring.database_key(), Clock())
        acknowledge()


def _found_uncollected(scene: Scene) -> Found:
    """What a collection would free is what the operation is about."""
    return found(scene, collects=False)


def _found_rebuilt(scene: Scene) -> Found:
    """Broken off, it is to be run again: until then the root opens with what is there by then, or it says why not."""
    try:
        seen = _found_uncollected(scene)
        with scene.opened() as disk:
            assert kept_until_s(disk.settings) > Clock().now_s(), "collection may free what is not known again yet"
    except (Corrupt, AssertionError) as error:
        if isinstance(error, AssertionError) and "the database is damaged" not in str(error):
            raise
        return Found({}, 0.0)
    kept = len(lost_databases(scene))
    return Found({**seen.facts, "moved aside": str(kept)}, seen.recovery_s)


OPERATIONS: Final = (
    _on_disk("put small chunks", _put_small, _empty),
    _on_disk("put large chunks", _put_large),
    _on_disk("put a batch of chunks", _put_batch),
    _on_disk("remove chunks", _remove),
    _on_disk("collect chunks", _collect, atomic=False),
    _on_disk("move chunks into files", _demote, changes=False),
    _on_disk("sweep strays", _sweep, _with_strays, found=_found_uncollected, changes=False),
    *(_rows_of(kind) for kind in CHANGES if kind is not Cached and kind is not KeyInfo),
    _rows_of_cache(),
    Operation("derive keys", _filled, _derive),
    _on_disk("settings", _settings),
    _on_disk("records of tables", _records),
    _on_disk("holdings", _holdings),
    _on_disk("pins and uses", _pins),
    _on_disk("checkpoint, vacuum, check", _upkeep),
    _on_disk("copy to the spare", _spare, _with_spare),
    Operation("upgrade the schema", _of_the_first_release, _upgrade),
)
REBUILDS: Final = (
    Operation("rebuild a damaged database", _damaged, _rebuild, _found_rebuilt, atomic=False),
    Operation("rebuild without a spare", _without, _rebuild, _found_rebuilt, atomic=False),
)
