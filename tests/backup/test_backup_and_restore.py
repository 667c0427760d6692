"""A data root backed up and brought back: what is sent, what is refused, what a damaged backup says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from backup_roots import OTHER, PHRASE, Root, made, node_backup, plain

from inos.backup.sealing import Kind
from inos.core.backups import KeySource
from inos.core.env import RealEnv
from inos.core.errors import (
    BadInput,
    Conflict,
    Corrupt,
    InosError,
    Locked,
    NewerFormat,
    NotFound,
    StorageFull,
    WrongPassphrase,
)
from inos.crypto.derive import Keyring
from inos.crypto.phrase import master_from_phrase
from inos.daemon.backups import list_backup
from inos.objects.chunks import seal_chunk
from inos.store.dataroot import DataRoot


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return made(tmp_path)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_everything_comes_back_from_the_phrase_alone(root: Root, tmp_path: Path) -> None:
    (root.home / "components/app/1").mkdir(parents=True)
    (root.home / "components/app/1/state.bin").write_bytes(plain(9, 2_500_000))
    (root.home / "components/empty").write_bytes(b"")
    wanted, node = root.contents(), (root.home / "node.json").read_bytes()
    name = root.backup().snapshot
    again = Root(tmp_path / "again", root.dest)
    done = again.restore(keys=KeySource(again.home, "new passphrase", PHRASE))
    assert done.snapshot == name and not (again.home / "keyfile").exists()
    unlocked = DataRoot(again.home).unlock("new passphrase")
    assert unlocked.keyring.database_key() == Keyring(master_from_phrase(PHRASE)).database_key()
    DataRoot(again.home).change_passphrase("new passphrase", None, RealEnv())
    assert again.contents() == wanted and (again.home / "node.json").read_bytes() == node
    assert (again.home / "components/app/1/state.bin").read_bytes() == plain(9, 2_500_000)
    assert (again.home / "components/empty").read_bytes() == b""
    assert all(path.stat().st_mode & 0o077 == 0 for path in files(again.home))


def test_only_what_is_new_is_sent(root: Root) -> None:
    first = root.backup()
    assert first.sent > 6 * 150_000
    second = root.backup()
    assert second.sent < 70_000  # a block or two that opening the database changed, lists, an index, a snapshot
    root.store(50)
    third = root.backup()
    assert 150_000 < third.sent < 150_000 + 400_000
    assert len(list_backup(root.keys, str(root.dest))) == 3


def test_a_point_in_time(root: Root) -> None:
    before = root.contents()
    first = root.backup()
    root.store(77)
    after = root.contents()
    root.backup()
    [old, new] = list_backup(root.keys, str(root.dest))
    assert (old.snapshot, old.chunks, new.chunks) == (first.snapshot, 6, 7)
    root.restore(at=old.snapshot[:12])
    assert root.contents() == before
    root.restore()
    assert root.contents() == after
    with pytest.raises(NotFound):
        root.restore(at="2001-01-01")
    with pytest.raises(BadInput):
        root.restore(at="yesterday")
    root.restore(at="2999-01-01T00:00")
    assert root.contents() == after


def test_nothing_can_be_read_of_it(root: Root) -> None:
    with root.open() as (disk, _):
        addresses = list(disk.chunks.addresses())
        disk.settings.put({"secret/name": b"MARK-4711"})
    root.backup()
    written = b"".join(path.read_bytes() for path in files(root.dest))
    names = " ".join(path.as_posix() for path in files(root.dest))
    for address in addresses:
        assert bytes(address) not in written and address.hex() not in names
    chunk = seal_chunk(plain(0), Keyring(master_from_phrase(PHRASE)).convergence_secret())
    assert chunk.stored[:64] not in written and b"MARK-4711" not in written and b"SQLite" not in written
    assert (root.home / "inos.db").read_bytes()[:64] not in written
    assert not {"cocoon", "keyfile"} & {path.name for path in files(root.dest)}
    assert all(path.stat().st_mode & 0o077 == 0 for path in files(root.dest))


def test_what_is_put_while_it_runs(root: Root) -> None:
    """Chunks stored and freed between any two steps: the snapshot restores whole."""
    place = str(root.dest)
    with root.open() as (disk, keyring):
        secret = keyring.convergence_secret()
        held = list(disk.chunks.addresses())
        steps = node_backup(disk, keyring, place, "full", RealEnv())
        for number, report in enumerate(steps, 1000):
            disk.chunks.put_many([seal_chunk(plain(number), secret).piece])
            if held and not report.finished:
                disk.chunks.remove_many([held.pop()])
    assert root.check().problems == ()
    root.restore()
    assert root.contents()


def test_nothing_is_freed_while_the_database_stands_still(root: Root) -> None:
    with root.open() as (disk, _):
        [first, *_] = disk.chunks.addresses()
        with disk.chunks.keeping(), disk.database.frozen() as standing:
            size = (root.home / "inos.db").read_bytes()
            assert disk.chunks.remove_many([first]) == 0
            mark = disk.chunks.begin_mark()
            assert mark.sweep(2**40).chunks == 0
            disk.settings.put({"later": b"x" * 100_000})
            disk.database.checkpoint()
            assert (root.home / "inos.db").read_bytes() == size
            assert not list(standing.cursor.execute("SELECT 1 FROM settings WHERE key = 'later'"))
            assert b"".join(standing.blocks(10_000)) == size
        assert disk.chunks.remove_many([first]) > 0
        disk.database.checkpoint()
        assert (root.home / "inos.db").read_bytes() != size


def test_a_damaged_chunk_is_counted_and_the_rest_restores(root: Root) -> None:
    [bad, *_] = sorted((root.home / "blobs").rglob("*.enc"))
    bad.write_bytes(bytes(bad.stat().st_size))
    assert root.backup().damaged == 1
    assert root.check().problems == ()
    root.restore()
    assert len(root.contents()) == 9


def test_two_at_once(root: Root, tmp_path: Path) -> None:
    with root.open() as (disk, keyring):
        first = node_backup(disk, keyring, str(root.dest), "full", RealEnv())
        next(first)
        with pytest.raises(Locked):
            next(node_backup(disk, keyring, str(root.dest), "full", RealEnv()))
        with pytest.raises(Locked):
            list_backup(root.keys, str(root.dest))
        first.close()
    with root.open(), pytest.raises(Locked, match="in use"):
        root.restore()


def test_wrong_keys_and_wrong_places(root: Root, tmp_path: Path) -> None:
    root.backup()
    other = made(tmp_path / "other", OTHER)
    with pytest.raises(WrongPassphrase):
        other.restore(place=str(root.dest))
    with pytest.raises(WrongPassphrase):
        other.backup(place=str(root.dest))
    with pytest.raises(Conflict):
        other.restore(place=str(root.dest), keys=KeySource(other.home, None, PHRASE))
    with pytest.raises(BadInput):
        root.restore(keys=KeySource(root.home, None, "one two three"))
    with pytest.raises(NotFound):
        root.restore(place=str(tmp_path / "nothing"))
    (tmp_path / "else").mkdir()
    (tmp_path / "else/letter.txt").write_text("mine")
    with pytest.raises(BadInput):
        root.backup(place=str(tmp_path / "else"))
    with pytest.raises(NotFound):
        root.restore(place=str(tmp_path / "else"))
    with pytest.raises(BadInput):
        root.backup(place="nosuchscheme://x/y")
    with pytest.raises(BadInput):
        root.backup(place=str(tmp_path / "else/letter.txt"))
    assert len(other.contents()) == 10 and [path.name for path in files(tmp_path / "else")] == ["letter.txt"]


def test_a_newer_backup_is_left_alone(root: Root) -> None:
    root.backup()
    for name in ("inos-backup", *(path.relative_to(root.dest).as_posix() for path in files(root.dest / "snapshots"))):
        path = root.dest / name
        data = bytearray(path.read_bytes())
        data[8] = 9
        if name != "inos-backup":
            from inos.backup.sealing import file_name

            path.unlink()
            path = path.with_name(file_name(data))
        before = (root.dest / "inos-backup").read_bytes()
        path.write_bytes(data)
        with pytest.raises(NewerFormat):
            root.restore()
        (root.dest / "inos-backup").write_bytes(before)
    assert len(root.contents()) == 10


def test_every_damage_is_named_with_the_snapshots_it_hits(root: Root) -> None:
    first = root.backup().snapshot
    root.store(60)
    second = root.backup().snapshot
    newest = max(files(root.dest / "packs"), key=lambda path: path.stat().st_mtime_ns)
    for path in files(root.dest):
        data = path.read_bytes()
        for at in {0, 8, len(data) // 2, len(data) - 1} if data else ():
            changed = bytearray(data)
            changed[at] ^= 1
            path.write_bytes(changed)
            if path.name == "inos-backup":
                with pytest.raises((Corrupt, NewerFormat)):
                    root.check()
            else:
                report = root.check()
                assert any(path.name in problem for problem in report.problems), (path, at)
                assert report.affected
                if path.name in (first, second):
                    assert report.affected == (path.name,)
                if path == newest:
                    assert report.affected == (second,)
        path.unlink()
        if path.name not in ("inos-backup", "lock", first, second):
            assert root.check().affected, path
        path.write_bytes(data)
    assert root.check().problems == ()


def test_a_damaged_backup_replaces_nothing(root: Root) -> None:
    root.backup()
    wanted = root.contents()
    shutil.rmtree(root.home / "blobs")  # so that chunks must come from the backup
    (root.home / "blobs").mkdir()
    before = {path: path.read_bytes() for path in files(root.home) if path.name in ("inos.db", "node.json", "cocoon")}
    [pack] = files(root.dest / "packs")
    data = pack.read_bytes()
    for at in range(50, len(data), len(data) // 23):
        changed = bytearray(data)
        changed[at] ^= 0x40
        pack.write_bytes(changed)
        with pytest.raises(Corrupt):
            root.restore()
        assert all(path.read_bytes() == old for path, old in before.items())
    pack.write_bytes(data)
    root.restore()
    assert root.contents() == wanted


def test_what_was_lost_is_sent_again(root: Root) -> None:
    root.backup()
    [pack] = files(root.dest / "packs")
    pack.unlink()
    assert root.check().affected
    assert root.backup().sent > 6 * 150_000
    assert root.check().problems == ()


def test_no_room_for_a_restore(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    root.backup()
    wanted = root.contents()
    shutil.rmtree(root.home / "blobs")
    monkeypatch.setattr("inos.backup.restore.RESERVE_BYTES", 2**60)
    with pytest.raises(StorageFull):
        root.restore()
    monkeypatch.undo()
    root.restore()
    assert root.contents() == wanted


@pytest.mark.parametrize("scheme", ["file", "local"])
def test_urls(root: Root, tmp_path: Path, scheme: str) -> None:
    place = f"{scheme}://{tmp_path}/byurl"  # a folder, and a file system of fsspec
    wanted = root.contents()
    first = root.backup(place)
    assert root.backup(place).sent < first.sent / 4
    assert root.check(place).problems == () and len(list_backup(root.keys, place)) == 2
    shutil.rmtree(root.home / "blobs")
    root.restore(place=place)
    assert root.contents() == wanted
    with pytest.raises(NotFound):
        root.check(place + "-not")


def test_a_component_file_stays_in_its_folder(tmp_path: Path) -> None:
    """Only the owner can write a backup; a hostile entry still must not leave the folder, nor go through a link."""
    from inos.backup.repository import Repository
    from inos.backup.snapshot import Part
    from inos.backup.trees import write_tree

    link = {"path": "a", "mode": 0, "modified_ms": 0, "size": 0, "lists": [], "kind": "link", "target": str(tmp_path)}
    below = {"path": "a/b", "mode": 0o600, "modified_ms": 0, "size": 0, "lists": []}

    class Lying(Repository):
        def __init__(self, *entries: dict[str, object]) -> None:
            self.lines = b"\n".join(json.dumps(each).encode() for each in entries)

        def block(self, piece_id: bytes) -> bytes:
            return self.lines

    def written(*entries: dict[str, object]) -> list[int]:
        return list(write_tree(Lying(*entries), Part(1, 0, 0, (bytes(32),)), tmp_path / "new", 0o777))

    for path in ("../escaped", "/tmp/escaped", "a/../../escaped", "a//b", "", "a/.", "a\0b"):
        with pytest.raises(Corrupt, match="list of files"):
            written(below | {"path": path})
    with pytest.raises(InosError):
        written(link, below)  # what is below the link is a folder of its own, and the link finds it in its place
    assert (tmp_path / "new/a/b").is_file() and not (tmp_path / "b").exists()
    shutil.rmtree(tmp_path / "new")
    with pytest.raises(Corrupt, match="outside"):
        written(link, link | {"path": "a/c"})
    assert (tmp_path / "new/a").is_symlink() and not (tmp_path / "c").exists() and Kind.PACK.value
