"""Data roots to do things to, and everything there is to know about one afterwards, as facts that can be compared.

A *scene* is a folder with a data root in `home` and, where the operation needs one, a backup in `dest`. `facts` opens
it as the next process would and reads all of it. It raises AssertionError for what must never be, whatever was going
on: a chunk file that is torn, a row without its file, a page that is damaged, a component that is not what was
installed, a backup that does not check.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crash.kept import kept
from inos.components.installed import installed_of
from inos.components.shelf import Shelf
from inos.core.backups import KeySource
from inos.core.env import RealEnv
from inos.core.errors import WrongPassphrase
from inos.core.ids import Address
from inos.core.rows.kept import KeptChunk
from inos.crypto.cocoon import Argon2Cost
from inos.crypto.hashing import address_of, blake3_digest
from inos.daemon.backups import check_backup, list_backup
from inos.node.disk import Disk, open_disk
from inos.node.identity import load_identity
from inos.store.chunk_files import PREFIXES, SUFFIX
from inos.store.dataroot import DataRoot
from inos.store.rebuild import LOST

PHRASE: Final = "abandon " * 23 + "art"
CHEAP: Final = Argon2Cost(8, 1, 1)
QUOTA_BYTES: Final = 10**9
SMALL, LARGE = 900, 70_000
MINE: Final = "crash/"
"""How the settings and tables begin that operations here write."""
_PASSPHRASES: Final = (None, "old", "new")
_TEMPORARY: Final = (".new", ".part", ".begun")

Facts = dict[str, str]


class Clock(RealEnv):
    """The machine, at a wall-clock time that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_s = 0.0

    def now_s(self) -> float:
        return 1_800_000_000.0 + self.ahead_s


@dataclass(frozen=True, slots=True)
class Scene:
    """Where things are; see the module."""

    base: Path

    @property
    def home(self) -> Path:
        return self.base / "home"

    @property
    def dest(self) -> Path:
        return self.base / "dest"

    @property
    def keys(self) -> KeySource:
        return KeySource(self.home)

    @contextmanager
    def opened(self) -> Iterator[Disk]:
        """The stores of the root, locked, as a node has them."""
        root = DataRoot(self.home)
        with root.lock():
            key = root.unlock(opens(root)).keyring.database_key()
            with open_disk(self.home, key, QUOTA_BYTES, Clock()) as disk:
                yield disk


def make_root(scene: Scene, passphrase: str | None = None) -> None:
    """A whole data root that knows its mesh."""
    DataRoot.create(scene.home, PHRASE, passphrase, Clock(), CHEAP)
    root = DataRoot(scene.home)
    unlocked = root.unlock(passphrase)
    with open_disk(scene.home, unlocked.keyring.database_key(), QUOTA_BYTES, Clock()) as disk:
        load_identity(unlocked.keyring, unlocked.node_key(), disk.settings, Clock())


def opens(root: DataRoot) -> str | None:
    """Which of the passphrases used here opens it. Raises what is wrong when none does."""
    for passphrase in _PASSPHRASES:
        with suppress(WrongPassphrase):
            root.unlock(passphrase)
            return passphrase
    root.unlock(None)
    raise AssertionError("it opens, and did not a moment ago")


def piece(number: int, size: int) -> tuple[Address, bytes]:
    """A chunk, another for each number."""
    data = blake3_digest(b"%d" % number) + bytes(size - 32)
    return address_of(data), data


def small(*numbers: int) -> list[tuple[Address, bytes]]:
    """Chunks that are kept in the database."""
    return [piece(number, SMALL + number) for number in numbers]


def large(*numbers: int) -> list[tuple[Address, bytes]]:
    """Chunks that become files."""
    return [piece(number, LARGE + number) for number in numbers]


def digest(data: bytes) -> str:
    """Short for `data`."""
    return blake3_digest(data).hex()[:16]


# What is so


@dataclass(frozen=True, slots=True)
class Found:
    """All facts of a scene, and how long it took until the root served again."""

    facts: Facts
    recovery_s: float


def found(scene: Scene, *, collects: bool = True) -> Found:
    """Open it and read everything; where it `collects`, see that nothing stays that nobody names. Raises
    AssertionError, and whatever opening a root raises."""
    root, facts = DataRoot(scene.home), Facts()
    if not root.initialised() and not (scene.home / "restore" / "ready").exists():
        return Found(facts, 0.0)
    began = time.perf_counter()
    with scene.opened() as disk:
        recovery_s = time.perf_counter() - began
        passphrase = opens(root)
        facts["opened by"] = passphrase or "its keyfile"
        facts["node"] = digest(root.unlock(passphrase).node_nonce)
        _sound(disk, collects)
        facts |= _chunks(disk) | _rows(disk) | _components(disk)
        facts |= kept(scene.home, root.unlock(passphrase).keyring.database_key(), Clock())
    if scene.dest.exists():
        facts |= _backup(scene)
    return Found(facts, recovery_s)


