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
from inos.state.lamport import LamportClock
from inos.state.merge import supersedes
from inos.state.record import Record
from inos.state.records import Unverified, parse_record
from inos.state.tables import TableSpec
from inos.store.replica import Replica

SUPERSEDED: Final = "superseded"

_Slot = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one record: `applied` when it changed the replica; `refusal` is an error code, empty when the
    replica now has this very version, SUPERSEDED when it has a later one: then whoever wrote this did not know what
    it replaces, and must not take it for written. `record` is None when the bytes are no record."""

    record: Record | None
    applied: bool = False
    refusal: str = ""


def _known_already(record: Record, current: Record | None) -> Verdict:
    return Verdict(record, refusal="" if current == record else SUPERSEDED)


class Gate:
    """Guards one store. Safe from several threads."""

    def __init__(self, store: Replica, specs: Mapping[str, TableSpec], clock: LamportClock) -> None:
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
        verdicts = self._examine(encoded)
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
            held = self._held([record for records in writes for record in records])
            for records in writes:
                try:
                    for record in records:
                        self.judge(record, held.get(_slot(record)))
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

    def current(self, records: Sequence[Record]) -> list[Record]:
        """Those of these that are still the version held."""
        held = self._held(records)
        return [record for record in records if held.get(_slot(record)) == record]

    def judge(self, record: Record, current: Record | None) -> None:
        """Raises what the table's rules say of `record` in place of `current`."""
        spec = self.spec(record.table)
        spec.validate(record)
        spec.authorise(record, current)

    def _examine(self, encoded: Sequence[bytes]) -> list[Verdict]:
        """Everything but authority: `applied` for those that are news here and well signed."""
        parsed = [_parsed(data) for data in encoded]
        held = self._held([one.claimed for one in parsed if isinstance(one, Unverified)])
        verdicts: list[Verdict] = []
        for one in parsed:
            try:
                if isinstance(one, InosError):
                    raise one
                spec = self.spec(one.claimed.table)
                if supersedes(one.claimed, held.get(_slot(one.claimed))):
                    spec.validate(one.verified())
                    verdicts.append(Verdict(one.claimed, applied=True))
                else:
                    verdicts.append(_known_already(one.claimed, held.get(_slot(one.claimed))))
            except InosError as error:
                verdicts.append(Verdict(None, refusal=error.code))
        return verdicts

    def _apply(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Authorise and store, with the lock held, so that nothing changes in between."""
        records = [verdict.record for verdict in verdicts if verdict.record is not None]
        held = self._held(records)
        judged = [self._authorise(record, held) for record in records]
        applied = iter(
            self._store_all([verdict.record for verdict in judged if verdict.record and not verdict.refusal])
        )
        return [verdict if verdict.refusal else Verdict(verdict.record, next(applied)) for verdict in judged]

    def _authorise(self, record: Record, held: dict[_Slot, Record]) -> Verdict:
        """Against what is held, earlier records of the same batch included."""
        current = held.get(_slot(record))
        if not supersedes(record, current):
            return _known_already(record, current)
        try:
            self._specs[record.table].authorise(record, current)
        except InosError as error:
            return Verdict(record, refusal=error.code)
        held[_slot(record)] = record
        return Verdict(record)

    def _held(self, records: Sequence[Record]) -> dict[_Slot, Record]:
        """What the replica has of the keys of these."""
        keys: dict[str, list[bytes]] = {}
        for record in records:
            keys.setdefault(record.table, []).append(record.key)
        return {_slot(found): found for table in keys for found in self._store.get_many(table, keys[table])}

    def _store_all(self, records: Sequence[Record]) -> list[bool]:
        if not records:
            return []
        applied = self._store.apply(records, [self._specs[record.table].sector_of(record.key) for record in records])
        for record in records:
            self._clock.observe(record.lamport)
        return applied


def _slot(record: Record) -> _Slot:
    return record.table, record.key


def _parsed(data: bytes) -> Unverified | InosError:
    try:
        return parse_record(data)
    except InosError as error:
        return error
