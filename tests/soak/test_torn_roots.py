"""Data roots that were torn: killed in the middle of making, joining or starting; cut, flipped and missing files.

Each is either said in one clear line, or healed. Never a traceback, never wrong bytes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from soak_mesh import SoakMesh, inos, no_traceback, opened

from inos.cli.local_mesh import LocalNode, clean_environment, inos_command
from inos.core.errors import InosError, Unavailable

# Several times what it takes alone: other suites may run beside it on two cores.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HEAL_S = 60.0
# All of them in the soak; two that differ most in the ordinary suite.
WAYS = ["cut", "flip", pytest.param("empty", marks=pytest.mark.soak), pytest.param("remove", marks=pytest.mark.soak)]
MB = 10**6


def killed_after(delay_s: float, *arguments: str) -> int:
    """Run a command and kill -9 it after `delay_s`; its return code."""
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(inos_command(*arguments), env=clean_environment(), **quiet) as process:
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        return int(process.wait())


def comes_up(node: LocalNode) -> str:
    """Start it: "" when it is up, else what it said. A traceback is a failure of the test."""
    log = node.home / "node.log"
    before = log.stat().st_size if log.exists() else 0
    node.start()
    try:
        node.wait_ready()
        said = ""
    except Unavailable as error:
        said = str(error)
    text = log.read_text(errors="replace")[before:]
    assert "Traceback" not in text, text
    assert "internal error" not in text, text
    return said


def test_killed_init_leaves_nothing_or_everything(tmp_path: Path) -> None:
    whole_s = time.monotonic()
    assert inos("init", "--no-passphrase", "--home", str(tmp_path / "whole")).returncode == 0
    whole_s = time.monotonic() - whole_s
    chance = random.Random(1)
    for number in range(4):
        home = tmp_path / f"root{number}"
        killed_after(chance.uniform(0.5, 1.05) * whole_s, "init", "--no-passphrase", "--home", str(home))
        again = inos("init", "--no-passphrase", "--home", str(home))
        assert b"Traceback" not in again.stderr
        if again.returncode:  # the killed one had got through: then the root is whole
            assert b"already" in again.stderr or b"exists" in again.stderr, again.stderr
        node = LocalNode(home)
        if number % 3 == 0:
            try:
                assert comes_up(node) == ""
            finally:
                node.stop()


def test_killed_join_and_killed_up_are_repeated(tmp_path: Path) -> None:
    chance = random.Random(2)
    with SoakMesh(tmp_path) as mesh:
        mesh.start(1)
        ticket = mesh.run(mesh.nodes[0], "invite")["ticket"]
        home = tmp_path / "late"
        assert inos("init", "--no-passphrase", "--home", str(home), "--name", "late").returncode == 0
        for _ in range(3):
            killed_after(chance.uniform(1.0, 3.0), "join", ticket, "--home", str(home))
        for _ in range(3):
            killed_after(chance.uniform(1.0, 4.0), "up", "--join", ticket, "--home", str(home))
        late = LocalNode(home, ("--join", ticket))
        mesh.nodes.append(late)
        mesh.revive(late)
        mesh.wait_alive(2)
        with opened(mesh.nodes[0]) as client:
            assert sorted(peer.node_name for peer in client.peers()) == ["late", "node-1"]
        no_traceback(mesh)


def damage(path: Path, how: str, chance: random.Random) -> None:
    """Cut a file in half, empty it, remove it, or flip some of its bits."""
    size = path.stat().st_size
    if how == "remove":
        path.unlink()
    elif how in ("cut", "empty"):
        os.truncate(path, size // 2 if how == "cut" else 0)
    else:
        with path.open("r+b") as file:
            for _ in range(3):
                at = chance.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << chance.randrange(8)]))


def readable(node: LocalNode, refs: dict[str, bytes]) -> None:
    """Every object, or a clear error; never other bytes."""
    for ref, data in refs.items():
        with opened(node) as client:
            try:
                assert b"".join(client.stream(ref)) == data
            except InosError as error:
                assert error.message
                assert error.code != "internal", error


FILES = ("inos.db", "cocoon", "keyfile", "node.json")


@pytest.mark.parametrize("how", WAYS)
def test_damaged_files_of_a_lone_node_are_said(tmp_path: Path, how: str) -> None:
    chance = random.Random(how)
    with SoakMesh(tmp_path) as mesh:
        mesh.start(1)
        (node,) = mesh.nodes
        refs: dict[str, bytes] = {}
        with opened(node) as client:
            for size in (100, 100_000, 3 * MB):
                data = os.urandom(size)
                refs[client.put(data, name=f"/f{size}").ref] = data
        for name in FILES:
            mesh.kill(node)
            path = node.home / name
            kept = {part: part.read_bytes() for part in node.home.glob(f"{name}*") if part.is_file()}
            damage(path, how, chance)
            said = comes_up(node)
            if said:
                assert name in said or "data root" in said or "passphrase" in said or "hint" in said, said
            else:
                readable(node, refs)
                node.kill()
            for part in node.home.glob(f"{name}*"):
                part.unlink()
            for part, content in kept.items():
                part.write_bytes(content)
                part.chmod(0o600)
            assert comes_up(node) == "", "the file is as it was before"
            readable(node, refs)


def test_a_torn_log_of_the_database_loses_only_its_end(tmp_path: Path) -> None:
    """Half a WAL is what a power cut leaves: what was acknowledged before it was torn may be gone, the rest is not."""
    with SoakMesh(tmp_path) as mesh:
        mesh.start(1)
        (node,) = mesh.nodes
        first, second = os.urandom(300_000), os.urandom(300_000)
        with opened(node) as client:
            kept = client.put(first, name="/first").ref
        node.stop()
        mesh.revive(node)
        with opened(node) as client:
            client.put(second, name="/second")
        mesh.kill(node)
        wal = node.home / "inos.db-wal"
        os.truncate(wal, wal.stat().st_size // 2)
        mesh.revive(node)
        with opened(node) as client:
            assert b"".join(client.stream(kept)) == first
        no_traceback(mesh)


@pytest.mark.parametrize("how", WAYS)
def test_damaged_chunks_are_healed_from_others(tmp_path: Path, how: str) -> None:
    chance = random.Random(how)
    with SoakMesh(tmp_path) as mesh:
        mesh.start(3)
        node = mesh.nodes[0]
        data = os.urandom(12 * MB)
        with opened(node) as client:
            ref = client.put(data).ref
        files = sorted((node.home / "blobs").rglob("*.enc"))
        for path in files[::2]:
            damage(path, how, chance)
        with opened(node) as client:
            assert b"".join(client.stream(ref)) == data
        healed(node)
        no_traceback(mesh)


def test_a_data_root_without_its_database_says_so_and_can_join_again(tmp_path: Path) -> None:
    """Short of the keys the worst to lose: never quietly a mesh of its own, and the others still have it all."""
    with SoakMesh(tmp_path, ("--repair-after", "2s")) as mesh:
        mesh.start(3)
        first, _, node = mesh.nodes
        data = os.urandom(5 * MB)
        with opened(first) as client:
            ref = client.put(data, name="/kept").ref
        mesh.kill(node)
        for path in node.home.glob("inos.db*"):
            path.unlink()
        assert "inos.db is missing" in comes_up(node)
        (node.home / "blobs").rename(tmp_path / "old-blobs")
        node.options = ("--join", mesh.run(first, "invite")["ticket"])
        mesh.revive(node)
        with opened(node) as client:
            assert b"".join(client.stream("inos:/kept")) == data
            wait_until(lambda: client.stat(ref).survives == 2)
        no_traceback(mesh)


def healed(node: LocalNode) -> None:
    """A check of everything the node holds finds, or has found by itself, no damage that stays."""
    wait_until(lambda: inos("verify", "--home", str(node.home)).returncode == 0)


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + HEAL_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.5)
