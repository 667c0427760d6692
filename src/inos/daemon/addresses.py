"""Where a node listens, as operators write it, and where it says it can be reached. Pure but for reading interfaces."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Final

import ifaddr

from inos.core.errors import BadInput

LOOPBACK: Final = ("/ip4/127.0.0.1/tcp/0",)
_PLACE: Final = re.compile(r"^/(ip4|ip6)/([^/]+)/tcp/(\d{1,5})(/ws)?$")


def listen_addresses(chosen: Sequence[str], remembered: str) -> tuple[str, ...]:
    """The multiaddrs to listen on: those chosen ("/ip4/0.0.0.0/tcp/4001" or "0.0.0.0:4001"), else where the node
    listened last, so that others find it again, else any free port of the loopback interface."""
    if chosen:
        return tuple(_with_port(as_place(text)) for text in chosen)
    return tuple(remembered.split()) or LOOPBACK


def as_place(text: str) -> str:
    """A listen address as a multiaddr. Raises BadInput."""
    place = text if text.startswith("/") else _from_host_and_port(text)
    match = _PLACE.match(place)
    if match is None or int(match[3]) > 65535:
        raise _no_place(text)
    try:
        version = ipaddress.ip_address(match[2]).version
    except ValueError:
        raise _no_place(text) from None
    if match[1] != f"ip{version}":
        raise _no_place(text)
    return place


def places_of(addresses: Sequence[str]) -> list[str]:
    """Addresses without the peer they end in."""
    return list(dict.fromkeys(address.partition("/p2p/")[0] for address in addresses))


def as_listened(places: Sequence[str], addresses: Sequence[str]) -> list[str]:
    """What to listen on next time: wildcards as they were given (their port is fixed by now), else the very addresses
    that came of `places`."""
    return list(places) if any(map(_is_wildcard, places)) else places_of(addresses)


def announced(chosen: Sequence[str], places: Sequence[str]) -> tuple[str, ...]:
    """What to tell others: what the operator says, else for a wildcard address every address of this machine."""
    if chosen:
        return tuple(map(as_place, chosen))
    if not any(_is_wildcard(place) for place in places):
        return ()
    return tuple(dict.fromkeys(spread for place in places for spread in _spread(place)))


def _spread(place: str) -> list[str]:
    if not _is_wildcard(place):
        return [place]
    match = _PLACE.match(place)
    assert match is not None
    version = 4 if match[1] == "ip4" else 6
    found = (ip for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    own = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in found]
    usable = [text for text in own if (ip := ipaddress.ip_address(text)).version == version and not ip.is_link_local]
    # Loopback last: useful to nodes on this machine, useless to others.
    usable.sort(key=lambda text: ipaddress.ip_address(text).is_loopback)
    return [place.replace(f"/{match[2]}/", f"/{text}/") for text in usable]


def _with_port(place: str) -> str:
    """A wildcard address with port 0 gets a port now, because it is announced once for each interface."""
    match = _PLACE.match(place)
    assert match is not None
    if int(match[3]) or not _is_wildcard(place):
        return place
    with socket.socket(socket.AF_INET if match[1] == "ip4" else socket.AF_INET6) as probe:
        probe.bind((match[2], 0))
        return place.replace("/tcp/0", f"/tcp/{probe.getsockname()[1]}")


def beyond_loopback(addresses: Sequence[str]) -> int | None:
    """The TCP port of the first address that other machines can reach; None when there is none."""
    for address in addresses:
        match = _PLACE.match(address.partition("/p2p/")[0])
        if match is not None and not ipaddress.ip_address(match[2]).is_loopback:
            return int(match[3])
    return None


def _is_wildcard(place: str) -> bool:
    match = _PLACE.match(place)
    return match is not None and ipaddress.ip_address(match[2]).is_unspecified


def _from_host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"


def _no_place(text: str) -> BadInput:
    return BadInput(
        f"not an address to listen on: {text!r}", hint="write IP:PORT or /ip4/IP/tcp/PORT, port 0 for any free one"
    )
