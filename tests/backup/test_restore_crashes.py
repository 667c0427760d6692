"""Death in a restore where nothing was before, from the phrase: a process of its own, the real calls."""

from __future__ import annotations

import shutil
from pathlib import Path

from backup_roots import PHRASE, Root, made, pending, write
from dying import DIED, DONE, run

from inos.core.backups import KeySource


def test_a_restore_into_nothing_broken_off_anywhere(tmp_path: Path) -> None:
    """There is nothing yet, or all of it, components, messages and settings included, for whoever comes next."""
    root = made(tmp_path)
    (root.home / "components/app/1").mkdir(parents=True)
    (root.home / "components/app/1/state").write_bytes(b"state")
    write(root, "scout", "one", "two")
    (root.home / "config").mkdir()
    (root.home / "config/node.yaml").write_bytes(b"role: coder")
    wanted = root.contents()
    root.backup()
    fresh = Root(tmp_path / "fresh", root.dest)

    def work() -> object:
        there = (fresh.home / "cocoon").exists()
        return fresh.restore(keys=KeySource(fresh.home, None, None if there else PHRASE))

    def attempt(at: int) -> tuple[int, int]:
        shutil.rmtree(fresh.home, ignore_errors=True)
        return run(work, fresh.home, "death", at)

    code, total = attempt(0)
    assert code == DONE
    outcomes = set()
    for at in (1, total // 2, *range(total - 14, total + 1)):
        code, _ = attempt(at)
        assert code == DIED, at
        ready = (fresh.home / "restore/ready").exists() or (fresh.home / "cocoon").exists()
        outcomes.add(ready)
        if ready:
            assert fresh.contents() == wanted, at
            assert (fresh.home / "components/app/1/state").read_bytes() == b"state", at
            assert (fresh.home / "config/node.yaml").read_bytes() == b"role: coder", at
            assert pending(fresh, "scout") == ["one", "two"], at
        else:
            assert not (fresh.home / "inos.db").exists(), at
    assert outcomes == {True, False}
    attempt(total // 2)
    work()
    assert fresh.contents() == wanted and not (fresh.home / "restore").exists()
