"""Anti-entropy: this node's replica made equal to others', one round at a time.

    roots of the places both hold -> 256 buckets of those that differ -> entries of the buckets that differ
    -> fetch what they have, push what we have; which version holds, both gates decide alike

A round asks the peers known or suspected to differ, then one at random, and moves at most MAX_ROUND_RECORDS; equal
replicas cost one call, and none where heartbeats have said that they are (`table_likeness.py`). Records of places this
node does not hold (written here, or held before members changed) are handed to the replicas and kept: they are few, and
nothing is ever lost by keeping them. Once a majority of the replicas has a place as it is here, it is left alone until
it changes.

A record that one side refuses would be offered for ever: it is remembered for a while and passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from inos.core.env import Env
from inos.core.errors import PeerUnavailable, TooLarge
from inos.crypto.hashing import blake3_digest
from inos.replication import table_wire as wire
from inos.replication.table_client import TableClient
from inos.replication.table_intake import Intake
from inos.replication.table_likeness import Likeness, Roots
from inos.replication.table_view import Assignment, Place
from inos.state.tables import Scope, TableSpec
from inos.store.replica import Replica

# About 20 MB and three seconds of one core at both ends: a node that comes back after long is busy, not blocked.
MAX_ROUND_RECORDS: Final = 20_000
MAX_SUSPECTS: Final = 64
SUSPECTS_A_ROUND: Final = 4
# 16 buckets of a sector of a million records hold 62,000 keys; the first answer that does not fit halves it.
BUCKETS_A_CALL: Final = 16
FETCH_KEYS: Final = 512
PUSH_KEYS: Final = 1024
# A comparison older than this says too little to answer reads from; at an interval of 5 s it is a dozen rounds.
IN_STEP_S: Final = 60.0
REFUSED_S: Final = 60.0
# Without a comparison, while everybody changes all the time.
MOVING_S: Final = 15.0
MAX_REFUSED: Final = 4096


@dataclass(frozen=True, slots=True)
class Difference:
    """What to exchange: keys they have and we lack or have otherwise, and the reverse. A key may be in both."""

    fetch: list[bytes]
    push: list[bytes]


def compare(ours: dict[bytes, bytes], theirs: dict[bytes, bytes]) -> Difference:
    """Difference of two listings of key -> digest, in order of key."""
    fetch = sorted(key for key, digest in theirs.items() if ours.get(key) != digest)
    push = sorted(key for key, digest in ours.items() if theirs.get(key) != digest)
    return Difference(fetch, push)


class Refusals:
    """What was refused lately, bounded in number and time."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._until_s: dict[bytes, float] = {}

    def add(self, what: bytes) -> None:
        while len(self._until_s) >= MAX_REFUSED:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[what] = self._env.monotonic_s() + REFUSED_S

    def without(self, keys: Sequence[bytes], digests: dict[bytes, bytes], whose: bytes) -> list[bytes]:
        """`keys` less those whose digest `whose` side refused lately."""
        now_s = self._env.monotonic_s()
        return [key for key in keys if self._until_s.get(whose + digests[key], now_s) <= now_s]


@dataclass(slots=True)
class _HandOver:
    """A place this node does not hold but has records of: which replicas have all of them, at this root."""

    root: bytes
    confirmed: set[bytes] = field(default_factory=set)


