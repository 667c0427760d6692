"""Where a node listens and what it tells others, from what operators write."""

from __future__ import annotations

import ipaddress

import pytest

from inos.core.errors import BadInput
from inos.daemon.addresses import (
    LOOPBACK,
    announced,
    as_listened,
    as_place,
    beyond_loopback,
    listen_addresses,
    places_of,
)

PEER = "/p2p/12D3KooWEBQSDQBPHGbuB9ScuHhnM9sF97wZ7dUYaKYdsPV5sZcM"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("192.168.1.5:4001", "/ip4/192.168.1.5/tcp/4001"),
        ("0.0.0.0:0", "/ip4/0.0.0.0/tcp/0"),
        ("[::1]:65535", "/ip6/::1/tcp/65535"),
        ("/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/tcp/4001"),
        ("/ip6/fd00::1/tcp/4001", "/ip6/fd00::1/tcp/4001"),
        ("/ip4/10.0.0.1/tcp/4001/ws", "/ip4/10.0.0.1/tcp/4001/ws"),
    ],
)
def test_both_spellings_of_a_place(text: str, place: str) -> None:
    assert as_place(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "4001",
        "host:4001",
        "10.0.0.1",
        "10.0.0.1:",
        "10.0.0.1:x",
        "10.0.0.1:65536",
        "10.0.0.256:1",
        "10.0.0.1:-1",
        "/ip4/10.0.0.1",
        "/dns4/a/tcp/1",
        "/ip4/10.0.0.1/udp/1",
        "/ip4/10.0.0.1/tcp/x",
        "/ip4/::1/tcp/1",
        "/ip6/10.0.0.1/tcp/1",
        "/ip4/10.0.0.1/tcp/1/p2p/x",
    ],
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(BadInput, match="not an address to listen on") as error:
        as_place(text)
    assert error.value.hint


def test_chosen_places_go_before_remembered_ones_and_those_before_loopback() -> None:
    remembered = "/ip4/127.0.0.1/tcp/4001 /ip6/::1/tcp/4002"
    assert listen_addresses(["10.0.0.1:5"], remembered) == ("/ip4/10.0.0.1/tcp/5",)
    assert listen_addresses([], remembered) == ("/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/4002")
    assert listen_addresses([], "") == LOOPBACK


def test_a_wildcard_without_a_port_gets_one_that_others_are_told() -> None:
    (place,) = listen_addresses(["0.0.0.0:0"], "")
    port = int(place.rpartition("/")[2])
    assert 0 < port < 65536
    assert listen_addresses(["127.0.0.1:0"], "") == ("/ip4/127.0.0.1/tcp/0",)
    told = announced([], [place])
    assert f"/ip4/127.0.0.1/tcp/{port}" == told[-1]
    assert all(text.endswith(f"/tcp/{port}") for text in told)
    assert not [text for text in told if ipaddress.ip_address(text.split("/")[2]).is_unspecified]


def test_what_is_told_is_what_the_operator_says_or_nothing_special() -> None:
    assert announced(["1.2.3.4:5"], ["/ip4/0.0.0.0/tcp/4001"]) == ("/ip4/1.2.3.4/tcp/5",)
    assert announced([], ["/ip4/10.0.0.1/tcp/4001"]) == ()
    mixed = announced([], ["/ip4/10.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/2"])
    assert mixed[0] == "/ip4/10.0.0.1/tcp/1" and "/ip4/127.0.0.1/tcp/2" in mixed


def test_next_time_it_listens_where_it_did() -> None:
    came = [f"/ip4/127.0.0.1/tcp/4001{PEER}", f"/ip4/127.0.0.1/tcp/4001{PEER}", f"/ip6/::1/tcp/4002{PEER}"]
    assert places_of(came) == ["/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/4002"]
    assert as_listened(LOOPBACK, came) == places_of(came)
    wild = ["/ip4/0.0.0.0/tcp/4001"]
    assert as_listened(wild, [f"/ip4/10.0.0.1/tcp/4001{PEER}"]) == wild


@pytest.mark.parametrize(
    ("addresses", "port"),
    [
        ([], None),
        (["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/2"], None),
        (["/ip4/127.0.0.1/tcp/1", f"/ip4/10.0.0.1/tcp/3{PEER}", "/ip4/10.0.0.1/tcp/4"], 3),
        (["/memory/x"], None),
    ],
)
def test_the_port_that_other_machines_can_reach(addresses: list[str], port: int | None) -> None:
    assert beyond_loopback(addresses) == port
