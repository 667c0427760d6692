"""Nodes die by kill -9, hang, come back, and come late: what was stored stays, what was cut off catches up."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_machines import Machine, Machines, pattern, wait_for

from inos.cli.local_mesh import clean_environment, inos_command
from inos.core.errors import InosError


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """desk (the founder), laptop (the same owner's) and friend."""
    machines = Machines(tmp_path_factory.mktemp("losses"))
    try:
        desk = machines.found("desk")
        machines.join(desk, machines.make("laptop", phrase=desk.phrase), machines.make("friend"))
        yield machines
    finally:
        machines.stop()


@pytest.fixture
def mesh(machines: Machines) -> Iterator[list[Machine]]:
    """The three, all running and in touch before and after every test."""
    yield machines.made[:3]
    for machine in machines.made:
        if not machine.running:
            machine.restart()
    whole(machines.made)


def whole(machines: list[Machine]) -> None:
    wait_for(lambda: all(m.status().alive == len(machines) for m in machines), "everybody sees everybody")


def alone(machine: Machine, *others: Machine) -> None:
    for other in others:
        other.kill()
    wait_for(lambda: machine.status().alive == 1, "it notices that it is alone")


def test_the_first_node_dies_and_the_mesh_goes_on(mesh: list[Machine]) -> None:
    desk, laptop, friend = mesh
    data = pattern(3_000_000, 1)
    before = desk.put(data, "/before")
    desk.kill()
    took_s = wait_for(lambda: laptop.status().alive == 2, "the others notice")
    assert took_s < 20
    assert friend.read(before.ref) == data
    during = laptop.put(data[::-1], "/during")
    assert during.survives == 1
    desk.restart()
    whole(mesh)
    assert desk.read("/during") == data[::-1]
    wait_for(lambda: desk.stat("/during").survives == 2, "the founder has its copy of what it missed")


def test_a_killed_node_rejoins_from_remembered_peers(mesh: list[Machine]) -> None:
    """The node whose ticket it joined by is gone, and so is every address the ticket named."""
    desk, laptop, friend = mesh
    friend.kill()
    desk.kill()
    friend.restart()
    wait_for(lambda: friend.status().alive == 2, "it found the one that is left")
    ref = friend.put(b"among the two of us").ref
    assert laptop.read(ref) == b"among the two of us"


def test_cut_off_puts_are_local_and_complete_later(mesh: list[Machine]) -> None:
    desk, laptop, friend = mesh
    data = pattern(2_000_000, 2)
    alone(desk, laptop, friend)
    stored = desk.put(data, "/alone")
    assert (stored.level, stored.survives) == ("local", 0)
    assert desk.read("/alone") == data
    for level in ("quorum", "replicated", "2"):
        done = desk.inos("put", "-", "--name", "wanted", "--require", level, stdin=b"x" * 100_000, code=1)
        assert done.error["code"] == "not_enough_nodes"
        assert done.error["hint"]
    assert "/wanted" not in desk.names()
    for machine in (laptop, friend):
        machine.restart()
    wait_for(lambda: desk.stat(stored.ref).survives == 2, "repair has completed it")
    wait_for(lambda: "/alone" in laptop.names(), "the owner's other machine learns the name")
    desk.kill()
    assert friend.read(stored.ref) == data


def test_a_hanging_node_is_failed_and_comes_back(mesh: list[Machine]) -> None:
    desk, laptop, friend = mesh
    os.kill(friend.pid, signal.SIGSTOP)
    try:
        took_s = wait_for(lambda: desk.status().alive == 2, "silence is noticed")
        assert took_s > 1
        ref = desk.put(pattern(500_000, 3)).ref
        assert laptop.read(ref) == pattern(500_000, 3)
    finally:
        os.kill(friend.pid, signal.SIGCONT)
    wait_for(lambda: desk.status().alive == 3, "it is back")


def test_a_holder_dies_in_the_middle_of_a_put(mesh: list[Machine], tmp_path: Path) -> None:
    desk, laptop, friend = mesh
    file = tmp_path / "large"
    file.write_bytes(pattern(60_000_000, 4))
    with putting(desk, file) as process:
        wait_for(lambda: friend.blobs(), "the first chunks have arrived")
        friend.kill()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert b'"survives": 1' in out
    desk.kill()
    assert laptop.read("/large") == file.read_bytes()


def test_a_node_dies_in_the_middle_of_a_put_through_it(mesh: list[Machine], tmp_path: Path) -> None:
    desk, laptop, _ = mesh
    file = tmp_path / "again"
    file.write_bytes(pattern(60_000_000, 5))
    before = len(desk.blobs())
    with putting(desk, file) as process:
        wait_for(lambda: len(desk.blobs()) > before, "it has begun")
        desk.kill()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b'"retryable": true' in err
    desk.restart()
    assert "/again" not in desk.names()
    report = desk.inos("put", str(file)).json
    whole(mesh)
    assert laptop.read(report["ref"]) == file.read_bytes()


def putting(machine: Machine, file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        inos_command("put", str(file), "--home", str(machine.home), "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    )


def test_a_node_dies_while_it_is_read_from(mesh: list[Machine], tmp_path: Path) -> None:
    """A reader at another node does not notice; one that talked to it is told, and starts again later."""
    desk, _, friend = mesh
    data, out = pattern(30_000_000, 6), tmp_path / "out"
    ref = friend.put(data).ref
    with desk.connected() as client, client.open(ref) as content:
        pieces = [next(content.chunks)]
        with friend.connected() as unlucky, pytest.raises(InosError) as caught, unlucky.open(ref) as cut:
            next(cut.chunks)
            friend.kill()
            list(cut.chunks)
        pieces += content.chunks
    assert b"".join(pieces) == data
    assert caught.value.code == "no_node"
    assert friend.inos("get", ref, "-o", str(out), code=1).error["code"] == "no_node"
    friend.restart()
    friend.inos("get", ref, "-o", str(out))
    assert out.read_bytes() == data


def test_a_late_member_is_given_copies(mesh: list[Machine], machines: Machines) -> None:
    """Last, because the mesh is larger from here on."""
    desk = mesh[0]
    stored = desk.put(pattern(2_000_000, 8), "/early")
    assert stored.survives == 2
    late = machines.make("late")
    started_s = time.monotonic()
    machines.join(desk, late)
    wait_for(lambda: desk.stat("/early").survives == 3, "the late one holds a copy")
    assert time.monotonic() - started_s < 60
    assert len(late.blobs()) >= 2
