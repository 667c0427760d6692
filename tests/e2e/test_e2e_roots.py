"""Data roots: one node each, sealed with a passphrase, and nothing on the disk that says what is stored."""

from __future__ import annotations

import json
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_machines import Done, Machine, Machines, everything_in, run_inos

from inos.cli.local_mesh import LocalNode

MARK = b"PLAINTEXT-MARK-4711 "
NAME = "/holiday-in-samarkand/letter.txt"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    machines = Machines(tmp_path_factory.mktemp("roots"))
    try:
        desk = machines.found("desk")
        machines.join(desk, machines.make("friend"))
        yield machines.made
    finally:
        machines.stop()


def up(home: Path, *options: str) -> Done:
    return run_inos("up", "--home", str(home), "--json", *options)


def test_a_second_node_on_the_same_data_root(mesh: list[Machine]) -> None:
    done = up(mesh[0].home)
    assert (done.code, done.error["code"]) == (1, "locked")
    assert mesh[0].status().alive == 2


def test_a_listen_port_in_use(tmp_path: Path) -> None:
    made(tmp_path / "other")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option in (f"--listen=/ip4/127.0.0.1/tcp/{port}", f"--api=127.0.0.1:{port}"):
            done = up(tmp_path / "other", option)
            assert (done.code, done.error["code"]) == (1, "conflict")
            assert str(port) in done.error["message"]


def made(home: Path, *options: str) -> str:
    done = run_inos("init", "--home", str(home), "--json", *(options or ("--no-passphrase",)))
    assert done.code == 0, done.err
    return str(done.json["phrase"])


def test_a_wrong_passphrase(tmp_path: Path) -> None:
    home, right, wrong = tmp_path / "home", tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse battery staple\n")
    wrong.write_text("wrong horse\n")
    phrase = made(home, "--passphrase-file", str(right))
    assert up(home, "--passphrase-file", str(wrong)).error["code"] == "wrong_passphrase"
    done = run_inos(
        "passphrase", "--no-passphrase", "--home", str(home), "--json", environment={"INOS_PASSPHRASE": "no"}
    )
    assert done.error["code"] == "wrong_passphrase"
    assert up(home).error["code"] == "bad_input"
    content = b"".join(data for _, data in everything_in([home]))
    assert all(
        b" ".join(pair) not in content
        for pair in zip(phrase.encode().split(), phrase.encode().split()[1:], strict=False)
    )


@pytest.mark.parametrize("phrase", ["", "one two three", "zoo " * 24, "\x00" * 50])
def test_what_is_no_phrase(tmp_path: Path, phrase: str) -> None:
    done = run_inos(
        "init", "--home", str(tmp_path / "home"), "--json", "--no-passphrase", "--phrase", "-", stdin=phrase.encode()
    )
    assert (done.code, done.error["code"]) == (1, "bad_input")
    assert not (tmp_path / "home").exists()


def test_init_twice(tmp_path: Path) -> None:
    made(tmp_path / "home")
    before = dict(everything_in([tmp_path / "home"]))
    done = run_inos("init", "--home", str(tmp_path / "home"), "--json", "--no-passphrase")
    assert (done.code, done.error["code"]) == (1, "conflict")
    assert dict(everything_in([tmp_path / "home"])) == before


def test_nothing_on_any_disk_says_what_is_stored(mesh: list[Machine]) -> None:
    desk, friend = mesh
    big, small = MARK * 100_000, MARK * 3
    refs = [desk.put(big, NAME).ref, desk.put(small, "/small-secret-name").ref]
    with desk.connected() as client:
        client.put(small, name="/another/samarkand")
    assert friend.read(refs[0]) == big
    keys = [ref.partition("#")[2].encode() for ref in refs]
    token = json.loads((desk.home / "api.json").read_text())["token"].encode()
    for path, data in everything_in([desk.home, friend.home]):
        for secret in (MARK.strip(), b"samarkand", b"letter.txt", b"small-secret", *keys, *phrases(mesh)):
            assert secret not in data, f"{path} holds {secret!r}"
        if path.name != "api.json":
            assert token not in data, f"{path} holds the token"


def phrases(mesh: list[Machine]) -> list[bytes]:
    """Three words in a row of each phrase: one alone may occur anywhere."""
    words = [machine.phrase.split() for machine in mesh]
    return [" ".join(some[at : at + 3]).encode() for some in words for at in range(22)]


def test_secrets_are_for_this_user_only(mesh: list[Machine]) -> None:
    home = mesh[0].home
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for name in ("cocoon", "keyfile", "api.json"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE((home / "inos.db").stat().st_mode) & 0o077 == 0


def test_it_listens_where_it_did_and_stops_however_often_it_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made(home)
    node = LocalNode(home, ("--listen", "0.0.0.0:0"))
    node.start()
    node.wait_ready()
    first = node.ready["listen"]
    assert node.process is not None
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        node.process.send_signal(number)
        time.sleep(0.05)
    assert node.process.wait(10) == 0
    assert not (home / "api.json").exists()

    node.options = ()
    node.start()
    try:
        node.wait_ready()
        assert node.ready["listen"] == first
    finally:
        node.stop()
