"""Backups of running nodes, by the real command: beside puts and removes, into the mesh, killed in the middle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_machines import Machine, Machines, pattern, run_inos, wait_for

from inos.cli.local_mesh import inos_command
from inos.messages.agent import open_agent


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def contents(machine: Machine) -> dict[str, bytes]:
    """Every name and what it stands for, read in full."""
    return {name: machine.read(name) for name in machine.names()}


def restored(machines: Machines, of: Machine, place: str) -> Machine:
    """A new machine from the phrase and the backup, running; the one it was made of is stopped."""
    home = machines.folder / "restored"
    shutil.rmtree(home, ignore_errors=True)
    done = run_inos(
        "restore", "--home", str(home), "--json", "--no-passphrase", "--phrase", "-", place, stdin=of.phrase.encode()
    )
    assert done.code == 0, done.err
    machine = Machine(home, of.options, phrase=of.phrase)
    machines.made.append(machine)
    machine.restart()
    return machine


def test_a_backup_beside_puts_and_removes(machines: Machines, tmp_path: Path) -> None:
    """Every name of the snapshot can be read, and those that were there all the time have their bytes."""
    import subprocess

    desk, dest = machines.found("desk"), str(tmp_path / "dest")
    steady = {f"/steady/{number}": pattern(400_000, number) for number in range(12)}
    for name, data in steady.items():
        desk.put(data, name)
    with subprocess.Popen(inos_command("backup", "--home", str(desk.home), dest), stderr=subprocess.DEVNULL) as backup:
        number = 0
        while backup.poll() is None or number < 8:
            number += 1
            desk.put(pattern(300_000, 1000 + number), f"/passing/{number}")
            if number > 2:
                desk.inos("rm", f"/passing/{number - 2}")
        assert backup.returncode == 0
    assert desk.inos("backup", "check", dest).json["problems"] == []
    desk.inos("restore", dest, code=1)
    one = tmp_path / "one"
    desk.inos("restore", dest, "--object", "/steady/3", "-o", str(one))
    assert one.read_bytes() == steady["/steady/3"]
    desk.kill()
    found = contents(restored(machines, desk, dest))
    assert steady.items() <= found.items()
    assert all(len(data) == 300_000 for name, data in found.items() if name.startswith("/passing/"))


def test_a_backup_in_the_mesh_outlives_its_machine(machines: Machines, tmp_path: Path) -> None:
    desk = machines.found("desk")
    lone = desk.inos("backup", "mesh:", code=1)
    assert lone.error["code"] == "unavailable"
    friend = machines.make("friend")
    machines.join(desk, friend)
    wanted = {"/a.bin": pattern(2_500_000, 5), "/notes.txt": b"remember"}
    for name, data in wanted.items():
        friend.put(data, name)
    (friend.home / "config").mkdir()
    (friend.home / "config/node.yaml").write_text("role: coder\n")
    with open_agent("writer", home=friend.home) as agent:  # its owner's only node is the hub once it is asked for one
        written = agent.append({"text": "remember"})
        assert agent.flush(60)
    first = friend.inos("backup", "mesh:").json
    assert (first["messages"], first["config"], first["left_out"]) == (2, 1, 0)
    friend.inos("backup", "mesh:")
    friend.kill()
    shutil.rmtree(friend.home)
    machines.made.remove(friend)

    again = machines.make("again", phrase=friend.phrase)
    again.inos("join", desk.inos("invite").json["ticket"])
    again.restart()
    wait_for(lambda: wanted.keys() <= set(again.names()), "the names are back")
    [folder] = {name.split("/")[2] for name in again.names("/.backups/")}
    place = str(tmp_path / "got")
    again.inos("get", f"/.backups/{folder}", "-o", place)
    assert len(again.inos("backup", "list", place).lines) == 2
    again.stop()
    refused = again.inos("restore", place, code=1).error
    assert folder in refused["message"] and "--node" in refused["hint"]
    assert again.inos("restore", place, "--node", folder, "--json").json["peer"].endswith(folder)
    again.restart()
    assert again.status().peer.endswith(folder)
    assert (again.home / "config/node.yaml").read_text() == "role: coder\n"
    with open_agent("writer", home=again.home) as agent, again.connected() as client:
        agent.append({"text": "once more"})
        assert agent.flush(60) and client.messages.get(written.id).message == written
    for name, data in wanted.items():
        assert again.read(name) == data
