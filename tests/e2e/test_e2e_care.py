"""Removal frees space on every holder and stays removed; damage on a disk is survived, found and healed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_machines import Machine, Machines, pattern, wait_for

from inos.cli.local_mesh import EVENTS


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    """desk and two of other owners; removed objects are freed after 2 s."""
    machines = Machines(tmp_path_factory.mktemp("care"))
    try:
        desk = machines.found("desk")
        machines.join(desk, machines.make("friend"), machines.make("cousin"))
        yield machines.made
    finally:
        machines.stop()


def fresh_chunks(mesh: list[Machine], data: bytes, name: str) -> list[set[Path]]:
    """Store it on all; the chunk files that came with it, by machine."""
    before = [set(machine.blobs()) for machine in mesh]
    stored = mesh[0].put(data, name)
    wait_for(lambda: mesh[0].stat(stored.ref).survives == 2, "all hold it")
    return [set(machine.blobs()) - known for machine, known in zip(mesh, before, strict=True)]


def test_rm_frees_the_space_of_every_holder_and_nothing_else(mesh: list[Machine]) -> None:
    desk, friend, _ = mesh
    kept = pattern(1_500_000, 1)
    kept_chunks = fresh_chunks(mesh, kept, "/kept")
    gone_chunks = fresh_chunks(mesh, kept[: 1 << 20] + pattern(1_000_000, 2), "/gone")
    assert all(kept_chunks)
    assert all(gone_chunks)
    report = desk.inos("rm", "/gone").json
    assert (report["removed"], report["freed_after_s"]) == (1, 2.0)
    wait_for(lambda: not any(path.exists() for chunks in gone_chunks for path in chunks), "the space is freed")
    assert all(path.exists() for chunks in kept_chunks for path in chunks)
    assert friend.read(desk.stat("/kept").ref) == kept
    assert desk.inos("get", "/gone", "-o", "-", code=1).error["code"] == "not_found"


def test_a_node_that_was_away_does_not_bring_it_back(mesh: list[Machine]) -> None:
    desk, friend, cousin = mesh
    chunks = fresh_chunks(mesh, pattern(1_500_000, 3), "/zombie")
    ref = desk.stat("/zombie").ref
    cousin.kill()
    desk.inos("rm", "/zombie")
    wait_for(lambda: not any(path.exists() for path in chunks[0] | chunks[1]), "freed where it is running")
    assert all(path.exists() for path in chunks[2])
    cousin.restart()
    wait_for(lambda: not any(path.exists() for path in chunks[2]), "freed on the one that was away")
    assert not any(path.exists() for path in chunks[0] | chunks[1])
    assert "/zombie" not in desk.names()
    for machine in mesh:
        assert machine.inos("get", ref, "-o", "-", code=1).error["code"] == "not_found"
    wait_for(lambda: desk.status().alive == 3, "whole again")
    assert friend.status().alive == 3


def flip(path: Path) -> bytes:
    """Flip a bit in the middle of a chunk file; its bytes before."""
    sound = path.read_bytes()
    damaged = bytearray(sound)
    damaged[len(sound) // 2] ^= 0x10
    path.write_bytes(damaged)
    return sound


def test_flipped_bits_are_survived_found_and_healed(mesh: list[Machine]) -> None:
    desk, friend, _ = mesh
    data = pattern(4_500_000, 4)
    chunks = sorted(fresh_chunks(mesh, data, "/precious")[1])
    ref = desk.stat("/precious").ref
    sound = {path: flip(path) for path in chunks[:3]}
    assert friend.read(ref) == data

    sound |= {path: flip(path) for path in chunks[3:]}
    done = friend.inos("verify", as_json=True)
    last = done.lines[-1]
    assert last["finished"]
    assert last["missing"] == 0
    wait_for(lambda: all(path.read_bytes() == content for path, content in sound.items()), "healed on disk")


def test_lost_and_cut_files_are_found_by_a_check_of_the_object(mesh: list[Machine]) -> None:
    desk, _, cousin = mesh
    data = pattern(3_000_000, 5)
    _, at_friend, at_cousin = (sorted(chunks) for chunks in fresh_chunks(mesh, data, "/checked"))
    sound = {path: path.read_bytes() for path in (at_friend[0], at_cousin[1])}
    at_friend[0].unlink()
    at_cousin[1].write_bytes(sound[at_cousin[1]][:1000])
    done = desk.inos("verify", "/checked")
    assert done.lines[-1]["healed"] >= 1
    assert done.lines[-1]["missing"] == 0
    assert any("pieces" in line["problem"] for line in done.lines)
    wait_for(lambda: all(p.exists() and p.read_bytes() == content for p, content in sound.items()), "healed on disk")
    assert desk.inos("verify", "/checked").lines[-1] | {"checked": 0, "total": 0} == {
        "checked": 0, "total": 0, "corrupt": 0, "healed": 0, "missing": 0, "finished": True, "problem": "",
    }  # fmt: skip
    assert cousin.read(desk.stat("/checked").ref) == data


def test_a_whole_store_of_chunks_lost(mesh: list[Machine]) -> None:
    """As after a disk was replaced and only the small files saved."""
    desk, _, cousin = mesh
    data = pattern(2_500_000, 6)
    chunks = fresh_chunks(mesh, data, "/much")[2]
    cousin.stop()
    for path in cousin.blobs():
        path.unlink()
    cousin.restart()
    wait_for(lambda: desk.status().alive == 3, "it is back")
    assert cousin.read(desk.stat("/much").ref) == data
    wait_for(lambda: all(path.exists() for path in chunks), "it has its chunks again")


def test_a_changed_byte_of_the_log_is_put_right_and_said(mesh: list[Machine]) -> None:
    desk, _, cousin = mesh
    data = pattern(30_000, 7)
    ref = cousin.put(data, "/in-the-log").ref
    cousin.kill()
    log = cousin.home / "inos.db-wal"
    found = bytearray(log.read_bytes())
    in_use = [at for at in range(32, len(found), 24 + 4096) if found[at + 8 : at + 16] == found[16:24]]
    found[in_use[len(in_use) // 2] + 1000] ^= 0x10
    log.write_bytes(found)
    cousin.restart()
    said = json.dumps({"event": "healed", "file": "inos.db-wal", "places": 1})
    wait_for(lambda: said in (cousin.home / EVENTS).read_text().splitlines(), "it says so")
    assert cousin.status().repair["log_places_healed"] == 1 and desk.status().repair["log_places_healed"] == 0
    assert cousin.read(ref) == data
