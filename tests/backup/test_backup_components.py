"""The data of components in a backup: what a check says of it, and what is not in it is said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from backup_roots import Root, made, plain

from inos.backup.entries import Entry, entries_in
from inos.core.errors import Corrupt


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    """A data root whose backup has packs that hold nothing but a component's data."""
    monkeypatch.setattr("inos.backup.packs.PACK_BYTES", 1_000_000)
    root = made(tmp_path)
    (root.home / "components/app/1/data").mkdir(parents=True)
    (root.home / "components/app/1/data/large").write_bytes(plain(9, 3_000_000))
    return root


def test_a_check_misses_nothing_that_a_restore_needs(root: Root) -> None:
    """Each pack in turn is gone, and damaged: whenever a restore fails, the check said so."""
    name = root.backup().snapshot
    shutil.rmtree(root.home / "blobs")  # so that chunks must come from the backup
    packs = sorted(root.dest.glob("packs/*/*"))
    assert len(packs) > 3
    for pack in packs:
        data = pack.read_bytes()
        for damage in (None, data[:-1] + bytes([data[-1] ^ 1])):
            pack.unlink(missing_ok=True)
            if damage is not None:
                pack.write_bytes(damage)
            report = root.check()
            assert report.affected == (name,) and report.problems, pack
            if damage is None:
                with pytest.raises(Corrupt):
                    root.restore()
        pack.write_bytes(data)
    assert root.check().affected == ()


@pytest.mark.parametrize(
    "line", [b"x", b'{"path": "../a", "mode": 1, "modified_ms": 1, "size": 1, "lists": []}',
             b'{"path": "a", "mode": 1, "modified_ms": 1, "size": 1, "lists": [], "kind": "pipe"}',
             b'{"path": "a", "mode": 1, "modified_ms": 1, "size": 1, "lists": [], "kind": "link"}', b"[]", b"{}",
             b'{"path": 1, "mode": 1, "modified_ms": 1, "size": 1, "lists": []}',
             b'{"path": "a", "mode": 1, "modified_ms": 1, "size": 1, "lists": ["00"]}', b"[" * 100_000],
)  # fmt: skip
def test_a_line_that_cannot_be_restored_is_damage(line: bytes) -> None:
    sound = Entry("app/file", 0o600, 1, 2, (bytes(32),))
    link = Entry("app/link", 0o777, 1, 0, kind="link", target="../file")
    folder = Entry("app/folder", 0o700, 1, 0, kind="folder")
    assert list(entries_in(sound.encode() + link.encode() + folder.encode())) == [sound, link, folder]
    with pytest.raises(Corrupt):
        list(entries_in(sound.encode() + line))


def test_links_and_empty_folders_come_back_and_what_cannot_is_named(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = root.home / "components/app/1/data"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_bytes(b"not ours")
    links = {"near": "large", "far": str(outside), "nowhere": "../../no/such", "odd": "./a//b", "\udcff": "x\udcfe"}
    for name, target in links.items():
        (data / name).symlink_to(target)
    (data / "empty/below").mkdir(parents=True)
    (data / "empty/below").chmod(0o500)
    (data / "shut").mkdir()
    (data / "shut/secret").write_bytes(b"x")
    os.mkfifo(data / "pipe")
    (root.home / "components/app/2/data").mkdir(parents=True)
    listed = os.listdir

    def denied(path: Path) -> list[str]:
        if path == data / "shut":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr("inos.backup.walking.os.listdir", denied)
    done = root.backup()
    assert (done.damaged, done.left_out) == (1, 2)
    at = "components/app/1/data"
    assert done.left_out_names == (f"{at}/pipe: not a file", f"{at}/shut: Permission denied")
    assert root.check().problems == ()
    monkeypatch.undo()
    for _ in range(2):  # also where they are in the way
        root.restore()
        assert {name: os.readlink(data / name) for name in links} == links  # noqa: PTH115 - as it is
        assert (data / "large").read_bytes() == plain(9, 3_000_000)
        assert [path.name for path in (data / "empty").iterdir()] == ["below"]
        assert (root.home / "components/app/2/data").is_dir()
        assert not (data / "pipe").exists() and not (data / "shut").exists()
        assert list(outside.iterdir()) == [outside / "theirs"]
