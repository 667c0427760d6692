"""Who gets in, who does not, and who gets back in with nothing but the phrase."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest
from e2e_machines import Machine, Machines, pattern, wait_for


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """desk, the founder, and friend are members; stranger runs a mesh of its own."""
    machines = Machines(tmp_path_factory.mktemp("joining"))
    try:
        desk = machines.found("desk")
        machines.join(desk, machines.make("friend"))
        yield machines
    finally:
        machines.stop()


@pytest.fixture(scope="module")
def stranger(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    elsewhere = Machines(tmp_path_factory.mktemp("elsewhere"))
    try:
        yield elsewhere.found("stranger")
    finally:
        elsewhere.stop()


@pytest.fixture
def desk(machines: Machines) -> Machine:
    return machines.made[0]


@pytest.mark.parametrize(
    "ticket", ["", "garbage", "inos-ticket-garbage", "inos-ticket-" + "a" * 500, "x" * 100_000, "żółw"]
)
def test_what_is_no_ticket_is_refused_at_once(stranger: Machine, ticket: str) -> None:
    assert stranger.inos("join", ticket, code=1).error["code"] in ("bad_ticket", "bad_input")


def test_a_ticket_with_one_letter_changed(desk: Machine, stranger: Machine) -> None:
    ticket = desk.inos("invite").json["ticket"]
    middle = len(ticket) // 2
    changed = ticket[:middle] + ("b" if ticket[middle] == "a" else "a") + ticket[middle + 1 :]
    assert stranger.inos("join", changed, code=1).error["code"] == "bad_ticket"
    assert stranger.inos("join", ticket[:-3], code=1).error["code"] == "bad_ticket"


def test_an_expired_ticket(desk: Machine, stranger: Machine) -> None:
    ticket = desk.inos("invite", "--lifetime", "1s").json["ticket"]
    time.sleep(1.5)
    error = stranger.inos("join", ticket, code=1).error
    assert error["code"] == "bad_ticket"
    assert "expired" in error["message"]
    assert desk.status().members == 2


def test_a_ticket_for_the_mesh_one_is_in(desk: Machine) -> None:
    assert desk.inos("join", desk.inos("invite").json["ticket"], code=1).error["code"] == "conflict"


def test_a_stranger_gets_nothing(desk: Machine, stranger: Machine) -> None:
    """It knows the reference, and nobody answers it."""
    ref = desk.put(pattern(300_000, 1), "/secret").ref
    done = stranger.inos("get", ref, "-o", "-", code=1)
    assert done.error["code"] in ("not_found", "unavailable")
    assert done.out == b""
    assert stranger.names() == []


def test_a_single_use_ticket_is_good_once(machines: Machines, desk: Machine, stranger: Machine) -> None:
    ticket = desk.inos("invite", "--single-use").json["ticket"]
    guest = machines.make("guest")
    joined = [guest.inos("join", ticket).json for _ in range(2)]  # before it ever ran, and again, as if it was cut off
    assert [each["peers"] for each in joined] == [3, 3] and joined[0]["mesh"] == joined[1]["mesh"]
    assert stranger.inos("join", ticket, code=1).error["code"] == "bad_ticket"
    guest.restart()
    wait_for(lambda: desk.status().alive == 3, "the guest is in")
    assert desk.status().members == 3


def test_a_revoked_node_is_shut_out(machines: Machines, desk: Machine) -> None:
    """After test_a_single_use_ticket_is_good_once: it is that guest who has to leave."""
    guest = machines.made[-1]
    ref = guest.put(pattern(200_000, 2)).ref
    assert desk.inos("revoke", guest.status().peer).json["node_name"] == "guest"
    wait_for(lambda: desk.status().alive == 2, "it is cut off")
    friend = machines.made[1]
    wait_for(lambda: friend.status().alive == 2, "by the others too")
    assert desk.read(ref) == pattern(200_000, 2)
    guest.stop()
    shutil.rmtree(guest.home / "blobs", ignore_errors=True)
    guest.restart()
    time.sleep(2)
    assert (desk.status().alive, friend.status().alive, guest.status().alive) == (2, 2, 1)
    newer = desk.put(pattern(200_000, 4)).ref
    assert guest.inos("get", newer, "-o", "-", code=1).error["code"] in ("not_found", "unavailable", "not_a_member")


def test_the_phrase_alone_brings_everything_back(machines: Machines, desk: Machine) -> None:
    """All of one owner's machines are lost, to the last file; the others' nodes remain."""
    friend = machines.made[1]
    wanted = {"/photos/a.jpg": pattern(2_000_000, 5), "/notes.txt": b"remember", "/empty": b""}
    for name, data in wanted.items():
        friend.put(data, name)
    wait_for(lambda: all(friend.stat(name).survives >= 1 for name in wanted), "somebody else holds them")
    friend.kill()
    shutil.rmtree(friend.home)
    machines.made.remove(friend)

    again = machines.make("friend-2", phrase=friend.phrase)
    again.inos("join", desk.inos("invite").json["ticket"])
    again.restart()
    wait_for(lambda: set(wanted) <= set(again.names()), "the names are back")
    for name, data in wanted.items():
        assert again.read(name) == data
    assert again.inos("stat", "/photos/a.jpg").json["name"] == "/photos/a.jpg"


def test_the_founder_returns_through_any_member(machines: Machines, desk: Machine) -> None:
    """The machine everybody joined through is lost; who is left may not invite, and yet lets the founder back in."""
    friend = machines.made[-1]
    data = pattern(300_000, 9)
    desk.put(data, "/founder.bin")
    wait_for(lambda: desk.stat("/founder.bin").survives >= 1, "somebody else holds it")
    desk.kill()
    shutil.rmtree(desk.home)
    machines.made.remove(desk)

    again = machines.make("desk-2", phrase=desk.phrase)
    invitation = friend.inos("invite").json
    assert invitation["founder_only"]
    again.inos("join", invitation["ticket"])
    again.restart()
    wait_for(lambda: "/founder.bin" in again.names(), "the name is back")
    assert again.read("/founder.bin") == data
    assert not again.inos("invite").json["founder_only"]
