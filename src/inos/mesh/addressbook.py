"""Where members can be reached, by everything that ever said so: their own records, their hellos, the local network.

Per peer the newest knowledge comes first, because addresses change when machines move. Bounded; pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from inos.core.ids import PeerId
from inos.state.capability import MAX_ADDRESSES

# A mesh has at most 700 nodes; what the local network says of strangers is forgotten first-come first.
MAX_PEERS: Final = 2048


class AddressBook:
    """Peer -> addresses, newest first."""

    def __init__(self) -> None:
        self._addresses: dict[PeerId, list[str]] = {}

    def learn(self, peer: PeerId, addresses: Iterable[str]) -> bool:
        """Take in addresses of `peer`, best first. Those that do not lead to it are ignored. True for anything new."""
        known = self._addresses.pop(peer, [])
        heard = [address for address in addresses if address.endswith(f"/p2p/{peer}")]
        merged = list(dict.fromkeys([*heard, *known]))[:MAX_ADDRESSES]
        if not merged:
            return False
        while len(self._addresses) >= MAX_PEERS:
            del self._addresses[next(iter(self._addresses))]
        self._addresses[peer] = merged
        return not set(heard) <= set(known)

    def addresses(self, peer: PeerId) -> tuple[str, ...]:
        """Newest first; empty when none is known."""
        return tuple(self._addresses.get(peer, ()))
