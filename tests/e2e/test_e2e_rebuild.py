"""A node whose database is lost or damaged comes back with `inos rebuild`: alone, and as a member of a mesh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_machines import Machine, Machines, pattern, run_inos, wait_for

CONTENT = {"/small": b"small enough to lie in the database", "/large": pattern(3_000_000, 5)}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def lose_database(machine: Machine, *, spare: bool) -> None:
    for end in ("", "-wal", "-shm", *([] if spare else [".spare"])):
        (machine.home / f"inos.db{end}").unlink(missing_ok=True)


def test_a_node_of_its_own_has_everything_back(machines: Machines) -> None:
    alone = machines.found("alone")
    for name, data in CONTENT.items():
        alone.put(data, name)
    peer = alone.status().peer
    alone.stop()
    lose_database(alone, spare=True)
    refused = run_inos("up", "--home", str(alone.home), "--json")
    assert (refused.code, refused.error["code"]) == (1, "corrupt") and "inos rebuild" in refused.error["hint"]
    built = alone.inos("rebuild").json
    assert (built["base"], built["mesh"], built["lost"]) == ("spare", True, "")
    alone.restart()
    assert alone.status().peer == peer
    assert {name: alone.read(name) for name in alone.names()} == CONTENT
    assert alone.inos("verify").lines[-1]["missing"] == 0


def test_a_killed_node_with_a_damaged_database(machines: Machines) -> None:
    alone = machines.found("alone")
    for name, data in CONTENT.items():
        alone.put(data, name)
    alone.stop()
    path = alone.home / "inos.db"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    assert run_inos("up", "--home", str(alone.home), "--json").error["code"] == "corrupt"
    built = alone.inos("rebuild").json
    assert (built["base"], built["lost"]) == ("spare", "inos.db.lost-1")
    alone.restart()
    assert {name: alone.read(name) for name in alone.names()} == CONTENT


def test_a_member_has_everything_back_from_the_others(machines: Machines) -> None:
    desk = machines.found("desk")
    friend, cousin = machines.make("friend", phrase=desk.phrase), machines.make("cousin")
    machines.join(desk, friend, cousin)
    refs = {name: desk.put(data, name).ref for name, data in CONTENT.items()}
    wait_for(lambda: all(desk.stat(ref).survives == 2 for ref in refs.values()), "all hold it")
    friend.kill()
    lose_database(friend, spare=False)
    built = friend.inos("rebuild").json
    assert (built["base"], built["mesh"]) == ("nothing", False) and built["adopted"] == len(friend.blobs())
    machines.join(desk, friend)
    wait_for(lambda: set(friend.names()) == set(CONTENT), "the names are back")
    wait_for(
        lambda: all(share.held == share.assigned for ref in refs.values() for share in friend.stat(ref).members), "held"
    )
    desk.stop()
    cousin.stop()
    assert {name: friend.read(name) for name in friend.names()} == CONTENT


def test_a_node_that_runs_is_not_rebuilt(machines: Machines) -> None:
    alone = machines.found("alone")
    assert alone.inos("rebuild", code=1).error["code"] == "locked"
    assert run_inos("rebuild", "--home", str(alone.home) + "-not", "--json").error["code"] == "bad_input"