class AntiEntropy:
    """Rounds for one node. Owned by the event loop; `step` is a worker's."""

    def __init__(
        self,
        store: Replica,
        specs: Mapping[str, TableSpec],
        assignment: Assignment,
        client: TableClient,
        intake: Intake,
        env: Env,
    ) -> None:
        self._store = store
        self._specs = specs
        self._assignment = assignment
        self._client = client
        self._intake = intake
        self._env = env
        self._suspects: dict[bytes, None] = {}
        self._in_step_s: dict[Place, float] = {}
        self._none_lags = -1
        self._none_lags_until_s = 0.0
        self._hand_overs: dict[Place, _HandOver] = {}
        self._refusals = Refusals(env)
        self._assigned = -1
        self._room = 0
        self._asked_s = 0.0
        self.likeness = Likeness(env)
        self.wake: Callable[[], None] = lambda: None
        """Called when a round is worth more than waiting for the next: a Worker's poke."""
        self.moved = 0
        """Records fetched or pushed so far."""

    def suspect(self, node: bytes) -> None:
        """`node` probably differs from us: it missed a push, or said so."""
        if node not in self._suspects and len(self._suspects) < MAX_SUSPECTS:
            self._suspects[node] = None
            self.wake()

    def in_step(self, place: Place) -> bool:
        """Whether this replica of `place` has been compared with another lately, or there is no other."""
        return self._is_in_step(place, self._env.monotonic_s())

    def _is_in_step(self, place: Place, now_s: float) -> bool:
        compared_s = self._in_step_s.get(place)
        if compared_s is not None and now_s - compared_s < IN_STEP_S:
            return True
        assignment = self._assignment
        return assignment.holds(assignment.me, place) and not assignment.others(place, alive=False)

    def lagging(self) -> list[Place]:
        """The places this node should hold that are not in step."""
        now_s, assigned = self._env.monotonic_s(), self._assignment.changes
        if self._none_lags == assigned and now_s < self._none_lags_until_s:
            return []
        lagging = [place for place in self._assignment.held() if not self._is_in_step(place, now_s)]
        if not lagging:
            # What has been compared stays in step for so long, and what has no other replica until there are others.
            compared_s = [self._in_step_s.get(place, now_s) for place in self._assignment.held()]
            self._none_lags, self._none_lags_until_s = assigned, min(compared_s, default=now_s) + IN_STEP_S
        return lagging

    async def step(self) -> None:
        """One round. Raises when this node's own store fails; a peer that fails is left for another time."""
        self._assignment.refresh()
        self._room = MAX_ROUND_RECORDS
        await self.look()
        for node in self._choose():
            try:
                if self.likeness.alike(node):
                    self._take_for_compared(node)
                elif not await self._exchange(node):
                    self.suspect(node)
            except PeerUnavailable:
                continue

    async def look(self) -> None:
        """Find out what this node has, for all that follows from it."""
        changes = self.likeness.changes
        roots = await self._env.in_thread(self._all_roots)
        new, assigned = self.likeness.look(roots, changes), self._assignment.changes
        if new or assigned != self._assigned:
            if assigned != self._assigned:
                self.likeness.assigned_anew()
            self._assigned = assigned
            self.likeness.keep_only(self._assignment.members())
            self._note_hand_overs(roots)

    def _take_for_compared(self, node: bytes) -> None:
        """`node` has said that it has what we have."""
        self._in_step_s.update(dict.fromkeys(self._assignment.shared(node), self._env.monotonic_s()))
        for place in self._handed_to(node):
            self._agreed(node, place)

    async def meet(self, node: bytes, place: Place) -> None:
        """Exchange with `node` all that differs in one place that is held here, however much that is. Raises what its
        answers raise, and StorageFull."""
        while not await self._reconcile(node, place):
            self._room = MAX_ROUND_RECORDS
        self._agreed(node, place)

    def _choose(self) -> list[bytes]:
        alive = set(self._assignment.others_alive())
        chosen = [node for node in self._suspects if node in alive][:SUSPECTS_A_ROUND]
        for node in [node for node in self._suspects if node in chosen or not self._assignment.is_member(node)]:
            del self._suspects[node]
        rest = alive.difference(chosen)
        handed = list(self._hand_overs)
        if candidates := self._candidates(self.lagging() + handed, rest):
            unlike = [node for node in candidates if not self.likeness.alike(node)]
            chosen.append(self._env.random.choice(unlike or candidates))
        elif candidates := self._candidates([*self._assignment.held(), *handed], rest):
            chosen += self._of_those_in_step(candidates)
        return chosen

    def _of_those_in_step(self, candidates: Sequence[bytes]) -> list[bytes]:
        """One that differs; or one like this node, which costs nothing to note. Where all of them change all the time
        somebody is asked now and then: whom a record did not reach is known, and suspected."""
        now_s, likeness = self._env.monotonic_s(), self.likeness
        among = [node for node in candidates if likeness.differs(node)]
        if not among:
            among = [node for node in candidates if likeness.alike(node)]
        if not among and now_s - self._asked_s >= MOVING_S:
            among = list(candidates)
        return [self._env.random.choice(among)] if among else []

    def _candidates(self, places: Iterable[Place], among: set[bytes]) -> list[bytes]:
        """Those of `among` with whom one of these places, drawn at random, is to be compared."""
        left = list(places)
        while left and among:
            at = self._env.random.randrange(len(left))
            if partners := self._partners(left[at], among):
                return partners
            left[at] = left[-1]
            left.pop()
        return []

    def _partners(self, place: Place, among: set[bytes]) -> list[bytes]:
        """Those of `among` to compare `place` with, which is held here or to be handed over."""
        hand_over = self._hand_overs.get(place)
        done = hand_over.confirmed if hand_over is not None else frozenset()
        if self._assignment.is_everywhere(place):
            return sorted(among - done)
        return [node for node in self._assignment.replicas(place) if node in among and node not in done]

    def _note_hand_overs(self, roots: Roots) -> None:
        """Find the places with records here that others should hold and may not have."""
        me, before = self._assignment.me, self._hand_overs
        self._hand_overs = {}
        for table, sectors in roots.items():
            for sector, root in sectors.items():
                place = Place(table, sector)
                if self._specs[table].scope is not Scope.SECTORS or self._assignment.holds(me, place):
                    continue
                known = before.get(place)
                self._hand_overs[place] = known if known is not None and known.root == root else _HandOver(root)

    def _all_roots(self) -> Roots:
        return {table: self._store.roots(table) for table in self._specs}

    def _shared_with(self, node: bytes) -> list[Place]:
        """What there is to compare with `node`."""
        return [*self._assignment.shared(node), *self._handed_to(node)]

    def _handed_to(self, node: bytes) -> list[Place]:
        """What `node` should hold of what lies here."""
        only = {node}
        return [place for place in self._hand_overs if self._partners(place, only)]

    async def _exchange(self, node: bytes) -> bool:
        """Compare with `node` and exchange what differs. False when the round ended before all was done."""
        self._asked_s = self._env.monotonic_s()
        mine, their = self.likeness.ours, self.likeness.said_by(node)
        places, assigned = self._shared_with(node), self._assignment.changes
        roots = await self._env.in_thread(self._all_roots)
        ours = {place: roots[place.table].get(place.sector, b"") for place in places}
        theirs: dict[Place, bytes] = {}
        for at in range(0, len(places), wire.MAX_DIGESTS):
            part = {place: ours[place] for place in places[at : at + wire.MAX_DIGESTS]}
            theirs.update(await self._client.digests(node, part))
        for place in places:
            if place in theirs and not await self._reconcile(node, place):
                return False
            self._agreed(node, place)
        if assigned == self._assignment.changes:
            self.likeness.compared(node, mine, their)
        return True

    def _agreed(self, node: bytes, place: Place) -> None:
        hand_over = self._hand_overs.get(place)
        if hand_over is None:
            self._in_step_s[place] = self._env.monotonic_s()
            return
        hand_over.confirmed.add(node)
        replicas = self._assignment.replicas(place)
        if len(hand_over.confirmed) > len(replicas) // 2:
            hand_over.confirmed.update(replicas)

    async def _reconcile(self, node: bytes, place: Place) -> bool:
        ours = await self._env.in_thread(self._store.buckets, *place)
        theirs = await self._client.buckets(node, place)
        differing = [at for at, digest in enumerate(ours) if digest != theirs[at]]
        step = BUCKETS_A_CALL
        while differing:
            if self._room <= 0:
                return False
            part = differing[:step]
            try:
                listed = await self._client.entries(node, place, part)
            except TooLarge:
                if step == 1:
                    raise
                step //= 2
                continue
            entries = await self._env.in_thread(self._store.entries, *place, part)
            mine = {entry.key: entry.digest for entry in entries}
            await self._settle(node, place, mine, listed)
            differing = differing[step:]
        return True

    async def _settle(self, node: bytes, place: Place, ours: dict[bytes, bytes], theirs: dict[bytes, bytes]) -> None:
        found = compare(ours, theirs)
        fetch = self._refusals.without(found.fetch, theirs, b"")
        if place in self._hand_overs:
            fetch = [key for key in fetch if key in ours]
        taken = await self._pull(node, place, fetch)
        push = [key for key in found.push if key not in taken]
        await self._push(node, place, self._refusals.without(push, ours, node), ours)

    async def _pull(self, node: bytes, place: Place, keys: list[bytes]) -> set[bytes]:
        """Fetch these; the keys whose version here was replaced."""
        taken: set[bytes] = set()
        while keys:
            asked = keys[:FETCH_KEYS]
            batch = await self._client.fetch(node, place.table, asked)
            verdicts = await self._intake.take(batch.records)
            got = {v.record.key for v in verdicts if v.record is not None and v.record.table == place.table}
            taken |= {v.record.key for v in verdicts if v.record is not None and v.applied}
            for data, verdict in zip(batch.records, verdicts, strict=True):
                if verdict.refusal:
                    self._refusals.add(blake3_digest(data))
            # A cut answer ends before the first key it left out; one that tells nothing still moves on.
            cut = batch.more and max((at for at, key in enumerate(asked) if key in got), default=-1) + 1
            keys = keys[cut or len(asked) :]
            self._spend(len(batch.records))
        return taken

    async def _push(self, node: bytes, place: Place, keys: list[bytes], ours: dict[bytes, bytes]) -> None:
        for start in range(0, len(keys), PUSH_KEYS):
            records = await self._env.in_thread(self._store.get_many, place.table, keys[start : start + PUSH_KEYS])
            while records:
                sizes = [len(record.encoded) for record in records]
                count = wire.fitting(sizes, max_items=wire.MAX_BATCH_RECORDS)
                refused = await self._client.push(node, [record.encoded for record in records[:count]])
                for at, record in enumerate(records[:count]):
                    if at in refused:
                        self._refusals.add(node + ours[record.key])
                records = records[count:]
                self._spend(count)

    def _spend(self, records: int) -> None:
        self._room -= records
        self.moved += records
