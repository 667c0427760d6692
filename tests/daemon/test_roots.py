"""Making a data root: its phrase is seen before there is anything that only the phrase brings back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inos.core.errors import StorageFull
from inos.core.options import InitOptions, InitReport
from inos.daemon import roots
from inos.daemon.roots import init_home, needs_passphrase, opened_root
from inos.store import dataroot
from inos.store.dataroot import DataRoot


def test_no_root_comes_to_be_whose_phrase_nobody_saw(tmp_path: Path) -> None:
    def unseen(_report: InitReport) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        init_home(InitOptions(tmp_path / "home"), unseen)
    assert not (tmp_path / "home").exists()


def test_what_fails_afterwards_leaves_a_root_that_the_phrase_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, seen = DataRoot(tmp_path / "home"), list[InitReport]()

    def show(report: InitReport) -> None:
        assert not root.initialised()
        seen.append(report)

    def full(*_arguments: Any) -> None:
        raise StorageFull("no room in inos.db")

    with monkeypatch.context() as patched:
        patched.setattr(roots, "open_disk", full)
        with pytest.raises(StorageFull) as caught:
            init_home(InitOptions(root.path), show)
    assert "the one shown" in caught.value.hint
    with opened_root(root, None, roots.RealEnv()) as (_, identity):
        assert (str(identity.owner), str(identity.peer)) == (seen[0].owner, seen[0].peer)
    (root.path / "cocoon").rename(tmp_path / "cocoon")
    again = init_home(InitOptions(root.path, seen[0].phrase))
    assert (again.owner, again.peer, again.phrase) == (seen[0].owner, seen[0].peer, "")


def test_a_phrase_that_is_not_in_use_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = dataroot.write_private

    def full(path: Path, data: bytes) -> None:
        if path.name == "cocoon":
            raise StorageFull("no room in cocoon")
        write(path, data)

    monkeypatch.setattr(dataroot, "write_private", full)
    with pytest.raises(StorageFull, match="the phrase shown is not in use"):
        init_home(InitOptions(tmp_path / "home"))
    assert not (tmp_path / "home").exists()


def test_a_keyfile_that_opens_nothing_any_more_is_removed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = init_home(InitOptions(home))
    assert not needs_passphrase(home)
    (home / "cocoon").rename(tmp_path / "cocoon")
    init_home(InitOptions(home, first.phrase, "sesame"))
    assert needs_passphrase(home) and not (home / "keyfile").exists()


def test_who_opens_a_root_is_known_before_a_swap_is_done(tmp_path: Path) -> None:
    home, coming = tmp_path / "home", tmp_path / "coming"
    init_home(InitOptions(home, None, "sesame"))
    init_home(InitOptions(coming))
    new = home / "restore" / "new"
    new.mkdir(parents=True)
    for name in ("keyfile", "cocoon"):
        (coming / name).rename(new / name)
    assert needs_passphrase(home)
    (home / "restore" / "ready").touch()
    assert not needs_passphrase(home)
