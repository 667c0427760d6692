"""Files and folders through three real nodes: two of one owner, one of another."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from e2e_machines import Machine, Machines, pattern, run_inos, wait_for

from inos.api.routes import PAGE_MAX
from inos.core.batch import BATCH_ITEMS_MAX

KIB = 1024


class Trio(NamedTuple):
    desk: Machine
    laptop: Machine  # same owner as desk
    friend: Machine  # another owner


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    machines = Machines(tmp_path_factory.mktemp("files"))
    try:
        desk = machines.found("desk")
        laptop, friend = machines.make("laptop", phrase=desk.phrase), machines.make("friend")
        laptop.options = (*laptop.options, "--compression", "zstd")
        machines.join(desk, laptop, friend)
        yield Trio(desk, laptop, friend)
    finally:
        machines.stop()


@pytest.mark.parametrize("size", [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1 << 20, (1 << 20) + 1, 5_000_011])
def test_content_of_any_size_comes_back(mesh: Trio, size: int) -> None:
    data = pattern(size, size)
    stored = mesh.desk.put(data)
    # Three nodes cannot hold the five copies that would make it "replicated".
    assert (stored.size, stored.survives, stored.level) == (size, 2, "quorum")
    assert mesh.friend.read(stored) == data


def test_a_file_by_its_reference_from_another_node(mesh: Trio, tmp_path: Path) -> None:
    file, out = tmp_path / "film.bin", tmp_path / "out"
    file.write_bytes(pattern(5_000_000, 2))
    file.chmod(0o750)
    stored = mesh.desk.inos("put", str(file)).json
    assert (stored["size"], stored["name"]) == (5_000_000, "/film.bin")
    mesh.friend.inos("get", stored["ref"], "-o", str(out))
    assert out.read_bytes() == file.read_bytes()


def test_a_file_by_what_it_holds_on_every_machine_of_its_owner(mesh: Trio, tmp_path: Path) -> None:
    file, copy = tmp_path / "scan.bin", tmp_path / "copy"
    file.write_bytes(pattern(2_000_000, 9))
    stored = mesh.desk.inos("put", str(file), "--name", "/scans/1").json
    target = f"sha256:{stored['sha256']}"
    wait_for(lambda: run_inos("find", str(file), "--home", str(mesh.laptop.home)).code == 0, "the name has come")
    found = mesh.laptop.inos("find", "--sha256", stored["sha256"]).json
    assert (found["name"], found["cid"], found["size"]) == ("/scans/1", stored["cid"], 2_000_000)
    mesh.laptop.inos("get", target, "-o", str(copy))
    assert copy.read_bytes() == file.read_bytes()
    assert mesh.friend.inos("get", target, "-o", "-", code=1).error["code"] == "not_found"
    assert mesh.desk.inos("stat", "/scans/1").json["sha256"] == stored["sha256"]


def test_what_one_machine_packs_otherwise_is_read_on_the_others(mesh: Trio) -> None:
    text = b"the same line over and over, %d\n" * 100_000
    on_laptop, on_desk = mesh.laptop.put(text, "/packed/closer"), mesh.desk.put(text, "/packed/as ever")
    assert on_laptop.stored_bytes != on_desk.stored_bytes
    assert mesh.desk.read(on_laptop) == mesh.friend.read(on_laptop) == mesh.laptop.read(on_desk) == text
    assert mesh.desk.inos("put", "-", stdin=text).json["stored_bytes"] == on_desk.stored_bytes


def test_names_of_every_kind(mesh: Trio, tmp_path: Path) -> None:
    names = ["two words.txt", "żółć ☃ 日本.txt", "-n", "--", "e\u0301", "a'b\"c", "%2e%2e", " ", "🎈"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 3)
    mesh.desk.inos("put", *(f"./{name}" for name in names), cwd=tmp_path)
    assert {"/" + unicodedata.normalize("NFC", name) for name in names} <= set(mesh.desk.names())
    for name in names:
        assert mesh.desk.read(f"/{name}") == name.encode() * 3, name
    mesh.desk.inos("get", "-o", "out", "--", "/-n", cwd=tmp_path)
    assert (tmp_path / "out").read_bytes() == b"-n" * 3


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "..", "a/../b", "x" * 5000])
def test_names_that_nobody_could_print_are_refused(mesh: Trio, name: str) -> None:
    with mesh.desk.connected() as client, pytest.raises(Exception) as caught:
        client.put(b"x", name=name)
    assert caught.value.code == "bad_input"  # type: ignore[attr-defined]


def test_a_leading_dash_after_two_dashes(mesh: Trio, tmp_path: Path) -> None:
    (tmp_path / "-rf").write_bytes(b"dash")
    done = run_inos("put", "--json", "--home", str(mesh.desk.home), "--", "-rf", cwd=tmp_path)
    assert done.code == 0, done.err
    assert mesh.desk.read("/-rf") == b"dash"


def test_a_folder_keeps_its_tree(mesh: Trio, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "sub" / "deep").mkdir()
    (root / "plain.txt").write_bytes(b"plain")
    (root / "nothing").write_bytes(b"")
    (root / "sub" / "deep" / "big").write_bytes(pattern(300_000))
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("sub/deep/big")
    (root / "dangling").symlink_to("nowhere")
    os.utime(root / "plain.txt", (1_500_000_000, 1_500_000_000))
    stored = mesh.desk.inos("put", str(root)).json
    assert (stored["files"], stored["links"], stored["skipped"]) == (4, 2, [])

    out = tmp_path / "copy"
    wait_for(lambda: len(mesh.laptop.names("/tree")) >= 7, "the second machine knows the tree")
    mesh.laptop.inos("get", "/tree", "-o", str(out))
    assert listing(out) == listing(root)
    assert (out / "run.sh").stat().st_mode & 0o111
    assert int((out / "plain.txt").stat().st_mtime) == 1_500_000_000


def listing(root: Path) -> dict[str, object]:
    def what(path: Path) -> object:
        if path.is_symlink():
            return path.readlink()
        return None if path.is_dir() else path.read_bytes()

    return {path.relative_to(root).as_posix(): what(path) for path in root.rglob("*")}


def test_standard_input_and_output(mesh: Trio) -> None:
    data = pattern(700_000, 7)
    stored = mesh.desk.inos("put", "-", "--name", "piped", stdin=data).json
    assert stored["size"] == len(data)
    assert mesh.friend.inos("get", stored["ref"], "-o", "-", as_json=False).out == data
    nameless = mesh.desk.inos("put", "-", stdin=b"").json
    assert (nameless["name"], nameless["size"]) == ("", 0)


def test_a_range(mesh: Trio, tmp_path: Path) -> None:
    data = pattern(3_000_000, 8)
    ref = mesh.desk.put(data).ref
    for span, expected in [
        ("0-0", data[:1]),
        ("1048570-1048590", data[1048570:1048591]),
        ("2999990-", data[2999990:]),
        ("2999999-9999999", data[-1:]),
    ]:
        assert mesh.friend.inos("get", ref, "--range", span, "-o", "-", as_json=False).out == expected
    error = mesh.friend.inos("get", ref, "--range", "3000000-", "-o", str(tmp_path / "x"), code=1).error
    assert error["code"] == "bad_input"
    assert not list(tmp_path.iterdir())


def test_a_broken_download_goes_on_where_it_stopped(mesh: Trio, tmp_path: Path) -> None:
    data = pattern(4_000_000, 9)
    ref, out = mesh.desk.put(data).ref, tmp_path / "out"
    with mesh.friend.connected() as client, client.open(ref) as content:
        tag = "".join(character for character in content.tag if character.isalnum())[:12]
    part = tmp_path / f"out.{tag}.part"
    part.write_bytes(data[:1_500_000])
    report = mesh.friend.inos("get", ref, "-o", str(out)).json
    assert report["resumed_bytes"] == 1_500_000
    assert out.read_bytes() == data
    assert not part.exists()


def test_a_name_is_overwritten_by_a_newer_put_from_another_machine(mesh: Trio) -> None:
    first = mesh.desk.put(b"first", "/changing")
    wait_for(lambda: "/changing" in mesh.laptop.names(), "the second machine knows the name")
    second = mesh.laptop.put(b"second", "/changing")
    wait_for(lambda: mesh.desk.read("/changing") == b"second", "the first machine sees the new content")
    assert mesh.desk.names().count("/changing") == 1
    assert mesh.friend.read(second.ref) == b"second"
    # No name leads to what was replaced any more, so it is removed like by rm.
    assert mesh.laptop.inos("get", first.ref, "-o", "-", code=1).error["code"] == "not_found"


def test_the_same_bytes_are_stored_once(mesh: Trio) -> None:
    data = pattern(2_000_000, 10)
    mesh.desk.put(data, "/once")
    chunks = mesh.desk.blobs()
    mesh.desk.put(data, "/again")
    assert mesh.desk.blobs() == chunks


def test_another_owner_sees_no_name_but_reads_by_reference(mesh: Trio) -> None:
    stored = mesh.desk.put(b"for those who are told", "/private")
    wait_for(lambda: "/private" in mesh.laptop.names(), "the owner's other machine lists it")
    assert mesh.friend.names() == []
    assert mesh.friend.inos("get", "/private", "-o", "-", code=1).error["code"] == "not_found"
    assert mesh.friend.read(stored.ref) == b"for those who are told"


def test_another_owner_cannot_remove_it(mesh: Trio) -> None:
    stored = mesh.desk.put(b"mine", "/mine")
    mesh.friend.inos("rm", stored.ref, code=1)
    assert mesh.desk.read("/mine") == b"mine"


@pytest.mark.parametrize(
    ("target", "code"),
    [("no-such-name", "not_found"), ("inos:v1:garbage", "bad_reference"), ("b3garbage", "not_found")],
)
def test_targets_that_lead_nowhere(mesh: Trio, tmp_path: Path, target: str, code: str) -> None:
    error = mesh.desk.inos("get", target, "-o", str(tmp_path / "out"), code=1).error
    assert error["code"] == code
    assert not list(tmp_path.iterdir())


def test_a_reference_with_a_wrong_key(mesh: Trio) -> None:
    right, other = mesh.desk.put(pattern(100_000, 11)).ref, mesh.desk.put(pattern(100_000, 12)).ref
    mixed = right.partition("#")[0] + "#" + other.partition("#")[2]
    done = mesh.desk.inos("get", mixed, "-o", "-", code=1)
    assert done.error["code"] == "bad_reference"
    assert done.out == b""


@pytest.mark.parametrize("what", ["missing", "pipe"])
def test_sources_that_cannot_be_read(mesh: Trio, tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "pipe":
        os.mkfifo(path)
    done = mesh.desk.inos("put", str(path), code=1)
    assert done.error["code"] in ("bad_input", "not_found")
    assert what in done.error["message"]


def test_require_more_nodes_than_there_are(mesh: Trio) -> None:
    error = mesh.desk.inos("put", "-", "--require", "4", stdin=b"x" * 100, code=1).error
    assert error["code"] == "not_enough_nodes"
    assert mesh.desk.inos("put", "-", "--require", "3", stdin=b"y" * 100).json["members"] >= 3


def test_more_small_files_than_a_batch_and_a_page_hold(mesh: Trio, tmp_path: Path) -> None:
    tree, count = tmp_path / "many", 1100
    assert count > max(BATCH_ITEMS_MAX, PAGE_MAX)
    wanted: dict[str, bytes] = {}
    for number in range(count):
        name = f"{number % 40}/file {number}.txt"
        wanted[name] = pattern(number % 300, number)
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted[name])
    report = mesh.desk.inos("put", str(tree)).json
    assert (report["files"], report["survives"]) == (count, 2)
    out = tmp_path / "out"
    mesh.laptop.inos("get", "/many", "-o", str(out))
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.txt")} == wanted
