"""`inos demo` and `inos cluster`, run as a user runs them: what they promise, and that they leave nothing behind."""

from __future__ import annotations

import filecmp
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from e2e_machines import Done, pattern, run_inos, wait_for

from inos.cli.local_mesh import clean_environment, inos_command
from inos.cli.real_file import ENOUGH_BYTES, write_library_tar


def commands_below(folder: Path) -> list[list[str]]:
    """The command of every process with a word of it below `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if any(word.startswith(f"{folder}{os.sep}") for word in command):
            found.append(command)
    return found


@pytest.mark.timeout(300)
def test_demo_loses_nodes_and_no_byte(tmp_path: Path) -> None:
    file = tmp_path / "a file.bin"
    file.write_bytes(pattern(3_000_000))
    done = run_inos("demo", "--nodes", "6", "--kill", "2", "--file", str(file), environment={"TMPDIR": str(tmp_path)})
    assert done.code == 0, done.err
    assert [line.partition(b": ")[0].decode() for line in done.out.splitlines()] == [
        "put MB/s", "nodes lost", "repaired in s", "get MB/s", "identical",
    ]  # fmt: skip
    assert b"nodes lost: 2\n" in done.out
    assert done.out.endswith(b"identical: yes\n")
    assert "survives the loss of 4 nodes" in done.err
    assert list(tmp_path.iterdir()) == [file]
    assert not commands_below(tmp_path)


def test_demo_as_json(tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.touch()
    done = run_inos("demo", "--nodes", "1", "--kill", "0", "--file", str(file), "--json")
    assert set(done.json) == {"put_mb_s", "nodes_lost", "repaired_s", "get_mb_s", "identical", "file", "size"}
    assert (done.json["identical"], done.json["size"], done.json["file"]) == (True, 0, str(file))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    demo = subprocess.Popen(
        inos_command("demo", "--nodes", "2", "--kill", "1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment() | {"TMPDIR": str(tmp_path)},
    )
    wait_for(lambda: any("up" in command for command in commands_below(tmp_path)), "a node runs")
    demo.send_signal(number)
    assert demo.wait(30) == 128 + number
    assert not commands_below(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_nodes_of_a_killed_demo_end_by_themselves(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        inos_command("demo", "--nodes", "3", "--kill", "1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment() | {"TMPDIR": str(tmp_path)},
    )
    nodes = lambda: [command for command in commands_below(tmp_path) if "up" in command]  # noqa: E731
    wait_for(lambda: len(nodes()) == 3, "all nodes run, the last ones not for long")
    demo.kill()
    demo.wait()
    wait_for(lambda: not commands_below(tmp_path), "they have ended")
    assert sorted(path.name for path in tmp_path.glob("*/node-*")) == ["node-1", "node-2", "node-3"]
    assert not list(tmp_path.glob("*/node-*/api.json"))  # each withdrew it: they stopped, nobody killed them


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--nodes", "2", "--kill", "2"), 1),
        (("--nodes", "0"), 2),
        (("--file", "no-such-file"), 1),
        (("--file", "."), 1),
    ],
)
def test_demo_used_wrongly(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    done = run_inos("demo", *arguments, cwd=tmp_path)
    assert done.code == code
    assert "hint:" in done.err or "Error" in done.err
    assert not done.out


def test_the_real_file_is_large_and_the_same_every_time(tmp_path: Path) -> None:
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    assert write_library_tar(first) > ENOUGH_BYTES
    write_library_tar(second)
    assert filecmp.cmp(first, second, shallow=False)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a cluster may run; stopped afterwards whatever happened."""
    folder = tmp_path / "my cluster"
    yield folder
    if folder.exists():
        cluster(folder, "--stop")


def cluster(folder: Path, *arguments: str) -> Done:
    return run_inos("cluster", *arguments, "--folder", str(folder), "--json")


@pytest.mark.timeout(300)
def test_a_cluster_stays_and_is_found_and_stopped(folder: Path) -> None:
    started = cluster(folder, "2")
    assert started.code == 0, started.err
    nodes = started.lines
    assert [node["name"] for node in nodes] == ["node-1", "node-2"]
    for node in nodes:
        assert psutil.pid_exists(node["pid"])
        status = run_inos("status", "--home", node["home"], "--json").json
        assert (status["peer"], status["api"], status["alive"]) == (node["peer"], node["api"], 2)
        assert node["listen"] == status["listen"]
    stored = run_inos("put", "-", "--name", "kept", "--home", nodes[0]["home"], "--json", stdin=b"stays").json

    again = cluster(folder, "2")
    assert again.lines == nodes
    assert "already" in again.err
    assert cluster(folder, "3").error["code"] == "conflict"

    assert cluster(folder, "--stop").json["stopped"] == 2
    assert not commands_below(folder)
    assert cluster(folder, "--stop").json["stopped"] == 0

    assert cluster(folder, "2").code == 0
    ref = stored["ref"]
    assert run_inos("get", ref, "-o", "-", "--home", nodes[1]["home"]).out == b"stays"


def test_a_process_that_is_not_ours_is_left_alone(folder: Path) -> None:
    """The number that was written down belongs to somebody else by now, or was never one."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as other:
        for number, text in enumerate([str(other.pid), "-1", "0", "x", "9" * 30, ""], 1):
            home = folder / f"node-{number}"
            home.mkdir(parents=True)
            (home / "node.pid").write_text(text)
        assert cluster(folder, "--stop").json["stopped"] == 0
        assert other.poll() is None
        other.communicate()


def test_stopping_what_never_was(tmp_path: Path) -> None:
    assert cluster(tmp_path / "nothing", "--stop").error["code"] == "bad_input"
