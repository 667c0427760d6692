"""A light node with a small quota in a mesh of real nodes: it evicts, says so, and still gives everything back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e_machines import Machine, Machines, pattern, run_inos, wait_for

QUOTA = 46_000_000
OPTIONS = ("--repair-after", "4s", "--remove-delay", "2s", "--profile", "light", "--quota-cold", "46MB")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    machines = Machines(tmp_path_factory.mktemp("tiers"))
    try:
        light = machines.make("light")
        light.options = OPTIONS
        light.restart()
        machines.join(light, *(machines.make(f"other{number}", phrase=light.phrase) for number in range(6)))
        yield machines.made
    finally:
        machines.stop()


def cold(machine: Machine) -> dict[str, int | str]:
    found: dict[str, int | str] = next(t for t in machine.inos("status").json["tiers"] if t["name"] == "cold")
    return found


def test_it_evicts_near_its_quota_and_gives_everything_back(mesh: list[Machine]) -> None:
    light = mesh[0]
    # Of seven nodes five keep each piece, by chance. Of half as many pieces one run in fifteen owes this node so much
    # that no surplus is left to let go.
    content = {f"/{number}": pattern(5_000_000, number) for number in range(8)}
    for name, data in content.items():
        stored = light.put(data, name)
        wait_for(lambda ref=stored.ref: light.stat(ref).survives >= 4, "all hold it")  # type: ignore[misc]
    before = len(light.blobs())
    assert before == 40
    light.put(pattern(2_500_000, 9), "/last")
    wait_for(lambda: len(light.blobs()) < before and cold(light)["state"] == "ok", "the surplus is gone", 120)
    on_disk = sum(path.stat().st_blocks * 512 for path in light.blobs())
    assert cold(light)["used_bytes"] == on_disk < QUOTA
    assert {name: light.read(name) for name in content} == content
    assert light.inos("status").json["repair"]["evicted"] > 0


def test_pins_are_listed_and_let_go(mesh: list[Machine]) -> None:
    other = mesh[3]
    wait_for(lambda: "/1" in other.names(), "the names have come")
    report = other.inos("pin", "/1").json
    assert (report["objects"], report["changed"]) == (1, 1)
    (listed,) = other.inos("ls", "--pinned").lines
    assert listed["name"] == "/1"
    assert other.inos("unpin", "/1").json["changed"] == 1
    assert other.inos("ls", "--pinned").lines == []
    assert other.inos("pin", "/nothing", code=1).error["code"] == "not_found"


def test_a_size_that_is_none(mesh: list[Machine]) -> None:
    done = run_inos("up", "--home", str(mesh[0].home), "--json", "--quota-cold", "lots")
    assert (done.code, done.error["code"]) == (1, "bad_input")


def test_a_part_is_checked_at_the_rate_asked_for(mesh: list[Machine]) -> None:
    light = mesh[0]
    whole = light.inos("verify").lines[-1]
    parts = [light.inos("verify", "--part", f"{part}/3", "--rate", "500MB").lines[-1] for part in (1, 2, 3)]
    assert sum(part["checked"] for part in parts) == whole["checked"]
    assert all(part["finished"] and not part["missing"] for part in parts)
    damaged = light.blobs()[0]
    damaged.write_bytes(b"rotten")
    found = [light.inos("verify", "--part", f"{part}/3").lines[-1] for part in (1, 2, 3)]
    assert [part["corrupt"] for part in found] == [1, 0, 0]
    assert light.inos("verify", "--part", "4/3", code=1).error["code"] == "bad_input"
    assert light.inos("verify", "/1", "--part", "1/3", code=1).error["code"] == "bad_input"
