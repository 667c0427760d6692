"""The placement table: its rules, and what the rest of replication asks of it.

Who may write: the owner opens a generation by putting an object (and again by putting it after a removal) and ends it
by removing it; any member may change the members within a generation, which is what repair does. Because a generation
outranks everything derived from an older one (`state/lamport.py`), a repair that has not heard of a removal cannot
undo it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inos.core.env import Env
from inos.core.errors import BadInput, InosError, NotFound, Refused
from inos.core.ids import DIGEST_BYTES, Cid
from inos.crypto.signing import SigningKey
from inos.replication.placement import TABLE, Placement, decode_placement, encode_placement
from inos.replication.table_gate import Verdict
from inos.replication.table_writes import Level, WriteResult
from inos.state.lamport import LamportClock, derived, same_generation
from inos.state.record import Record
from inos.state.records import parse_record, sign_record
from inos.state.tables import Scope, TableSpec


def placement_table() -> TableSpec:
    """The table as every node knows it."""
    return TableSpec(TABLE, Scope.SECTORS, _validate, _authorise)


def _validate(record: Record) -> None:
    if len(record.key) != DIGEST_BYTES:
        raise BadInput(f"a placement's key is a cid of {DIGEST_BYTES} bytes, not {len(record.key)}")
    if not record.removed:
        decode_placement(Cid(record.key), record.value)


def _authorise(record: Record, current: Record | None) -> None:
    """A removal ends what only its owner began; a new generation is the owner's; a repair keeps the owner."""
    if current is None:
        return
    if current.removed:
        if record.author != current.author:
            raise Refused("the object was removed by its owner, and only the owner may put it again")
        return
    owner = decode_placement(Cid(current.key), current.value).owner
    if record.removed or not same_generation(record.lamport, current.lamport):
        if record.author != owner:
            raise Refused("only the owner of an object may remove it or put it anew")
    elif decode_placement(Cid(record.key), record.value).owner != owner:
        raise Refused("an object keeps its owner")


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

    async def read(self, table: str, key: bytes) -> Record | None: ...

    async def take(self, encoded: Sequence[bytes]) -> list[Verdict]: ...


class LocalRecords(Protocol):
    def get(self, table: str, key: bytes) -> Record | None: ...


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

    async def found(self, placements: Sequence[Placement]) -> tuple[list[Written], bool]:
        """Write placements of new objects as their owner; and whether a quorum has them all."""
        records = await self._env.in_thread(self._sign_new, placements)
        result = await self._tables.write(records)
        return [_written(record) for record in records], result.level is Level.QUORUM

    async def publish(self, placement: Placement) -> Placement:
        """Write new members for a known object, as this node; the placement as it was written."""
        current = self._records.get(TABLE, bytes(placement.cid))
        if current is None or current.removed:
            raise NotFound(f"the object {placement.cid} is not known here, or was removed")
        lamport = derived(current.lamport)
        record = sign_record(self._node_key, TABLE, bytes(placement.cid), encode_placement(placement), lamport)
        await self._tables.write([record])
        return _written(record).placement

    async def remove(self, cids: Sequence[Cid]) -> bool:
        """Remove objects as their owner; whether a quorum knows."""
        records = await self._env.in_thread(self._sign_removals, cids)
        result = await self._tables.write(records)
        return result.level is Level.QUORUM

    async def accept(self, records: Sequence[bytes]) -> list[Placement | InosError]:
        """Take placement records from another node: the current placement of each object, or why there is none."""
        await self._tables.take(records)
        return [self._current(encoded) for encoded in records]

    def _current(self, encoded: bytes) -> Placement | InosError:
        try:
            claimed = parse_record(encoded).claimed
            placement = self.known(Cid(claimed.key))
        except InosError as error:
            return error
        return placement or NotFound("the object was removed, or its placement was refused")

    def _sign_new(self, placements: Sequence[Placement]) -> list[Record]:
        return [
            sign_record(
                self._owner_key,
                TABLE,
                bytes(placement.cid),
                encode_placement(placement),
                self._generation(placement.cid),
            )
            for placement in placements
        ]

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
