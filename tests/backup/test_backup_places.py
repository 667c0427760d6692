"""Where a backup may lie, whose it is, and where an object out of it goes."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import threading
from pathlib import Path

import pytest
from backup_roots import OTHER, Root, made, plain

from inos.backup.one_object import writing
from inos.core.env import RealEnv
from inos.core.errors import BadInput, Corrupt, WrongPassphrase
from inos.daemon.backups import node_backup


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return made(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_no_backup_in_the_data_root_itself(root: Root, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root.home)
    before = names(root.home)
    for place in ("components/zz", "", "backup", "blobs/../new"):
        for start in (str(root.home), str(tmp_path / "link"), f"file://{root.home}", f"local://{root.home}"):
            with pytest.raises(BadInput, match="data root"):
                root.backup(f"{start}/{place}")
    with root.open() as (disk, keyring):
        with pytest.raises(BadInput, match="data root"):
            next(node_backup(disk, keyring, str(root.home / "components"), "mesh", RealEnv()))
        assert [name for name in names(root.home) if name not in before and not name.startswith("inos.db")] == []
        *_, done = node_backup(disk, keyring, str(root.home / "backup"), "mesh", RealEnv())
        assert done.finished
    root.backup(str(tmp_path / "home-not"))


def test_a_folder_of_somebody_else_keeps_its_mode(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its owner may change the mode of a folder; whoever may write to it can use it."""
    root.dest.mkdir(mode=0o777)
    root.dest.chmod(0o1777)
    chmod = Path.chmod

    def refused(self: Path, mode: int) -> None:
        if self == root.dest:
            raise PermissionError(1, "Operation not permitted")
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", refused)
    root.backup()
    assert stat.S_IMODE(root.dest.stat().st_mode) == 0o1777
    assert root.check().problems == ()
    assert all(not path.stat().st_mode & 0o077 for path in root.dest.rglob("*"))


@pytest.mark.parametrize("there", [True, False])
def test_what_was_refused_leaves_nothing(root: Root, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    if there:
        root.dest.mkdir()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("inos.store.filesystem.RealFiles.write_synced", full)
    with pytest.raises(Exception, match="No space"):
        root.backup()
    monkeypatch.undo()
    assert names(root.dest) == [] and root.dest.exists() == there
    root.backup()
    with pytest.raises(WrongPassphrase):
        made(root.home.parent / "other", OTHER).backup(str(root.dest))
    assert (root.dest / "lock").exists() and root.check().problems == ()


def test_a_place_without_its_header_stays_its_owners(root: Root, tmp_path: Path) -> None:
    other = made(tmp_path / "other", OTHER)
    root.backup()
    header = root.dest / "inos-backup"
    header.unlink()
    before = names(root.dest)
    with pytest.raises(WrongPassphrase):
        other.backup(str(root.dest))
    [index] = root.dest.glob("index/*")
    data = index.read_bytes()
    index.write_bytes(bytes(len(data)))
    with pytest.raises(WrongPassphrase):
        other.backup(str(root.dest))
    assert names(root.dest) == before
    root.backup()  # its snapshot shows that it is ours
    assert header.exists()
    shutil.rmtree(root.dest / "index")
    shutil.rmtree(root.dest / "snapshots")
    header.unlink()
    for each in (root, other):
        with pytest.raises(Corrupt, match="whose"):
            each.backup(str(root.dest))
    assert not header.exists()


def test_a_place_that_ends_with_the_process_is_refused(root: Root) -> None:
    for place in ("memory://x", "simplecache::memory://x"):
        with pytest.raises(BadInput, match="ends"):
            root.backup(place)


def test_files_of_others_that_end_like_ours_are_theirs(root: Root, tmp_path: Path) -> None:
    """A folder in which only a browser's download is under way is no empty one; and beside a backup it stays."""
    used = tmp_path / "downloads"
    used.mkdir()
    (used / "film.part").write_text("theirs")
    with pytest.raises(BadInput, match=r"other things: 'film\.part'"):
        root.backup(str(used))
    assert names(used) == ["film.part"]
    root.backup()
    (root.dest / "film.part").write_text("theirs")
    half = next(root.dest.glob("packs/*/*")).with_suffix(".part")
    half.write_text("ours")
    root.backup()
    assert (root.dest / "film.part").exists() and not half.exists()


def test_an_object_replaces_a_file_and_nothing_else(tmp_path: Path) -> None:
    out, beside = tmp_path / "out", tmp_path / "out.part"
    beside.write_text("mine")
    out.write_text("old")
    with pytest.raises(Corrupt), writing(out, RealEnv()) as file:
        file.write(b"half")
        raise Corrupt("the rest is damaged")
    assert (out.read_text(), beside.read_text(), len(names(tmp_path))) == ("old", "mine", 2)
    (tmp_path / "link").symlink_to(out)
    with writing(tmp_path / "link", RealEnv()) as file:
        file.write(b"new")
    assert (out.read_text(), beside.read_text()) == ("new", "mine") and (tmp_path / "link").is_symlink()
    out.unlink()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(out))
        with pytest.raises(BadInput), writing(out, RealEnv()):
            pass
    assert out.is_socket()


def test_an_object_goes_into_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    with writing(pipe, RealEnv()) as file:
        file.write(plain(1))
    reader.join(20)
    assert got == [plain(1)] and pipe.is_fifo() and names(tmp_path) == ["pipe"]
    with writing(Path(os.devnull), RealEnv()) as file:
        file.write(b"gone")
    assert Path(os.devnull).is_char_device()
