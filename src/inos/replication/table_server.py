"""Answering other replicas: the table calls, served to members.

Rules: every answer fits in one frame and every request is bounded before it is worked on; only so many pushes wait for
the gate at once, the rest are told to come back. What a replica serves it serves whether or not the asker thinks it
should have it; `behind` says that it may miss something.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from inos.core.env import Env
from inos.core.errors import Busy, TooLarge
from inos.core.ids import PeerId
from inos.mesh.network import Calls, Message
from inos.replication import table_wire as wire
from inos.replication.table_gate import Gate
from inos.replication.table_intake import Intake
from inos.replication.table_view import Place
from inos.state.record import Record
from inos.store.replica import Replica

# 32 full batches hold 32 MiB and take the gate eight seconds: beyond that the callers have given up anyway.
MAX_WAITING_PUSHES: Final = 32

InStep = Callable[[Place], bool]
Answer = Callable[[bytes], Awaitable[bytes]]


class TableServer:
    """Serves one store."""

    def __init__(self, store: Replica, gate: Gate, intake: Intake, in_step: InStep, env: Env) -> None:
        self._store = store
        self._gate = gate
        self._intake = intake
        self._in_step = in_step
        self._env = env
        self._pushes = 0

    def register(self, calls: Calls) -> None:
        """Answer the table calls from now on."""
        answers: dict[str, Answer] = {
            wire.PUSH: self._push,
            wire.DIGESTS: self._digests,
            wire.BUCKETS: self._buckets,
            wire.ENTRIES: self._entries,
            wire.FETCH: self._fetch,
            wire.SCAN: self._scan,
        }
        for method, answer in answers.items():
            calls.serve(method, _handler(answer))

    async def _push(self, payload: bytes) -> bytes:
        batch = wire.decode_batch(payload)
        if self._pushes >= MAX_WAITING_PUSHES:
            raise Busy("too many records are waiting to be checked here")
        self._pushes += 1
        try:
            verdicts = await self._intake.take(batch.records)
        finally:
            self._pushes -= 1
        refused = {at: verdict.refusal for at, verdict in enumerate(verdicts) if verdict.refusal}
        return wire.encode_push_answer(sum(verdict.applied for verdict in verdicts), refused)

    async def _digests(self, payload: bytes) -> bytes:
        asked = wire.decode_digests(payload)
        for place in asked:
            self._gate.spec(place.table)
        tables = sorted({place.table for place in asked})
        roots = await self._env.in_thread(lambda: {table: self._store.roots(table) for table in tables})
        ours = {place: roots[place.table].get(place.sector, b"") for place in asked}
        return wire.encode_digests({place: ours[place] for place, root in asked.items() if ours[place] != root})

    async def _buckets(self, payload: bytes) -> bytes:
        place = wire.decode_bucket_request(payload)
        self._gate.spec(place.table)
        return wire.encode_buckets(await self._env.in_thread(self._store.buckets, *place))

    async def _entries(self, payload: bytes) -> bytes:
        place, buckets = wire.decode_entry_request(payload)
        self._gate.spec(place.table)
        entries = await self._env.in_thread(self._store.entries, *place, buckets)
        size = sum(len(one.key) + len(one.digest) + wire.ENTRY_OVERHEAD_BYTES for one in entries)
        if size > wire.MAX_ENTRIES_BYTES:
            raise TooLarge(f"{len(entries)} entries do not fit in one answer", hint="ask for fewer buckets")
        return wire.encode_entries(entries)

    async def _fetch(self, payload: bytes) -> bytes:
        table, keys = wire.decode_fetch(payload)
        spec = self._gate.spec(table)
        records = await self._env.in_thread(self._store.get_many, table, sorted(set(keys)))
        sectors = {spec.sector_of(key) for key in keys}
        return self._batch(records, not all(self._in_step(Place(table, sector)) for sector in sectors), more=False)

    async def _scan(self, payload: bytes) -> bytes:
        request = wire.decode_scan(payload)
        spec = self._gate.spec(request.table)
        scan = partial(self._store.scan, include_removed=True)
        records = await self._env.in_thread(scan, request.table, request.prefix, request.after, request.limit)
        place = Place(request.table, spec.sector_of(request.prefix))
        return self._batch(records, not self._in_step(place), more=len(records) == request.limit)

    def _batch(self, records: list[Record], behind: bool, more: bool) -> bytes:
        encoded = [record.encoded for record in records]
        count = wire.fitting([len(one) for one in encoded], max_items=wire.MAX_BATCH_RECORDS)
        return wire.encode_batch(wire.Batch(encoded[:count], behind, more or count < len(encoded)))


def _handler(answer: Answer) -> Callable[[PeerId, Message], Awaitable[Message]]:
    async def handle(_peer: PeerId, request: Message) -> Message:
        return Message(await answer(request.payload))

    return handle
