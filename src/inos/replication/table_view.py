"""Who keeps what: the members as tables see them, and which places (a sector of a table) this node should hold.

Every node works it out alone from the members it knows. Two nodes that know different members disagree for a while; so
a push is taken by whoever gets it, and nothing is ever taken away from a node because it is not a replica.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from inos.state.sectors import SECTORS, even_replicas, replica_count, replicas, replicas_among
from inos.state.tables import EVERYWHERE_SECTOR, Scope, TableSpec

AlsoHold = Callable[[str, int], bool]
AllHold = Callable[[str], bool]


class Place(NamedTuple):
    """One sector of one table."""

    table: str
    sector: int


class MembersView(Protocol):
    """Certified, unrevoked members, as far as this node knows."""

    @property
    def me(self) -> bytes:
        """This node's public key."""

    def members(self) -> Mapping[bytes, float]:
        """Node public key -> weight, live or not, this node included. Weights must change rarely (a class of capacity,
        not a load): with them replicas move."""

    def alive(self, node: bytes) -> bool:
        """Whether calling `node` is worth a try."""

    def alive_members(self) -> Sequence[bytes]:
        """Those of the members of whom that is true, this node first."""


class Assignment:
    """Which members keep a place, worked out once for each change of members. Owned by the event loop."""

    def __init__(
        self, view: MembersView, specs: Mapping[str, TableSpec], also_hold: AlsoHold, all_hold: AllHold
    ) -> None:
        """`also_hold` is asked once for each change of members."""
        self._view = view
        self._specs = specs
        self._also_hold = also_hold
        self._all_hold = all_hold
        self._members: dict[bytes, float] = {}
        self._even: frozenset[bytes] | None = None
        self._replicas: dict[Place, tuple[bytes, ...]] = {}
        self._held: dict[Place, None] | None = None
        self._shared: dict[bytes, Sequence[Place]] = {}
        self._places = tuple(self._every_place())
        self.changes = 0
        """How often the members were others than before."""

    @property
    def me(self) -> bytes:
        return self._view.me

    def refresh(self) -> None:
        """Look at the members again. Everything below answers by the last look."""
        members = self._view.members()
        if members != self._members:
            before, self._members = self._members, dict(members)
            self.changes += 1
            self._even = frozenset(members) if len(set(members.values())) == 1 else None
            self._replicas = dict(self._still_known(before))
            self._held = None
            self._shared.clear()

    def _still_known(self, before: Mapping[bytes, float]) -> Iterator[tuple[Place, tuple[bytes, ...]]]:
        """The replicas of each place that can be told from those known: a replica that left makes room for somebody who
        has to be looked for among all, a newcomer is only compared with the replicas there are."""
        members = self._members
        count = replica_count(len(members))
        came = members.keys() - before.keys()
        reweighed = any(before.get(node, weight) != weight for node, weight in members.items())
        if reweighed or count != replica_count(len(before)):
            return
        for place, found in self._replicas.items():
            if all(node in members for node in found):
                some = {node: members[node] for node in (*found, *came)}
                yield place, tuple(replicas_among(place.table, place.sector, some, count)) if came else found

    def replicas(self, place: Place) -> tuple[bytes, ...]:
        """Who answers for `place`, best first: those whose majority makes a write durable."""
        found = self._replicas.get(place)
        if found is None:
            if self._even is not None:
                found = even_replicas(place.table, place.sector, self._even)
            else:
                found = tuple(replicas(place.table, place.sector, self._members))
            self._replicas[place] = found
        return found

    def others(self, place: Place, *, alive: bool = True) -> list[bytes]:
        """The replicas of `place` without this node; by default only those worth calling."""
        return [n for n in self.replicas(place) if n != self.me and (not alive or self._view.alive(n))]

    def others_alive(self) -> list[bytes]:
        """Every member worth calling."""
        return [node for node in self._view.alive_members() if node != self.me and node in self._members]

    def members(self) -> Mapping[bytes, float]:
        """Who they are, by node key, with their weights."""
        return self._members

    def size(self) -> int:
        """How many members there are."""
        return len(self._members)

    def is_member(self, node: bytes) -> bool:
        return node in self._members

    def is_everywhere(self, place: Place) -> bool:
        """Whether every member holds `place`."""
        return self._specs[place.table].scope is Scope.EVERYWHERE

    def all_hold(self, place: Place) -> bool:
        """Whether every member is to hear of what is written to `place`, by its part in the mesh or by choice."""
        return self.is_everywhere(place) or self._all_hold(place.table)

    def holds(self, node: bytes, place: Place) -> bool:
        """Whether `node` should have every record of `place`, by its part in the mesh or, for this node, by choice."""
        if node == self.me:
            return place in self.held()
        return self.has_part(node, place)

    def has_part(self, node: bytes, place: Place) -> bool:
        """Whether `node` should have every record of `place` by its part in the mesh."""
        return node in self._members if self.is_everywhere(place) else node in self.replicas(place)

    def held(self) -> Collection[Place]:
        """The places this node should hold, in order."""
        if self._held is None:
            me = self.me
            held = [
                p for p in self._places if self.has_part(me, p) or (not self.is_everywhere(p) and self._also_hold(*p))
            ]
            self._held = dict.fromkeys(held)
        return self._held.keys()

    def shared(self, node: bytes) -> Sequence[Place]:
        """Those of the places held here that `node` should have every record of as well, in order: by its part in the
        mesh, or because everybody chose to."""
        if node not in self._shared:
            everybody = {table for table in self._specs if self._all_hold(table)}
            self._shared[node] = [p for p in self.held() if p.table in everybody or self.has_part(node, p)]
        return self._shared[node]

    def place_of(self, table: str, key: bytes) -> Place:
        return Place(table, self._specs[table].sector_of(key))

    def _every_place(self) -> Iterable[Place]:
        for name, spec in self._specs.items():
            if spec.scope is Scope.EVERYWHERE:
                yield Place(name, EVERYWHERE_SECTOR)
            else:
                yield from (Place(name, sector) for sector in range(SECTORS))
