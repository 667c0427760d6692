"""Keeps this node connected: a full mesh while it is small, a random-looking graph of a few links each when it is not.

Whom to dial follows from the members alone (`choose_links`), where to dial from the address book and the members' own
records, which are on this disk: a node that was in comes back when every seed address is gone. A peer that does not
answer is tried again later and later; when it comes up, it dials us. One round is one `step` of a Worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import trio

from inos.core.env import Env
from inos.core.errors import InosError
from inos.core.ids import PeerId
from inos.core.worker import Backoff
from inos.mesh.addressbook import AddressBook
from inos.mesh.network import PeerEvents, Peers
from inos.state import rendezvous
from inos.state.capability import Member

log = logging.getLogger(__name__)

# A heartbeat costs 0.1 % of a core a link at most: up to here everybody watches everybody.
FULL_MESH: Final = 48
# Beyond, each node picks this many; with those that pick it, it has about 24, and the graph stays connected however
# unlucky (a random graph of 700 nodes with 12 picks each has a diameter of 3).
PICKS: Final = 12
# Dials at once: each may wait out its time on a dead address; more would only crowd a home router.
PARALLEL: Final = 8
DIAL_TIMEOUT_S: Final = 5.0
_BACKOFF: Final = Backoff(base_s=1.0, max_s=60.0)
_JITTER: Final = 0.2
# A member that is missing is looked for this often at most; where nobody is missing, or is to be tried again that soon,
# a round only finds out that there are new members, and these dial as well.
LOOK_S: Final = 1.0
REST_S: Final = 5.0
# Failed dials in a row after which a spare link is made: about 7 s.
_SILENT_FAILURES: Final = 3


class Wires(Peers, PeerEvents, Protocol):
    """What keeping links needs of a network."""


@dataclass(slots=True)
class _Attempts:
    failures: int = 0
    next_s: float = 0.0


_FRESH: Final = _Attempts()


def choose_links(me: bytes, members: Collection[bytes], spares: int = 0) -> list[bytes]:
    """Whom (node keys) `me` keeps a link to: everybody in a small mesh, else its picks and, after them, `spares` more.
    A pure function of the members, so it changes only with them."""
    others = frozenset(members) - {me}
    if len(others) < FULL_MESH:
        return sorted(others)
    return list(_best(me, others, PICKS + spares))


# A node asks this of itself, and as a witness of dozens of others.
@lru_cache(maxsize=1024)
def _best(me: bytes, others: frozenset[bytes], count: int) -> tuple[bytes, ...]:
    return tuple(rendezvous.ranked_evenly(me, others)[:count])


class Links:
    """The links of one node. `members` is the membership's live view; `me` this node's public key."""

    def __init__(
        self,
        network: Wires,
        env: Env,
        *,
        me: bytes,
        members: Callable[[], Mapping[bytes, Member]],
        book: AddressBook,
    ) -> None:
        self._network = network
        self._env = env
        self._me = me
        self._members = members
        self._book = book
        self._attempts: dict[PeerId, _Attempts] = {}
        # What `choose_links` said of these members, by number of spares.
        self._ranked_of: frozenset[bytes] = frozenset()
        self._ranked: dict[int, list[bytes]] = {}
        self._peers: dict[int, tuple[PeerId, ...]] = {}
        self._watched_of: object = None
        self._watched: frozenset[PeerId] = frozenset()
        # In a large mesh most links are others' picks: their end must show as a failure, not as something unwatched.
        self._lost: set[PeerId] = set()
        self._some_missing = True
        self._next_s = 0.0
        self._parting: set[PeerId] = set()
        self._tried_all = trio.Event()
        network.on_connected(self._gain)
        network.on_disconnected(self._lose)

    def targets(self) -> list[PeerId]:
        """The members this node wants to be connected to: those whose silence it takes for failure."""
        return list(self._target_peers())

    def watched(self) -> frozenset[PeerId]:
        """Targets, whoever else is connected, and members whose connection broke: what heartbeats judge."""
        if self._lost:
            members = self._members()
            self._lost = {peer for peer in self._lost if peer.public_key() in members}
        parts = (self._network.connected(), self._target_peers(), frozenset(self._lost))
        if parts != self._watched_of:
            self._watched_of, self._watched = parts, parts[0].union(*parts[1:])
        return self._watched

    def where(self, peer: PeerId) -> Sequence[str]:
        """Addresses of a member, those heard last first; none of anybody else."""
        member = self._members().get(peer.public_key())
        return () if member is None else self._where(member)

    def is_wanted(self, peer: PeerId) -> bool:
        """Whether this node or that one is to keep the link between them."""
        node, members = peer.public_key(), self._members()
        return any(member.peer == peer for member in self._ranking(0)) or self._me in choose_links(node, members)

    def part(self, peer: PeerId) -> None:
        """The connection with `peer` is about to end on purpose: not a failure."""
        self._parting.add(peer)

    def found(self, peer: PeerId) -> None:
        """Somebody else sees `peer` alive: that a connection with it broke proves nothing any more."""
        if peer not in self._network.connected():
            self._lost.discard(peer)

    def hint(self, peer: PeerId, addresses: Sequence[str]) -> bool:
        """Somebody says `peer` is there (its hello, the local network). True when that is news worth a poke: it is
        dialled again at once."""
        if not self._book.learn(peer, addresses):
            return False
        self._forgive(peer)
        return peer not in self._network.connected()

    def pause_s(self) -> float:
        """Until the next round, unless something changes before: that one dials whoever is due by then."""
        if not self._some_missing:
            return REST_S
        return min(max(self._next_s - self._env.monotonic_s(), LOOK_S), REST_S)

    async def step(self) -> None:
        """Dial every target that is missing and due, and wait for all of them."""
        if due := self._due():
            limiter = trio.CapacityLimiter(PARALLEL)
            async with trio.open_nursery() as nursery:
                for peer, addresses in due:
                    nursery.start_soon(self._dial, peer, addresses, limiter)
        else:
            await trio.lowlevel.checkpoint()
        self._tried_all.set()

    async def tried_all(self) -> None:
        """Return once this node has tried, since it started, to reach everybody it knows."""
        await self._tried_all.wait()

    def _due(self) -> list[tuple[PeerId, Sequence[str]]]:
        now_s, connected = self._env.monotonic_s(), self._network.connected()
        chosen = self._chosen()
        if self._attempts:
            peers = {member.peer for member in chosen}
            for gone in [peer for peer in self._attempts if peer not in peers]:
                del self._attempts[gone]
        missing = [member for member in chosen if member.peer not in connected]
        self._some_missing = bool(missing)
        due: list[tuple[PeerId, Sequence[str]]] = []
        self._next_s = min((self._attempts.get(member.peer, _FRESH).next_s for member in missing), default=0.0)
        for member in missing:
            if self._attempts.get(member.peer, _FRESH).next_s > now_s:
                continue
            if addresses := self._where(member):
                due.append((member.peer, addresses))
        return due

    def _chosen(self) -> list[Member]:
        """The picks, and a spare for each that has been silent for a while: in a large mesh links must not run out."""
        self._rank()
        return self._ranking(self._spares())

    def _spares(self) -> int:
        silent = [peer for peer, attempts in self._attempts.items() if attempts.failures >= _SILENT_FAILURES]
        if not silent or len(self._ranked_of) <= FULL_MESH:
            return 0
        picks = {member.peer for member in self._ranking(0)}
        return sum(peer in picks for peer in silent)

    def _target_peers(self) -> tuple[PeerId, ...]:
        """The peers of `_chosen`, the same object as long as they are the same."""
        self._rank()
        spares = self._spares()
        if spares not in self._peers:
            self._peers[spares] = tuple(member.peer for member in self._ranking(spares))
        return self._peers[spares]

    def _ranking(self, spares: int) -> list[Member]:
        """Whom `choose_links` chooses, worked out anew only when that can have changed."""
        members = self._rank()
        if spares not in self._ranked:
            self._ranked[spares] = choose_links(self._me, members, spares)
        return [members[node] for node in self._ranked[spares]]

    def _rank(self) -> Mapping[bytes, Member]:
        """The members; what was worked out for others is forgotten."""
        members = self._members()
        if members.keys() != self._ranked_of:
            self._ranked_of = frozenset(members)
            self._ranked.clear()
            self._peers.clear()
        return members

    def _where(self, member: Member) -> Sequence[str]:
        return tuple(dict.fromkeys([*self._book.addresses(member.peer), *member.addresses]))

    async def _dial(self, peer: PeerId, addresses: Sequence[str], limiter: trio.CapacityLimiter) -> None:
        async with limiter:
            if peer in self._network.connected():
                return
            try:
                await self._network.connect(addresses, timeout_s=DIAL_TIMEOUT_S)
            except InosError as error:
                self._postpone(peer)
                log.debug("cannot reach %s: %s", peer.short(), error)

    def _postpone(self, peer: PeerId) -> None:
        attempts = self._attempts.setdefault(peer, _Attempts())
        attempts.failures += 1
        jitter = 1 + _JITTER * (2 * self._env.random.random() - 1)
        attempts.next_s = self._env.monotonic_s() + _BACKOFF.delay_s(attempts.failures) * jitter

    def _gain(self, peer: PeerId) -> None:
        self._lost.discard(peer)
        self._parting.discard(peer)
        self._forgive(peer)

    def _lose(self, peer: PeerId) -> None:
        if peer in self._parting:
            self._parting.discard(peer)
        else:
            self._lost.add(peer)

    def _forgive(self, peer: PeerId) -> None:
        self._attempts.pop(peer, None)
