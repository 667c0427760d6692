"""The gate: what a record must pass before it changes this node's replica.

    known already? -> signature -> validate (its table) -> authorise (against the version it would replace) -> apply

Rules: nothing from outside reaches the store by another way. One batch is one transaction. What is already known, or
older than what is, is dropped before its signature is looked at: that check costs four times everything else, and
gossip and stragglers bring the same record many times. Everything here blocks; run it in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from inos.core.errors import BadInput, InosError
from inos.replication.table_view import RecordStore
from inos.state.lamport import LamportClock
from inos.state.merge import newest, supersedes
from inos.state.record import Record
from inos.state.records import parse_record
from inos.state.tables import TableSpec

_Slot = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one record: `applied` when it changed the replica; `refusal` is an error code, empty when the
    replica now has this version or a newer one. `record` is None when the bytes are no record."""

    record: Record | None
    applied: bool = False
    refusal: str = ""


class Gate:
    """Guards one store. Safe from several threads."""

    def __init__(self, store: RecordStore, specs: Mapping[str, TableSpec], clock: LamportClock) -> None:
        self._store = store
        self._specs = specs
        self._clock = clock
        self._lock: Final = Lock()

    def spec(self, table: str) -> TableSpec:
        """Raises BadInput for a table this node does not have."""
        found = self._specs.get(table)
        if found is None:
            raise BadInput(f"there is no table {table[:32]!r}", hint="the peer may run another release")
        return found

    def admit(self, encoded: Sequence[bytes]) -> list[Verdict]:
        """Judge and apply records from outside; one verdict each, in order."""
        verdicts = [self._examine(data) for data in encoded]
        fresh = [at for at, verdict in enumerate(verdicts) if verdict.applied]
        if fresh:
            with self._lock:
                for at, verdict in zip(fresh, self._apply([verdicts[at] for at in fresh]), strict=True):
                    verdicts[at] = verdict
        return verdicts

    def admit_own(self, writes: Sequence[Sequence[Record]]) -> list[list[bool] | InosError]:
        """Apply records signed here, several writes in one transaction. A write is applied whole or not at all; its
        outcome is which records changed the replica, or why it was not allowed."""
        with self._lock:
            outcomes: list[list[bool] | InosError] = []
            allowed: list[Record] = []
            for records in writes:
                try:
                    for record in records:
                        self.judge(record, self._store.get(record.table, record.key))
                except InosError as error:
                    outcomes.append(error)
                else:
                    allowed.extend(records)
                    outcomes.append([])
            applied = iter(self._store_all(allowed))
            for records, outcome in zip(writes, outcomes, strict=True):
                if isinstance(outcome, list):
                    outcome.extend(next(applied) for _ in records)
            return outcomes

    def check(self, encoded: bytes) -> Record:
        """The record in `encoded`, when this replica would take it or has it or a newer one; nothing is applied.
        Raises BadInput or Refused."""
        record = parse_record(encoded).verified()
        current = self._store.get(record.table, record.key)
        if supersedes(record, current):
            self.judge(record, current)
        return record

    def judge(self, record: Record, current: Record | None) -> None:
        """Raises what the table's rules say of `record` in place of `current`."""
        spec = self.spec(record.table)
        spec.validate(record)
        spec.authorise(record, current)

    def _examine(self, data: bytes) -> Verdict:
        try:
            unverified = parse_record(data)
            claimed = unverified.claimed
            spec = self.spec(claimed.table)
            if not supersedes(claimed, self._store.get(claimed.table, claimed.key)):
                return Verdict(claimed)
            record = unverified.verified()
            spec.validate(record)
        except InosError as error:
            return Verdict(None, refusal=error.code)
        return Verdict(record, applied=True)

    def _apply(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Authorise and store, with the lock held, so that nothing changes in between."""
        held: dict[_Slot, Record] = {}
        out: list[Verdict] = []
        for verdict in verdicts:
            record = verdict.record
            assert record is not None
            slot = (record.table, record.key)
            current = newest((held.get(slot), self._store.get(*slot)))
            try:
                if supersedes(record, current):
                    self._specs[record.table].authorise(record, current)
                    held[slot] = record
                out.append(verdict)
            except InosError as error:
                out.append(Verdict(record, refusal=error.code))
        stored = [verdict.record for verdict in out if verdict.record is not None and not verdict.refusal]
        applied = iter(self._store_all(stored))
        return [verdict if verdict.refusal else Verdict(verdict.record, next(applied)) for verdict in out]

    def _store_all(self, records: Sequence[Record]) -> list[bool]:
        if not records:
            return []
        applied = self._store.apply(records, [self._specs[record.table].sector_of(record.key) for record in records])
        for record in records:
            self._clock.observe(record.lamport)
        return applied