def temporaries(scene: Scene) -> list[str]:
    """Names below it that stand for something unfinished."""
    return sorted(
        f"{Path(folder).relative_to(scene.base)}/{name}"
        for folder, folders, files in os.walk(scene.base)
        for name in (*folders, *files)
        if name.endswith(_TEMPORARY) or Path(folder).name in ("staging", ".new", "restore")
    )


def _sound(disk: Disk, collects: bool) -> None:
    assert disk.database.check() == [], "the database is damaged"
    assert not list((disk.root / "staging").iterdir()), "staging/ was not emptied"
    files = _chunk_files(disk)
    for name in files:
        data = (disk.root / "blobs" / name[:2] / name).read_bytes()
        assert address_of(data).hex() == name.removesuffix(SUFFIX), f"{name} is torn"
    before = set(disk.chunks.addresses())
    # Of the 256 folders, those in which a sweep may find something.
    prefixes = {int(name[:2], 16) for name in files} | {address[0] for address in before}
    dropped = sum(disk.chunks.sweep_orphans(prefix).dropped for prefix in sorted(prefixes))
    assert not dropped, f"{dropped} rows had no file"
    if not collects:
        return
    # What only the sweep found was put or removed when the end came: collection frees it, as nothing names it.
    mark = disk.chunks.begin_mark()
    mark.add(before)
    while mark.sweep(2_000_000_000.0).chunks:
        pass
    assert set(disk.chunks.addresses()) == before, "an orphan is not freed"
    rows = {f"{row.address.hex()}{SUFFIX}" for row in disk.rows.chunks.every() if row.location == "file"}
    assert _chunk_files(disk) == rows, "files and rows differ after a sweep and a collection"


def _chunk_files(disk: Disk) -> set[str]:
    found: set[str] = set()
    for prefix in range(PREFIXES):
        found.update(os.listdir(f"{disk.root}/blobs/{prefix:02x}"))  # noqa: PTH208
    return {name for name in found if name.endswith(SUFFIX)}


def _chunks(disk: Disk) -> Facts:
    # `get` compares each with its address.
    return {f"chunk {address.hex()[:12]}": digest(disk.chunks.get(address)) for address in disk.chunks.addresses()}


def _rows(disk: Disk) -> Facts:
    facts = Facts()
    for repository in disk.rows.all:
        if repository.kind is not KeptChunk:
            for row in repository.every():
                facts[f"{row.KIND} {row.key_text}"] = _without_times(row)
    for one in disk.local.page(None, 1000):
        facts[f"local {one.cid}"] = f"pinned {one.pinned}"
    names = disk.database.read(lambda cursor: [str(key) for (key,) in cursor.execute("SELECT key FROM settings")])
    for name in (name for name in names if name.startswith(MINE) or "genesis" in name):
        facts[f"setting {name}"] = digest(disk.settings.get(name) or b"")
    for record in disk.records.scan(f"{MINE}records", b"", b"", 1000):
        facts[f"record {record.key!r}"] = digest(record.encoded)
    assert disk.rows.search.problems() == [], "the index of words does not follow the rows"
    return facts


def _without_times(row: Any) -> str:
    values = row.to_dict()
    return repr({name: value for name, value in sorted(values.items()) if not name.endswith("_s")})


def _components(disk: Disk) -> Facts:
    shelf, facts = Shelf(disk.root, Clock()), Facts()
    for row in disk.rows.components.every():
        if "digest" not in row.manifest:  # a sample, never installed
            continue
        installed = installed_of(row)
        code = shelf.verified(installed.id, installed.version, installed.digest)
        facts[f"code {installed.id}"] = f"{installed.version} {code.digest[:16]}"
        for path in sorted((disk.root / "components" / installed.id).glob("*/data/*")):
            facts[f"data {path.name} of {path.parent.parent.name}"] = digest(path.read_bytes())
    return facts


def _backup(scene: Scene) -> Facts:
    if not (scene.dest / "inos-backup").exists():  # written first: before that there is no backup
        return {}
    snapshots = [each for each in list_backup(scene.keys, str(scene.dest)) if not each.problem]
    *_, report = check_backup(scene.keys, str(scene.dest), 100)
    assert report.problems == (), report.problems
    return {f"snapshot {number}": f"{each.chunks} chunks" for number, each in enumerate(snapshots)}


def lost_databases(scene: Scene) -> list[str]:
    """What a rebuild moved aside."""
    names = os.listdir(scene.home)  # noqa: PTH208
    return sorted(name for name in names if name.startswith(LOST) and name.removeprefix(LOST).isdecimal())
