"""Death and a full disk at every file operation of a backup and of a restore: a process of its own, the real calls."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from backup_roots import made, pending, write

from dying import DIED, DONE, REFUSED, run
from inos.core.ids import Address
from inos.daemon.backups import list_backup


@pytest.mark.parametrize("how", ["death", "full"])
def test_a_backup_broken_off_anywhere(tmp_path: Path, how: str) -> None:
    root = made(tmp_path)
    write(root, "scout", "one")
    first = root.backup().snapshot
    kept = tmp_path / "kept"
    shutil.copytree(root.dest, kept)
    root.store(40, 41)
    write(root, "scout", "two")
    at, code = 0, DIED
    while code != DONE:
        at += 1
        shutil.rmtree(root.dest)
        shutil.copytree(kept, root.dest)
        code, _ = run(root.backup, root.dest, how, at)
        assert code in (DIED, REFUSED, DONE), at
        report = root.check()
        assert report.problems == (), at
        assert first in {each.snapshot for each in list_backup(root.keys, str(root.dest))}
        if at % 3 == 0:
            root.backup()
            assert root.check().problems == () and not list(root.dest.rglob("*.part"))
    assert at > 5


def test_what_a_killed_backup_sent_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inos.backup.packs.PACK_BYTES", 100_000)
    monkeypatch.setattr("inos.backup.repository.PACKS_AN_INDEX", 1)
    root = made(tmp_path)
    assert run(root.backup, root.dest, "death", 30) == (DIED, 0)
    written = sum(path.stat().st_size for path in root.dest.glob("packs/*/*"))
    assert written > 200_000
    assert root.backup().sent < 6 * 150_000 + 700_000 - written / 2
    assert root.check().problems == ()


@pytest.mark.parametrize(("how", "blobs_left"), [("death", True), ("death", False), ("full", False)])
def test_a_restore_broken_off_anywhere(tmp_path: Path, how: str, blobs_left: bool) -> None:
    root = made(tmp_path)
    write(root, "scout", "one")
    old = root.contents()
    root.backup()
    root.store(90)
    write(root, "scout", "two")
    write(root, "newcomer", "hello")
    if not blobs_left:  # the same node, with none of the chunks that the backup has
        with root.open() as (disk, _):
            disk.chunks.remove_many([Address(address) for address in old])
    new = root.contents()
    kept = tmp_path / "kept"
    shutil.copytree(root.home, kept)

    def attempt(how: str, at: int) -> tuple[int, int]:
        shutil.rmtree(root.home)
        shutil.copytree(kept, root.home)
        return run(root.restore, root.home, how, at)

    code, total = attempt("count", 0)
    assert code == DONE
    # Most are alike, one folder after the other; where the new state takes the old one's place, each counts.
    step = 2 if how == "death" and not blobs_left else 6
    points = [*range(1, total - 30, (total - 30) // 6), *range(total - 30, total + 1, step)]
    outcomes = set()
    for at in points:
        code, _ = attempt(how, at)
        assert code in (DIED, REFUSED, DONE), at
        found = root.contents()  # as a node would: takes the lock, opens the database, reads everything
        assert found in (old, new), at
        assert (pending(root, "scout"), pending(root, "newcomer")) == (["one", "two"], ["hello"]), at
        outcomes.add(found == old)
    assert outcomes == {True, False}
    root.restore()
    assert root.contents() == old and not (root.home / "restore").exists()
