"""The way in for every record, whoever brings it: through the gate in a thread, then told to whoever listens.

Own writes that meet share one transaction: a thousand small puts a second would otherwise each wait for a sync of
their own. Owned by the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from inos.core.env import Env
from inos.core.errors import InosError
from inos.crypto.hashing import blake3_digest
from inos.replication.table_gate import Gate, Verdict
from inos.state.record import Record
from inos.state.tables import EVERYWHERE_SECTOR, Scope, TableSpec
from inos.store.replica import ReplicaDigests

RecordHandler = Callable[[Record], object]

# The sync is shared long before this many writes; more only make each of them wait longer.
_MAX_GROUP: Final = 256


@dataclass(slots=True, eq=False)
class _OwnWrite:
    records: Sequence[Record]
    outcome: list[bool] | InosError | None = field(default=None)


class Intake:
    """Feeds one gate and keeps the digest that heartbeats carry."""

    def __init__(self, gate: Gate, digests: ReplicaDigests, specs: Mapping[str, TableSpec], env: Env) -> None:
        self._gate = gate
        self._digests = digests
        self._everywhere = sorted(name for name, spec in specs.items() if spec.scope is Scope.EVERYWHERE)
        self._env = env
        self._handlers: dict[str, list[RecordHandler]] = {name: [] for name in specs}
        self._writes: list[_OwnWrite] = []
        self._turn = trio.Lock()
        self.changed: Callable[[], None] = lambda: None
        """Called when the local replica has changed, before anybody hears of what."""
        self.summary = b""
        """32 bytes over all `everywhere` tables: equal on nodes that hold the same; empty until the first `refresh`."""

    def on_applied(self, table: str, handler: RecordHandler) -> None:
        """`handler` is called, on the event loop, with every record that changed the local replica of `table`."""
        self._handlers[table].append(handler)

    async def take(self, encoded: Sequence[bytes]) -> list[Verdict]:
        """Records from outside."""
        verdicts = await self._env.in_thread(self._gate.admit, encoded)
        await self._tell([verdict.record for verdict in verdicts if verdict.applied and verdict.record is not None])
        return verdicts

    async def write(self, records: Sequence[Record]) -> list[bool]:
        """Records signed here; synced when this returns. Raises what the table's rules say of them."""
        write = _OwnWrite(records)
        self._writes.append(write)
        # Whoever gets the turn does the work of all that wait; shielded, so that none of them is lost with its caller.
        async with self._turn:
            if write.outcome is None:
                with trio.CancelScope(shield=True):
                    await self._commit()
        if isinstance(write.outcome, InosError):
            raise write.outcome
        assert write.outcome is not None
        return write.outcome

    async def current(self, records: Sequence[Record]) -> list[Record]:
        """Those of these that are still what this node has under their key."""
        return await self._env.in_thread(self._gate.current, records)

    async def refresh(self) -> None:
        """Work out the summary again."""
        self.summary = await self._env.in_thread(self._summarise)

    async def _commit(self) -> None:
        group, self._writes = self._writes[:_MAX_GROUP], self._writes[_MAX_GROUP:]
        try:
            outcomes = await self._env.in_thread(self._gate.admit_own, [write.records for write in group])
        except InosError as error:
            outcomes = [type(error)(error.message, hint=error.hint) for _ in group]
        applied: list[Record] = []
        for write, outcome in zip(group, outcomes, strict=True):
            write.outcome = outcome
            if isinstance(outcome, list):
                applied += [record for record, changed in zip(write.records, outcome, strict=True) if changed]
        await self._tell(applied)

    async def _tell(self, records: Sequence[Record]) -> None:
        if records:
            self.changed()
        for record in records:
            for handler in self._handlers[record.table]:
                handler(record)
        if any(record.table in self._everywhere for record in records):
            await self.refresh()

    def _summarise(self) -> bytes:
        roots = [self._digests.roots(table).get(EVERYWHERE_SECTOR, b"") for table in self._everywhere]
        return blake3_digest(b"".join(blake3_digest(root) for root in roots))
