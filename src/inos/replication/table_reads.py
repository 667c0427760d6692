"""Reading a table: from this replica when it can be trusted to be current, else from the nearest, else from a majority.

What a read promises:
- `quorum=True`: every write that was acknowledged at quorum before the read began is seen (two majorities meet).
- otherwise: the answer of one replica that has compared itself with another within a minute; usually the newest, never
  older than what this node already had. A miss is never taken from one replica alone: it is asked of all of them.
- cut off from the others, a replica answers from what it has; a node that is none says Unavailable, unless it wrote
  the record itself.

A removal is a record too and is returned as one: whoever writes the key again must stamp after it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import trio

from inos.core.env import Env
from inos.core.errors import BadInput, InosError, NotEnoughNodes, StorageFull, Unavailable
from inos.replication import table_wire as wire
from inos.replication.table_client import TableClient
from inos.replication.table_gate import Gate
from inos.replication.table_intake import Intake
from inos.replication.table_view import Assignment, Place
from inos.state.merge import newest, precedence
from inos.state.record import Record
from inos.state.tables import Scope
from inos.store.replica import ReplicaReader

# Repairs go on behind the reader's back; a burst of reads must not become a burst of them.
MAX_REPAIRS: Final = 16
# Replicas asked at once for many keys: in a large mesh nearly every key has others.
_ASKED_AT_ONCE: Final = 16

T = TypeVar("T")
Spawn = Callable[[Callable[[], Awaitable[None]]], None]
Repair = Callable[[bytes, Record], None]


@dataclass(frozen=True, slots=True)
class Page:
    """Records by key, removals included; `after` is where the next page begins, None when there is no more."""

    records: list[Record]
    after: bytes | None


@dataclass(frozen=True, slots=True)
class ReplicaPage:
    """What one replica gave for a scan; `more` when it was cut short."""

    records: list[Record]
    more: bool


def merge_pages(pages: Sequence[ReplicaPage], limit: int) -> Page:
    """One page out of several replicas'. Beyond the last key of a page that was cut short its replica has not spoken,
    so the merged page ends at the first such key."""
    ends = [page.records[-1].key for page in pages if page.more and page.records]
    end = min(ends, default=None)
    merged: dict[bytes, Record] = {}
    for record in (record for page in pages for record in page.records):
        if end is None or record.key <= end:
            held = merged.get(record.key)
            merged[record.key] = record if held is None else max(held, record, key=precedence)
    records = [merged[key] for key in sorted(merged)]
    if len(records) > limit:
        return Page(records[:limit], records[limit - 1].key)
    return Page(records, end)


class TableReader:
    """Reads for one node. `repair(node, record)` sends a record to a replica found without it, in the background."""

    def __init__(
        self,
        store: ReplicaReader,
        gate: Gate,
        intake: Intake,
        client: TableClient,
        assignment: Assignment,
        *,
        in_step: Callable[[Place], bool],
        repair: Repair,
        spawn: Spawn,
        env: Env,
    ) -> None:
        self._store = store
        self._gate = gate
        self._intake = intake
        self._client = client
        self._assignment = assignment
        self._in_step = in_step
        self._repair = repair
        self._spawn = spawn
        self._env = env
        self._repairs = 0

    async def read(self, table: str, key: bytes, *, quorum: bool) -> Record | None:
        """The version that holds, a removal included; None when there is none. See the module for how fresh."""
        spec = self._gate.spec(table)
        self._assignment.refresh()
        place = self._assignment.place_of(table, key)
        mine = await self._env.in_thread(self._store.get, table, key)
        if not quorum:
            holder = self._assignment.holds(self._assignment.me, place)
            if spec.scope is Scope.EVERYWHERE or (holder and mine is not None and self._in_step(place)):
                return mine
            if not holder and (found := await self._from_nearest(place, key, mine)) is not None:
                return found
        return await self._from_majority(place, key, mine, strict=quorum)

    async def scan(self, table: str, prefix: bytes, *, after: bytes, limit: int, quorum: bool) -> Page:
        """A page of the keys under `prefix`, which must name the whole partition of a table in sectors."""
        spec = self._gate.spec(table)
        if spec.scope is Scope.SECTORS and len(prefix) < spec.partition_bytes:
            raise BadInput(f"a scan of {table!r} needs a prefix of at least {spec.partition_bytes} bytes")
        self._assignment.refresh()
        place = self._assignment.place_of(table, prefix)
        limit = max(1, min(limit, wire.MAX_SCAN_RECORDS))
        records = await self._env.in_thread(
            partial(self._store.scan, include_removed=True), table, prefix, after, limit
        )
        mine = ReplicaPage(records, len(records) == limit)
        holder = self._assignment.holds(self._assignment.me, place)
        if not quorum and (spec.scope is Scope.EVERYWHERE or (holder and self._in_step(place))):
            return merge_pages([mine], limit)
        request = wire.ScanRequest(table, prefix, after, limit)
        if not quorum and not holder and (page := await self._scan_nearest(place, request)) is not None:
            return merge_pages([page, mine], limit)
        pages = await self._gather(place, lambda node: self._scan_one(node, request), strict=quorum, mine=bool(records))
        return merge_pages([*(page for page, _ in pages.values()), mine], limit)

    async def unlike(self, place: Place, root: bytes) -> list[bytes]:
        """Those that have something else than `root` in a place held here, among enough of its other replicas to make
        a majority. Raises NotEnoughNodes."""
        ours = {place: root}
        answers = await self._gather(place, lambda node: self._client.digests(node, ours), strict=True, mine=True)
        return [node for node, differing in answers.items() if place in differing]

    async def learn(self, table: str, keys: Sequence[bytes]) -> None:
        """Take over later versions of these keys from all of their live replicas."""
        self._assignment.refresh()
        asked: dict[bytes, list[bytes]] = {}
        for key in keys:
            for node in self._assignment.others(self._assignment.place_of(table, key)):
                asked.setdefault(node, []).append(key)
        found: dict[bytes, None] = {}
        limit = trio.CapacityLimiter(_ASKED_AT_ONCE)

        async def ask(node: bytes, part: list[bytes]) -> None:
            async with limit:
                with suppress(InosError):
                    found.update(dict.fromkeys((await self._client.fetch(node, table, part)).records))

        async with trio.open_nursery() as nursery:
            for node, part in asked.items():
                for start in range(0, len(part), wire.MAX_FETCH_KEYS):
                    nursery.start_soon(ask, node, part[start : start + wire.MAX_FETCH_KEYS])
        if found:
            await self._intake.take(list(found))

    async def _from_nearest(self, place: Place, key: bytes, mine: Record | None) -> Record | None:
        """What the nearest replica that is in step has; None when a majority should be asked."""
        for node in self._client.nearest_first(self._assignment.others(place)):
            try:
                found, behind = await self._fetch_one(node, place, key)
            except InosError:
                continue
            if behind or found is None:
                return None
            held = newest((mine, found))
            self._compare_later(place, key, held, asked=node)
            return held
        return None

    async def _from_majority(self, place: Place, key: bytes, mine: Record | None, *, strict: bool) -> Record | None:
        have = mine is not None
        answers = await self._gather(place, lambda node: self._fetch_one(node, place, key), strict=strict, mine=have)
        held = newest((mine, *(record for record, _ in answers.values())))
        if held is None:
            return None
        for node, (record, _) in answers.items():
            if record != held:
                self._repair(node, held)
        if held != mine and self._assignment.holds(self._assignment.me, place):
            with suppress(StorageFull):  # a full disk is no reason not to answer
                await self._intake.take([held.encoded])
        return held

    async def _gather(
        self, place: Place, ask: Callable[[bytes], Awaitable[T]], *, strict: bool, mine: bool
    ) -> dict[bytes, T]:
        """Answers of the other replicas, until there is a majority with this node counted when it is one. Raises
        NotEnoughNodes without one when `strict`, Unavailable when nobody answered and `mine` is all there is not."""
        replicas = self._assignment.replicas(place)
        me_too = self._assignment.me in replicas
        wanted = len(replicas) // 2 + 1 - me_too
        answers: dict[bytes, T] = {}
        async with trio.open_nursery() as nursery:

            async def ask_one(node: bytes) -> None:
                try:
                    answers[node] = await ask(node)
                except InosError:
                    return
                if len(answers) >= wanted:
                    nursery.cancel_scope.cancel()

            for node in self._assignment.others(place) if wanted > 0 else ():
                nursery.start_soon(ask_one, node)
        if strict and len(answers) < wanted:
            have, need = len(answers) + me_too, wanted + me_too
            raise NotEnoughNodes(f"{have} of {need} replicas answered", hint="bring other nodes back and try again")
        if not answers and not me_too and not mine:
            raise Unavailable("no replica of this record can be reached", hint="bring other nodes back and try again")
        return answers

    async def _fetch_one(self, node: bytes, place: Place, key: bytes) -> tuple[Record | None, bool]:
        """(record, whether the replica may miss something). Raises when it gave a record that could not be right."""
        batch = await self._client.fetch(node, place.table, [key])
        for encoded in batch.records[:1]:
            record = await self._env.in_thread(self._gate.check, encoded)
            if (record.table, record.key) == (place.table, key):
                return record, batch.behind
        return None, batch.behind

    async def _scan_nearest(self, place: Place, request: wire.ScanRequest) -> ReplicaPage | None:
        for node in self._client.nearest_first(self._assignment.others(place)):
            try:
                page, behind = await self._scan_one(node, request)
            except InosError:
                continue
            return None if behind else page
        return None

    async def _scan_one(self, node: bytes, request: wire.ScanRequest) -> tuple[ReplicaPage, bool]:
        batch = await self._client.scan(node, request)
        records = await self._env.in_thread(self._check_page, batch.records, request)
        return ReplicaPage(records, batch.more and bool(records)), batch.behind

    def _check_page(self, encoded: Sequence[bytes], request: wire.ScanRequest) -> list[Record]:
        records: list[Record] = []
        last = request.after
        for data in encoded:
            record = self._gate.check(data)
            if record.table != request.table or not record.key.startswith(request.prefix) or record.key <= last:
                raise BadInput("a replica answered a scan with keys out of order or of another range")
            last = record.key
            records.append(record)
        return records

    def _compare_later(self, place: Place, key: bytes, held: Record | None, *, asked: bytes) -> None:
        """Ask one more replica behind the reader's back, and mend whichever of the two is older."""
        others = [node for node in self._assignment.others(place) if node != asked]
        if not others or held is None or self._repairs >= MAX_REPAIRS:
            return
        other = self._env.random.choice(others)

        async def compare() -> None:
            self._repairs += 1
            try:
                found, _ = await self._fetch_one(other, place, key)
            except InosError:
                return
            finally:
                self._repairs -= 1
            best = newest((held, found))
            if best is not None and best != found:
                self._repair(other, best)
            if best is not None and best != held:
                self._repair(asked, best)

        self._spawn(compare)
