"""Writing a table: on this node's disk first, then at a majority of the replicas.

What an answer says:
- `quorum`: a majority of the sector's replicas have each record (or a newer one) synced. It is there after the loss of
  any minority of them.
- `local`: synced here, and here at least. The node keeps it, tries again every round, and hands it over when the
  replicas are back. A node alone in its mesh is `local` too: one replica survives the loss of none.

Tables kept everywhere have the same replicas as one sector would, for the majority; everyone else hears of a change by
a push (small mesh), by gossip, and at last by anti-entropy. So it is with tables in sectors of which every member of a
small mesh keeps all.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final, Protocol

import trio

from inos.core import codec
from inos.core.errors import BadFrame, InosError
from inos.core.ids import PeerId
from inos.mesh.network import MAX_GOSSIP_BYTES, Calls, Gossip
from inos.replication import table_wire as wire
from inos.replication.quorum import Lanes, Push, Tally
from inos.replication.table_intake import Intake
from inos.replication.table_view import Assignment, Place
from inos.state.fields import at_most
from inos.state.record import Record

log = logging.getLogger(__name__)

TOPIC: Final = "inos/records"
# One call to a live replica takes milliseconds; a failed one is known dead after 5 s.
WRITE_DEADLINE_S: Final = 5.0
# Up to here a writer reaches everybody in one round of calls; beyond, gossip does.
DIRECT_MEMBERS: Final = 20
# Records that did not reach their majority yet: so many are remembered, so many tried again each round. Anti-entropy
# finds the rest.
MAX_PENDING: Final = 10_000
RETRY_RECORDS: Final = 2048
# Sender, union and list framing beside the records.
_GOSSIP_BYTES: Final = MAX_GOSSIP_BYTES - 256
_GOSSIP: Final = "p2p/gossip.capnp:GossipMessage"


class TableNetwork(Calls, Gossip, Protocol):
    """What tables need of a network."""


class Level(StrEnum):
    LOCAL = "local"
    QUORUM = "quorum"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """`acks` replicas of the `wanted` have the record that is furthest from its majority. `applied` records changed
    what this node had; the others were already known here or older than what is."""

    level: Level
    acks: int
    wanted: int
    applied: int


class TableWriter:
    """Writes for one node."""

    def __init__(self, intake: Intake, assignment: Assignment, lanes: Lanes, gossip: Gossip) -> None:
        self._intake = intake
        self._assignment = assignment
        self._lanes = lanes
        self._gossip = gossip
        self._pending: dict[tuple[str, bytes], Record] = {}

    @property
    def pending(self) -> int:
        """Records written here since the start that are not known to have reached their majority (10,000 at most)."""
        return len(self._pending)

    async def write(self, records: Sequence[Record], deadline_s: float) -> WriteResult:
        """See `Tables.write`."""
        applied = sum(await self._intake.write(records))
        self._assignment.refresh()
        everywhere = [record.encoded for record in records if self._is_everywhere(record)]
        if everywhere and self._assignment.size() > DIRECT_MEMBERS:
            self._lanes.spawn(lambda: self._publish(everywhere))
        acks, wanted = await self._replicate(records, deadline_s)
        return WriteResult(Level.QUORUM if acks >= wanted else Level.LOCAL, acks, wanted, applied)

    async def retry(self) -> None:
        """Try again what has not reached its majority; with nobody there, nothing."""
        if not self._pending or not self._assignment.others_alive():
            return
        tried = dict(islice(self._pending.items(), RETRY_RECORDS))
        current = await self._intake.current(list(tried.values()))
        for slot in tried.keys() - {(record.table, record.key) for record in current}:
            # Overtaken meanwhile: the later version is whoever's who wrote it.
            if self._pending.get(slot) == tried[slot]:
                del self._pending[slot]
        if current:
            await self._replicate(current, WRITE_DEADLINE_S)

    async def hear(self, _peer: PeerId, data: bytes) -> None:
        """Records from gossip."""
        try:
            await self._intake.take(_decode_gossip(data))
        except InosError as error:
            log.info("gossip on %s dropped: %s", TOPIC, error)

    async def _replicate(self, records: Sequence[Record], deadline_s: float) -> tuple[int, int]:
        """(acks, wanted) of the record that is furthest from its majority. In parts that fit in a call."""
        deadline = trio.current_time() + deadline_s
        tallies: list[Tally] = []
        start = 0
        while start < len(records):
            part = records[start : start + wire.MAX_BATCH_RECORDS]
            part = part[: wire.fitting([len(record.encoded) for record in part], max_items=len(part))]
            tally = self._offer(part)
            with trio.move_on_at(deadline):
                await tally.settled.wait()
            self._note(part, tally)
            tallies.append(tally)
            start += len(part)
        return min((tally.weakest() for tally in tallies), key=lambda pair: pair[0] - pair[1], default=(0, 0))

    def _offer(self, records: Sequence[Record]) -> Tally:
        self._assignment.refresh()
        places = [self._assignment.place_of(record.table, record.key) for record in records]
        me = self._assignment.me
        replicas = [self._assignment.replicas(place) for place in places]
        wanted = [max(2, len(nodes) // 2 + 1) for nodes in replicas]
        tally = Tally(wanted, [int(me in nodes) for nodes in replicas])
        pushes: dict[bytes, list[Push]] = {}
        for index, (record, place) in enumerate(zip(records, places, strict=True)):
            voting = self._assignment.others(place)
            for node in voting:
                pushes.setdefault(node, []).append(Push(record.encoded, tally.expect(index)))
            for node in self._listeners(place, voting):
                pushes.setdefault(node, []).append(Push(record.encoded, _ignore))
        for node, offered in pushes.items():
            self._lanes.offer(node, offered)
        tally.begin()
        return tally

    def _listeners(self, place: Place, voting: Sequence[bytes]) -> list[bytes]:
        """Live members that hold the place without a vote, when there are few enough to tell each."""
        if not self._assignment.all_hold(place) or self._assignment.size() > DIRECT_MEMBERS:
            return []
        return [node for node in self._assignment.others_alive() if node not in voting]

    def _note(self, records: Sequence[Record], tally: Tally) -> None:
        """Remember what is still to reach its majority, forget what has."""
        for index, record in enumerate(records):
            slot = (record.table, record.key)
            if not tally.reached(index) and len(self._pending) < MAX_PENDING:
                self._pending[slot] = record
            elif tally.reached(index) and self._pending.get(slot) == record:
                del self._pending[slot]

    def _is_everywhere(self, record: Record) -> bool:
        return self._assignment.is_everywhere(self._assignment.place_of(record.table, record.key))

    async def _publish(self, encoded: list[bytes]) -> None:
        while encoded:
            count = wire.fitting(list(map(len, encoded)), max_items=wire.MAX_BATCH_RECORDS, max_bytes=_GOSSIP_BYTES)
            message = codec.encode(_GOSSIP, version=1, sender=self._assignment.me, records=encoded[:count])
            try:
                await self._gossip.publish(TOPIC, message)
            except InosError as error:
                log.info("gossip on %s not sent: %s", TOPIC, error)
                return
            encoded = encoded[count:]


def _ignore(_acked: bool) -> None:
    """Nobody counts this one."""


def _decode_gossip(data: bytes) -> list[bytes]:
    with codec.reading(_GOSSIP, data, max_bytes=MAX_GOSSIP_BYTES) as message:
        if message.version != 1 or str(message.which()) != "records":
            raise BadFrame(f"not a message of {TOPIC}")
        at_most(message.records, wire.MAX_BATCH_RECORDS, "records in a gossip message")
        return [bytes(record) for record in message.records]
