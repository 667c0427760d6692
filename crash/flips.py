"""Every byte of every kind of file that a node keeps, flipped: noticed or put right, or of no consequence;
never wrong data.

A *kind* lays out a scene with its file and knows how whoever uses that file reads it. What was read is compared with
what is read from the undamaged file. Backups have their own test (`tests/backup/test_backup_bytes.py`).
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from crash.root_operations import install_sample
from crash.roots import MINE, Clock, Facts, Scene, digest, make_root, piece, small
from inos.components.installed import installed_of
from inos.components.shelf import Shelf
from inos.core.endpoint import Endpoint, read_endpoint, write_endpoint
from inos.core.errors import Corrupt, InosError
from inos.core.messages.ids import next_id
from inos.core.messages.marks import Mark
from inos.core.messages.message import Draft
from inos.core.rows.personal import Preference
from inos.messages.cache_folder import DATABASE_FILE, KEY_FILE, agents_folder, open_cache
from inos.messages.cache_schema import CACHE_MIGRATIONS
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.messages.sqlite_schema import MIGRATIONS as CORPUS_MIGRATIONS
from inos.node.disk import Disk
from inos.store.database import Database
from inos.store.dataroot import DataRoot
from inos.store.log_sums import FRAME_BYTES, HEADER_BYTES, PAGE_BYTES
from inos.store.migrations import MIGRATIONS
from inos.store.migrations.step import Migration
from inos.store.rebuild import DATABASE, SPARE
from inos.store.swap import begin_swap, finish_swap, new_folder

_MASKS: Final = (0x01, 0x10, 0x80)


@dataclass(frozen=True, slots=True)
class Kind:
    """`file` is the one to be damaged; `read` reads it as its user does, raising InosError for what it notices.
    `healed`: whether that read had to put something right. `may_pass`: whether a flip at this offset may go unnoticed,
    losing nothing. `mend` is called once the file is right again."""

    name: str
    make: Callable[[Scene], None]
    file: Callable[[Scene], Path]
    read: Callable[[Scene], Facts]
    healed: Callable[[Scene], bool] = lambda _scene: False
    may_pass: Callable[[Path, int], bool] = lambda _path, _at: False
    mend: Callable[[Scene], None] = lambda _scene: None


@dataclass(slots=True)
class Flipped:
    """What became of the flips of one kind."""

    name: str
    flips: int = 0
    noticed: int = 0
    healed: int = 0
    harmless: int = 0
    violations: list[str] = field(default_factory=list)


def flip_all(kind: Kind, scene: Scene, most: int, seed: int) -> Flipped:
    """Flip `most` bytes of the file of a new scene, one after the other; all there are when there are no more."""
    kind.make(scene)
    path, result, chance = kind.file(scene), Flipped(kind.name), random.Random(f"{seed} {kind.name}")
    right, size = kind.read(scene), path.stat().st_size
    for at in range(size) if size <= most else sorted(chance.sample(range(size), most)):
        result.flips += 1
        mask = chance.choice(_MASKS)
        with _flipped(path, at, mask):
            said = _said(kind, scene, right)
        kind.mend(scene)
        if said == "noticed":
            result.noticed += 1
        elif said == "healed":
            result.healed += 1
        elif kind.may_pass(path, at):
            result.harmless += 1
        else:
            result.violations.append(f"{kind.name}, byte {at} of {size} ^ {mask:#x}: {said}")
    return result


def _said(kind: Kind, scene: Scene, right: Facts) -> str:
    try:
        found = kind.read(scene)
    except InosError as error:
        return "noticed" if error.message and error.code != "internal" else f"an error without words: {error!r}"
    except Exception as error:
        return f"no error of ours: {error!r}"
    if found != right:
        return "other data, without a word"
    return "healed" if kind.healed(scene) else "not noticed"


@contextmanager
def _flipped(path: Path, at: int, mask: int) -> Iterator[None]:
    before = path.read_bytes()
    _write_at(path, at, bytes([before[at] ^ mask]))
    try:
        yield
    finally:
        if path.exists():
            _write_at(path, at, before[at : at + 1])
        else:
            path.write_bytes(before)
            path.chmod(0o600)


def _write_at(path: Path, at: int, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, data, at)
    finally:
        os.close(descriptor)


# Secrets, and what says which node it is


def _with_passphrase(scene: Scene) -> None:
    make_root(scene, "old")


def _unlocked(passphrase: str | None) -> Callable[[Scene], Facts]:
    def read(scene: Scene) -> Facts:
        unlocked = DataRoot(scene.home).unlock(passphrase)
        return {"node": unlocked.node_key().public_key.hex(), "key": digest(unlocked.keyring.database_key())}

    return read


def _serving(scene: Scene) -> None:
    make_root(scene)
    write_endpoint(scene.home, Endpoint("http://127.0.0.1:4711", "t" * 43))


def _endpoint(scene: Scene) -> Facts:
    found = read_endpoint(scene.home)
    return {"url": found.url, "token": found.token}


def _being_restored(scene: Scene) -> None:
    make_root(scene)
    new_folder(scene.home).mkdir(parents=True)
    shutil.copy(scene.home / "node.json", new_folder(scene.home) / "node.json")
    begin_swap(scene.home, ["node.json"], ["staging"])


def _swapped(scene: Scene) -> Facts:
    kept = scene.base / "kept"
    shutil.copytree(scene.home / "restore", kept)
    try:
        finish_swap(scene.home)
        return {"node": (scene.home / "node.json").read_text()}
    finally:
        shutil.rmtree(scene.home / "restore", ignore_errors=True)
        kept.rename(scene.home / "restore")


# The database, its log, its copies


def _filled(scene: Scene) -> None:
    make_root(scene)
    with scene.opened() as disk:
        _fill(disk)


def _fill(disk: Disk) -> None:
    disk.chunks.put_many(small(*range(12)))
    disk.settings.put({f"{MINE}{number}": b"%d" % number * 50 for number in range(40)})
    disk.rows.preferences.put(*(Preference(f"ui.{number:03}", "x" * 300, 1_700_000_000) for number in range(40)))


def _in_database(scene: Scene) -> Facts:
    return _content(scene, scene.home / DATABASE, _key(scene))


_MENDED: dict[Path, int] = {}


def _mended(scene: Scene) -> bool:
    """Whether what was read last was put right first."""
    return _MENDED[scene.base] > 0


def _content(scene: Scene, path: Path, key: bytes, migrations: Sequence[Migration] = MIGRATIONS) -> Facts:
    """Every row of every table of a database, opened as a node opens it, once its pages passed the check."""
    with closing(Database(path, key, Clock(), migrations=migrations, keeps_previous=False)) as database:
        _MENDED[scene.base] = database.mended
        if problems := database.check():
            raise Corrupt(problems[0])
        sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name"
        tables = database.read(lambda cursor: [str(name) for (name,) in cursor.execute(sql)])
        found = Facts()
        for table in tables:
            rows = database.read(lambda cursor, name=table: list(cursor.execute(f'SELECT * FROM "{name}"')))  # type: ignore[misc]
            found[table] = digest(repr(rows).encode())
        return found


_KEYS: dict[Path, bytes] = {}


def _key(scene: Scene) -> bytes:
    if scene.home not in _KEYS:
        _KEYS[scene.home] = DataRoot(scene.home).unlock().keyring.database_key()
    return _KEYS[scene.home]


def _unused(path: Path, at: int) -> bool:
    """The salt in front of the file is for keys made of a passphrase, and ours are not. (Pages that are free are not
    read either; a new database has none.)"""
    del path
    return at < 16


def _killed(scene: Scene) -> None:
    """A root whose process died with transactions in the log, of a page or several each."""
    _filled(scene)
    (scene.base / "died").mkdir()
    with scene.opened() as disk:
        for number in range(6):
            disk.settings.put({f"{MINE}late {number}": b"%d" % number * 20})
        disk.rows.preferences.put(*(Preference(f"late.{number:03}", "y" * 300, 1) for number in range(30)))
        disk.settings.put({f"{MINE}last": b"1"})
        for name in (DATABASE, f"{DATABASE}-wal"):
            shutil.copy(scene.home / name, scene.base / "died" / name)
    for name in (DATABASE, f"{DATABASE}-wal"):
        shutil.copy(scene.base / "died" / name, scene.home / name)


def _in_log(scene: Scene) -> Facts:
    """Read on a copy: whoever opens it writes the log back."""
    place = scene.base / "opened"
    place.mkdir()
    try:
        for name in (DATABASE, f"{DATABASE}-wal"):
            shutil.copy(scene.home / name, place / name)
        return _content(scene, place / DATABASE, _key(scene))
    finally:
        shutil.rmtree(place)


def _with_spare(scene: Scene) -> None:
    _filled(scene)
    with scene.opened() as disk:
        disk.spare.make()


def _in_spare(scene: Scene) -> Facts:
    """As `inos rebuild` looks at it before it begins with it."""
    return _content(scene, scene.home / SPARE, _key(scene))


# Messages: an agent's cache, a hub's corpus, and their logs

_AGENT: Final = "flipped"


def _cache_file(scene: Scene) -> Path:
    return agents_folder(scene.home) / _AGENT / DATABASE_FILE


def _corpus_file(scene: Scene) -> Path:
    return scene.home / "corpus.db"


def _drafts(first: int, count: int) -> list[Draft]:
    return [Draft(_AGENT, {"text": f"message {number} " + "z" * 200}) for number in range(first, first + count)]


def _write_cache(scene: Scene, then: Callable[[], None] = lambda: None) -> None:
    with open_cache(_cache_file(scene).parent, _AGENT, Clock()) as cache:
        for number in range(0, 40, 20):
            cache.append_many(_drafts(number, 20))
        cache.append(*_drafts(40, 1))
        then()


def _write_corpus(scene: Scene, then: Callable[[], None] = lambda: None) -> None:
    with closing(SqliteCorpus(_corpus_file(scene), _corpus_key(scene), Clock())) as corpus:
        for number in range(4):
            written = [
                draft.written(next_id(number, b"%010d" % at, None), number) for at, draft in enumerate(_drafts(0, 10))
            ]
            corpus.insert(written, number)
        corpus.mark([str(written[0].id)], "read", Mark(5, "somebody", on=True))
        then()


def _cache_key(scene: Scene) -> bytes:
    return (_cache_file(scene).parent / KEY_FILE).read_bytes()


def _corpus_key(scene: Scene) -> bytes:
    del scene
    return bytes(range(32))


def _with_messages(write: Callable[..., None]) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.home.mkdir()
        write(scene)

    return make


def _with_messages_in_log(write: Callable[..., None], file: Callable[[Scene], Path]) -> Callable[[Scene], None]:
    """As a process leaves them that died after the last of its writes."""

    def make(scene: Scene) -> None:
        scene.home.mkdir()
        path, died = file(scene), scene.base / "died"

        def die() -> None:
            died.mkdir()
            for end in ("", "-wal"):
                shutil.copy(f"{path}{end}", died)

        write(scene, die)
        for left in died.iterdir():
            shutil.copy(left, path.parent)
        # Cut off behind what was committed: the rest is what its log was made long with, and nobody reads it.
        os.truncate(f"{path}-wal", _committed_bytes(Path(f"{path}-wal").read_bytes()))

    return make


def _committed_bytes(log: bytes) -> int:
    length = FRAME_BYTES + PAGE_BYTES
    starts = range(HEADER_BYTES, len(log) - length + 1, length)
    return max(at + length for at in starts if log[at + 4 : at + 8] != bytes(4) and log[at + 8 : at + 16] == log[16:24])


def _messages_in(
    file: Callable[[Scene], Path], key: Callable[[Scene], bytes], migrations: Sequence[Migration]
) -> Callable[[Scene], Facts]:
    def read(scene: Scene) -> Facts:
        place = scene.base / "opened"
        place.mkdir()
        try:
            for end in ("", "-wal"):
                if Path(f"{file(scene)}{end}").exists():
                    shutil.copy(f"{file(scene)}{end}", place)
            return _content(scene, place / file(scene).name, key(scene), migrations)
        finally:
            shutil.rmtree(place)

    return read


_CACHE: Final = _messages_in(_cache_file, _cache_key, CACHE_MIGRATIONS)
_CORPUS: Final = _messages_in(_corpus_file, _corpus_key, CORPUS_MIGRATIONS)


def _log_of(file: Callable[[Scene], Path]) -> Callable[[Scene], Path]:
    return lambda scene: Path(f"{file(scene)}-wal")


# Chunks and components

_CHUNK: Final = piece(5, 400)


def _with_chunk_file(scene: Scene) -> None:
    make_root(scene)
    with scene.opened() as disk:
        disk.chunks.small_as_files = True
        disk.chunks.put_many([_CHUNK])


def _chunk_file(scene: Scene) -> Path:
    name = _CHUNK[0].hex()
    return scene.home / "blobs" / name[:2] / f"{name}.enc"


def _chunk(scene: Scene) -> Facts:
    with scene.opened() as disk:
        return {"chunk": digest(disk.chunks.get(_CHUNK[0]))}


def _taken_up(scene: Scene) -> None:
    """The file is right again: the sweep gives it back the row that it lost when it was found damaged."""
    with scene.opened() as disk:
        disk.chunks.sweep_orphans(_CHUNK[0][0])
        assert disk.chunks.get(_CHUNK[0]) == _CHUNK[1], "a chunk that is whole again is not taken up"


def _with_component(scene: Scene) -> None:
    make_root(scene)
    install_sample(scene)
    with scene.opened() as disk:
        (row,) = disk.rows.components.every()
    (scene.base / "digest").write_text(installed_of(row).digest)


def _component_file(scene: Scene) -> Path:
    (path,) = (scene.home / "components").glob("*/*/code/index.html")
    return path


def _code(scene: Scene) -> Facts:
    folder = _component_file(scene).parents[2]
    code = Shelf(scene.home, Clock()).verified(folder.name, "1.0", (scene.base / "digest").read_text())
    return {"code": code.digest}


def _at(name: str) -> Callable[[Scene], Path]:
    return lambda scene: scene.home / name


KINDS: Final = (
    Kind("cocoon, with a passphrase", _with_passphrase, _at("cocoon"), _unlocked("old")),
    Kind("cocoon, with a keyfile", make_root, _at("cocoon"), _unlocked(None)),
    Kind("keyfile", make_root, _at("keyfile"), _unlocked(None)),
    Kind("node.json", make_root, _at("node.json"), _unlocked(None)),
    Kind("api.json", _serving, _at("api.json"), _endpoint),
    Kind("restore/ready", _being_restored, _at("restore/ready"), _swapped),
    Kind("database", _filled, _at(DATABASE), _in_database, may_pass=_unused),
    Kind("log of the database", _killed, _at(f"{DATABASE}-wal"), _in_log, _mended),
    Kind("spare of the database", _with_spare, _at(SPARE), _in_spare, may_pass=_unused),
    Kind("messages of an agent", _with_messages(_write_cache), _cache_file, _CACHE, may_pass=_unused),
    Kind(
        "log of an agent's messages",
        _with_messages_in_log(_write_cache, _cache_file),
        _log_of(_cache_file),
        _CACHE,
        _mended,
    ),
    Kind("messages of a hub", _with_messages(_write_corpus), _corpus_file, _CORPUS, may_pass=_unused),
    Kind(
        "log of a hub's messages",
        _with_messages_in_log(_write_corpus, _corpus_file),
        _log_of(_corpus_file),
        _CORPUS,
        _mended,
    ),
    Kind("chunk file", _with_chunk_file, _chunk_file, _chunk, mend=_taken_up),
    Kind("file of a component", _with_component, _component_file, _code),
)
