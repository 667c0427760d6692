"""The placement table: its rules, and what the rest of replication asks of it.

Who may write: the owner opens a generation by putting an object (and again by putting it after a removal) and ends it
by removing it; any member may change the members within a generation, which is what repair does. Because a generation
outranks everything derived from an older one (`state/lamport.py`), a repair that has not heard of a removal cannot
undo it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.errors import BadInput, InosError, NotFound, Refused
from inos.core.ids import DIGEST_BYTES, Cid
from inos.crypto.signing import SigningKey, verify
from inos.replication.placement import TABLE, Placement, decode_placement, encode_placement
from inos.replication.table_gate import Verdict
from inos.replication.table_writes import Level, WriteResult
from inos.state.lamport import GENERATION, LamportClock, derived
from inos.state.record import Record
from inos.state.records import parse_record, sign_record
from inos.state.tables import Scope, TableSpec

_PAGE: Final = 500
AboutTo = Callable[[Sequence[Placement]], Awaitable[None]]
GRANT_CONTEXT: Final = b"inos placement v1"


def placement_table() -> TableSpec:
    """The table as every node knows it."""
    return TableSpec(TABLE, Scope.SECTORS, _validate, _authorise)


def _validate(record: Record) -> None:
    """What can be told from the record alone: that it is a placement its owner wrote, or allowed by a grant."""
    if len(record.key) != DIGEST_BYTES:
        raise BadInput(f"a placement's key is a cid of {DIGEST_BYTES} bytes, not {len(record.key)}")
    if record.removed:
        return
    placement = decode_placement(Cid(record.key), record.value)
    text = placement.granted_text(record.lamport // GENERATION)
    if record.author != placement.owner and not verify(placement.owner, GRANT_CONTEXT, text, placement.grant):
        raise Refused("a placement its owner neither wrote nor granted")


def _authorise(record: Record, current: Record | None) -> None:
    """An object keeps its owner, and only the owner removes it, whatever a replica has seen or missed in between."""
    if current is None:
        return
    if _owner_in(record) != _owner_in(current):
        raise Refused("only the owner of an object may remove it or put it anew")


def _owner_in(record: Record) -> bytes:
    return record.author if record.removed else bytes(decode_placement(Cid(record.key), record.value).owner)


@dataclass(frozen=True, slots=True)
class Written:
    """A placement as it was written, and the encoded record that says so."""

    placement: Placement
    record: bytes


class Tables(Protocol):
    """The replicated tables, as far as placements need them."""

    @property
    def clock(self) -> LamportClock: ...

    async def write(self, records: Sequence[Record]) -> WriteResult: ...

    async def read(self, table: str, key: bytes, *, quorum: bool = False) -> Record | None: ...

    async def learn(self, table: str, keys: Sequence[bytes]) -> None: ...

    async def take(self, encoded: Sequence[bytes]) -> list[Verdict]: ...

    def holds(self, table: str, key: bytes) -> bool: ...


class LocalRecords(Protocol):
    def get(self, table: str, key: bytes) -> Record | None: ...

    def scan(self, table: str, prefix: bytes, after: bytes, limit: int) -> list[Record]: ...


class Placements:
    """Reads and writes placements for one node and its owner."""

    def __init__(
        self, tables: Tables, records: LocalRecords, owner_key: SigningKey, node_key: SigningKey, env: Env
    ) -> None:
        self._tables = tables
        self._records = records
        self._owner_key = owner_key
        self._node_key = node_key
        self._env = env

    def known(self, cid: Cid) -> Placement | None:
        """The placement in this node's replica; None when unknown or removed. Blocks, for microseconds."""
        return _placement_in(self._records.get(TABLE, bytes(cid)))

    def naming(self, member: bytes) -> Iterator[Placement]:
        """The placements in this node's replica that name `member`, in bounded pages. Blocks."""
        return (placement for placement in self._all(b"") if member in placement.members)

    def owned(self, after: bytes) -> Iterator[Placement]:
        """The placements in this node's replica that are its owner's, behind that cid, in order. Blocks."""
        return (placement for placement in self._all(after) if placement.owner == self._owner_key.public_key)

    def _all(self, after: bytes) -> Iterator[Placement]:
        while records := self._records.scan(TABLE, b"", after, _PAGE):
            after = records[-1].key
            yield from filter(None, map(_placement_in, records))

    def removed(self, cid: Cid) -> bool:
        """Whether this node knows the object to be removed."""
        record = self._records.get(TABLE, bytes(cid))
        return record is not None and record.removed

    def record_of(self, cid: Cid) -> bytes | None:
        """The encoded record of the current placement."""
        record = self._records.get(TABLE, bytes(cid))
        return None if record is None or record.removed else record.encoded

    async def find(self, cid: Cid) -> Placement | None:
        """The placement, here or from the replicas of its sector; None when unknown. Raises NotFound when removed."""
        record = self._records.get(TABLE, bytes(cid))
        if record is None:
            record = await self._tables.read(TABLE, bytes(cid))
        if record is not None and record.removed:
            raise NotFound(f"the object {cid} was removed", hint="its owner removed it with 'inos rm'")
        return _placement_in(record)

    async def latest(self, cid: Cid) -> Placement | None:
        """The placement that a majority knows; None when there is none, or the object was removed. NotEnoughNodes."""
        return _placement_in(await self._tables.read(TABLE, bytes(cid), quorum=True))

    async def found(
        self, placements: Sequence[Placement], about_to: AboutTo | None = None
    ) -> tuple[list[Written], bool]:
        """Write placements of new objects as their owner; and whether a quorum has them all. `about_to` hears of them
        as they will be, before each time they are written."""
        records, agreed = await self._found(placements, about_to)
        if not agreed and await self._outdone(records):
            # Written in ignorance of a later removal: now that it is known, write after it.
            records, agreed = await self._found(placements, about_to)
        return [_written(record) for record in records], agreed

    async def _found(self, placements: Sequence[Placement], about_to: AboutTo | None) -> tuple[list[Record], bool]:
        records = await self._env.in_thread(self._sign_new, placements)
        if about_to is not None:
            await about_to([_written(record).placement for record in records])
        return records, await self._written(records)

    def surely_absent(self, cid: Cid) -> bool:
        """Whether this node, which is kept up to date about it, knows of no such object. Blocks, for microseconds."""
        return self.known(cid) is None and self._tables.holds(TABLE, bytes(cid))

    async def publish(self, placements: Sequence[Placement]) -> list[Written]:
        """Write new members for known objects, as this node, in one write; those as they were written whose placement
        has not changed meanwhile, in order."""
        records = await self._env.in_thread(self._sign_moves, placements)
        if records:
            await self._tables.write(records)
        return [_written(record) for record in records]

    async def remove(self, cids: Sequence[Cid]) -> bool:
        """Remove objects as their owner; whether a quorum knows."""
        records = await self._env.in_thread(self._sign_removals, cids)
        agreed = await self._written(records)
        if not agreed and await self._outdone(records):
            agreed = await self._written(await self._env.in_thread(self._sign_removals, cids))
        return agreed

    async def refresh(self, cids: Sequence[Cid]) -> None:
        """Learn what the replicas know of these objects, but for those about which this node hears anyway."""
        await self._tables.learn(TABLE, [bytes(cid) for cid in cids if not self._tables.holds(TABLE, bytes(cid))])

    async def _outdone(self, records: Sequence[Record]) -> bool:
        """Whether the replicas, or this node by now, know something later than one of these."""
        await self._learn([Cid(record.key) for record in records])
        return await self._env.in_thread(lambda: any(self._records.get(TABLE, r.key) != r for r in records))

    async def _written(self, records: Sequence[Record]) -> bool:
        return (await self._tables.write(records)).level is Level.QUORUM

    async def _learn(self, cids: Sequence[Cid]) -> None:
        """Take over versions that the replicas have and this node has not."""
        for cid in cids:
            try:
                record = await self._tables.read(TABLE, bytes(cid), quorum=True)
            except InosError:
                return  # cut off: what is here is all there is to know
            if record is not None and record != self._records.get(TABLE, bytes(cid)):
                await self._tables.take([record.encoded])

    async def accept(self, records: Sequence[bytes]) -> list[Placement | InosError]:
        """Take placement records from another node: the current placement of each object, or why there is none."""
        await self._tables.take(records)
        return await self._env.in_thread(lambda: [self._current(encoded) for encoded in records])

    async def known_all(self, cids: Sequence[Cid]) -> list[Placement | None]:
        """As `known`, for many."""
        return await self._env.in_thread(lambda: [self.known(cid) for cid in cids])

    def _current(self, encoded: bytes) -> Placement | InosError:
        try:
            claimed = parse_record(encoded).claimed
            placement = self.known(Cid(claimed.key))
        except InosError as error:
            return error
        return placement or NotFound("the object was removed, or its placement was refused")

    def _sign_new(self, placements: Sequence[Placement]) -> list[Record]:
        records = []
        for placement in placements:
            lamport = self._generation(placement.cid)
            grant = self._owner_key.sign(GRANT_CONTEXT, placement.granted_text(lamport // GENERATION))
            value = encode_placement(replace(placement, grant=grant))
            records.append(sign_record(self._owner_key, TABLE, bytes(placement.cid), value, lamport))
        return records

    def _sign_moves(self, placements: Sequence[Placement]) -> list[Record]:
        records = []
        for placement in placements:
            current = self._records.get(TABLE, bytes(placement.cid))
            if current is not None and not current.removed and current.lamport == placement.epoch:
                value, lamport = encode_placement(placement), derived(current.lamport)
                records.append(sign_record(self._node_key, TABLE, bytes(placement.cid), value, lamport))
        return records

    def _sign_removals(self, cids: Sequence[Cid]) -> list[Record]:
        return [
            sign_record(self._owner_key, TABLE, bytes(cid), b"", self._generation(cid), removed=True) for cid in cids
        ]

    def _generation(self, cid: Cid) -> int:
        current = self._records.get(TABLE, bytes(cid))
        return self._tables.clock.open_generation(current.lamport if current is not None else 0)


def _placement_in(record: Record | None) -> Placement | None:
    if record is None or record.removed:
        return None
    return decode_placement(Cid(record.key), record.value, record.lamport)


def _written(record: Record) -> Written:
    return Written(decode_placement(Cid(record.key), record.value, record.lamport), record.encoded)
