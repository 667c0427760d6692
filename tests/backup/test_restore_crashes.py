"""Death in a restore where nothing was before, from the phrase, and at its end, with agents that come in between: a
process of its own, the real calls."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backup_roots import PHRASE, Root, folder, made, pending, write

from dying import DIED, DONE, run
from inos.core.backups import KeySource
from inos.core.errors import Locked
from inos.messages.agent import open_agent
from inos.store.dataroot import DataRoot
from inos.store.swap import begin_swap, finish_swap, swap_pending


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


def decided(root: Root, monkeypatch: pytest.MonkeyPatch, at_the_end: Callable[[], None]) -> None:
    """Restore as far as to the decision; `at_the_end` comes right before it."""

    def begin(*args: Any) -> None:
        at_the_end()
        begin_swap(*args)

    with monkeypatch.context() as patched:
        patched.setattr("inos.daemon.backups.begin_swap", begin)
        patched.setattr("inos.daemon.backups.finish_swap", lambda _root: None)
        root.restore()


def where_messages_are(home: Path) -> list[str]:
    paths = (path.relative_to(home) for path in home.rglob("*"))
    return sorted(path.as_posix() for path in paths if "messages" in path.parts[-3:])


def beside_restore(home: Path) -> set[Path]:
    return {path for path in home.rglob("*") if "restore" not in path.relative_to(home).parts}


def test_no_agent_keeps_a_restore_that_died_from_being_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was told to be written is there, whenever it came; one that is refused makes nothing."""
    root = made(tmp_path)
    write(root, "scout", "one", "two")
    root.backup()
    shutil.rmtree(folder(root, "scout"))
    write(root, "settled", "here")

    def at_the_end() -> None:
        write(root, "late", "in time")
        write(root, "scout", "anew")

    decided(root, monkeypatch, at_the_end)
    kept = tmp_path / "kept"
    shutil.copytree(root.home, kept, ignore=shutil.ignore_patterns("blobs"))  # hundreds of folders
    code, at, refused, last = DIED, 0, 0, [""]
    while code != DONE:
        at += 1
        shutil.rmtree(root.home)
        shutil.copytree(kept, root.home)
        code, _ = run(partial(finish_swap, root.home), root.home, "death", at)
        assert code in (DIED, DONE), at
        pending_still, found = swap_pending(root.home), where_messages_are(root.home)
        if code == DIED and (found == last or not pending_still):
            continue
        last = found
        if pending_still:
            refused += 1
            before = beside_restore(root.home)
            for place in (None, folder(root, "worker")):
                with pytest.raises(Locked, match="broken off"), open_agent("worker", home=root.home, folder=place):
                    pass
            assert beside_restore(root.home) == before, at
            write(root, "between", "hello")  # asked right before the decision, and made its folder now
        with DataRoot(root.home).lock():  # as a node that starts
            assert not swap_pending(root.home), at
        for agent, texts in (("scout", ["one", "two"]), ("settled", ["here"]), ("late", ["in time"])):
            assert pending(root, agent) == texts, at
        shutil.rmtree(folder(root, "scout"))
        folder(root, "scout.lost-1").rename(folder(root, "scout"))
        assert pending(root, "scout") == ["anew"], at
        assert not pending_still or pending(root, "between") == ["hello"], at
        assert not list(root.home.glob("messages.lost-*")) and not list(root.home.glob("messages/agents/*.lost-*")), at
    assert refused >= 5
