"""inos component and inos app where no node runs: what can be done is done, the rest says so and changes nothing."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from inos.core.env import RealEnv
from inos.core.rows.software import ComponentRun
from inos.daemon.roots import opened_root
from inos.store.dataroot import DataRoot

PROGRAM = "print('up')\n"


def package(folder: Path, name: str, version: str = "1.0") -> str:
    """A folder that is a package."""
    made = folder / f"{name}-{version}"
    made.mkdir()
    (made / "main.py").write_text(PROGRAM)
    head = f'id = "{name}"\nname = "Part"\nversion = "{version}"\nkind = "python"\nentry = "main.py"\n'
    (made / "component.toml").write_text(head + 'application = "office"\n')
    return str(made)


@pytest.fixture
def off(alone: Any) -> Any:
    """The command on a data root on which no node runs, with one component."""
    assert alone("init", "--no-passphrase", "--json").code == 0
    assert alone("component", "install", package(alone.cwd, "clock"), "--json").json["version"] == "1.0"
    return alone


def left_running(home: Path) -> None:
    """What a node that was killed leaves of a component that ran."""
    root = DataRoot(home)
    with root.lock(), opened_root(root, None, RealEnv()) as (disk, _):
        disk.rows.registry.put(
            ComponentRun("clock", "1.0", "running", "running", pid=4711, endpoint="http://x", started_at_s=1)
        )
    (home / "components" / "clock" / "log").write_text("it said so\n")


def test_only_a_package_is_installed(off: Any) -> None:
    os.mkfifo(off.cwd / "pipe")
    assert "no ordinary file" in off("component", "install", "pipe").err
    folder = Path(package(off.cwd, "links"))
    (folder / "lib").mkdir()
    (folder / "lib" / "a.py").touch()
    (folder / "lib" / "b.py").hardlink_to(folder / "lib" / "a.py")
    assert off("component", "install", str(folder), "--json").json["version"] == "1.0"
    (folder / "more").symlink_to("lib")
    assert "more is a link" in off("component", "install", str(folder)).err
    assert "not UTF-8" in off("component", "show", b"\xff").err


def test_what_there_is_can_be_looked_at(off: Any) -> None:
    left_running(off.home)
    (listed,) = off("component", "list", "--json").lines
    assert (listed["component_id"], listed["status"], listed["wanted"]) == ("clock", "stopped", "running")
    assert (listed["pid"], listed["endpoint"], listed["applications"]) == (None, "", ["office"])
    assert "stopped" in off("component", "show", "clock").text
    assert off("component", "logs", "clock").text == "it said so\n"
    followed = off("component", "logs", "clock", "-f")
    assert (followed.code, followed.text) == (0, "it said so\n") and "nothing to follow" in followed.err
    assert off("app", "list", "--json").json["running"] == 0


def test_what_holds_from_the_next_start_can_be_changed(off: Any) -> None:
    left_running(off.home)
    newer = off("component", "install", package(off.cwd, "clock", "1.1"), "--json").json
    assert (newer["version"], newer["versions"], newer["wanted"]) == ("1.1", ["1.0", "1.1"], "running")
    assert off("component", "stop", "clock", "--json").json["wanted"] == "stopped"
    assert off("app", "stop", "office", "--json").json["wanted"] == "stopped"
    assert off("component", "rm", "clock", "--json").json == {"removed": "clock"}
    assert off("component", "list", "--json").lines == [] and not (off.home / "components" / "clock").exists()


def test_nothing_runs_without_a_node(off: Any) -> None:
    for words in (("component", "start", "clock"), ("component", "restart", "clock"), ("app", "start", "office")):
        refused = off(*words, "--json")
        assert (refused.code, refused.error["code"]) == (1, "no_node") and "inos up" in refused.error["hint"]
    assert off("component", "install", "inos:/packages/x", "--json").error["code"] == "no_node"
    assert off("component", "show", "clock", "--json").json["wanted"] == "stopped"
    for words in (("component", "start", "nobody"), ("component", "logs", "nobody"), ("app", "stop", "nobody")):
        assert off(*words, "--json").error["code"] == "not_found"
    assert off("component", "install", "/dev/null", "--json").error["code"] == "bad_input"


def test_a_component_that_is_still_ending_is_not_removed(off: Any) -> None:
    with (off.home / "components" / "clock" / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert off("component", "rm", "clock", "--json").error["code"] == "locked"
        assert len(off("component", "list", "--json").lines) == 1
    assert off("component", "rm", "clock", "--json").code == 0


def test_without_a_data_root(alone: Any) -> None:
    error = alone("component", "list", "--json").error
    assert error["code"] == "bad_input" and "inos init" in error["hint"]
