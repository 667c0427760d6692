"""Asking the members of an object to hold it, this node among them, and collecting what each really has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import trio

from inos.core.crew import open_tasks
from inos.core.errors import InosError, StorageFull
from inos.core.ids import Cid, PeerId
from inos.mesh.network import MAX_BODY_BYTES, Calls
from inos.replication.bulk import Chunk
from inos.replication.hold_calls import MAX_HOLDS, UNFINISHED, HoldRequest, call_hold, call_states
from inos.replication.holder import HoldState
from inos.replication.placement import Placement
from inos.replication.placements import Written

_STALLS_ALLOWED: Final = 3  # answers without progress before a member is left for a later round
# How long a caller that has what it needs still waits for the slower members.
_STRAGGLERS_S: Final = 2.0
# What one object takes in a call's payload beside its chunks: its placement record, with ten members or so.
_RECORD_ROOM_BYTES: Final = 1024

States = dict[bytes, HoldState]


class OwnHolding(Protocol):
    async def take(self, placements: Sequence[Placement], chunks: Sequence[Chunk] = ()) -> list[HoldState]: ...

    async def hold(self, placement: Placement) -> HoldState: ...


class Liveness(Protocol):
    def alive(self, member: bytes) -> bool: ...


class HoldCaller:
    """Calls `object.hold` on every live member of a placement. `me` is this node's public key."""

    def __init__(self, me: bytes, own: OwnHolding, calls: Calls, liveness: Liveness) -> None:
        self._me = me
        self._own = own
        self._calls = calls
        self._liveness = liveness

    async def everywhere(
        self,
        written: Written,
        chunks: Sequence[Chunk] = (),
        enough: Callable[[States], bool] | None = None,
    ) -> States:
        """The last answer of each member that answered; `chunks` (one frame's worth) travel along.

        With `enough`, stragglers are waited for only a little once it is true.
        """
        states: States = {}
        satisfied = trio.Event()

        async def one(member: bytes) -> None:
            state = await self._at(member, written, chunks)
            if state is not None:
                states[member] = state
                if enough is not None and enough(states):
                    satisfied.set()

        async with open_tasks() as nursery:
            async with trio.open_nursery() as asking:
                nursery.start_soon(_cancel_late, satisfied, asking.cancel_scope)
                for member in written.placement.members:
                    if member == self._me or self._liveness.alive(member):
                        asking.start_soon(one, member)
            nursery.cancel_scope.cancel()
        return states

    async def many(self, written: Sequence[Written], chunks: Sequence[Sequence[Chunk]]) -> list[States]:
        """As `everywhere` for many small objects at once, in as few calls as frames allow; states in order."""
        wanted: dict[bytes, list[int]] = {}
        for number, entry in enumerate(written):
            for member in entry.placement.members:
                wanted.setdefault(member, []).append(number)
        states: list[States] = [{} for _ in written]

        async def at(member: bytes, numbers: Sequence[int]) -> None:
            if member == self._me:
                found = await self._own.take([written[number].placement for number in numbers])
                for number, state in zip(numbers, found, strict=True):
                    states[number][member] = state
                return
            for run in _runs(numbers, chunks):
                requests = [HoldRequest(written[number].record, tuple(chunks[number])) for number in run]
                for number, state in zip(run, await self.batch_at(member, requests), strict=False):
                    states[number][member] = state

        async with open_tasks() as nursery:
            for member, numbers in wanted.items():
                if member == self._me or self._liveness.alive(member):
                    nursery.start_soon(at, member, numbers)
        return states

    async def states(self, placements: Sequence[Placement]) -> dict[tuple[bytes, Cid], HoldState]:
        """What each live member has of these objects, by (member, cid), in one question a member and MAX_HOLDS."""
        asked: dict[bytes, list[Cid]] = {}
        for placement in placements:
            for member in placement.members:
                asked.setdefault(member, []).append(placement.cid)
        found: dict[tuple[bytes, Cid], HoldState] = {}

        async def ask(member: bytes, cids: Sequence[Cid]) -> None:
            for start in range(0, len(cids), MAX_HOLDS):
                part = cids[start : start + MAX_HOLDS]
                try:
                    states = await call_states(self._calls, PeerId.from_public_key(member), part)
                except InosError:
                    return
                found.update({(member, state.cid): state for state in states})

        async def ask_own(member: bytes) -> None:
            try:
                mine = await self._own.take([one for one in placements if member in one.members])
            except InosError:
                return
            found.update({(member, state.cid): state for state in mine})

        async with trio.open_nursery() as nursery:
            for member, cids in asked.items():
                if member == self._me:
                    nursery.start_soon(ask_own, member)
                elif self._liveness.alive(member):
                    nursery.start_soon(ask, member, cids)
        return found

    async def at(self, member: bytes, written: Written) -> HoldState | None:
        """Have one member hold the object; None when it cannot be asked."""
        return await self._at(member, written, ())

    async def batch_at(self, member: bytes, requests: Sequence[HoldRequest]) -> list[HoldState]:
        """Have another node hold many small objects; empty when it cannot be asked."""
        try:
            return await call_hold(self._calls, PeerId.from_public_key(member), requests)
        except InosError:
            return []

    async def _at(self, member: bytes, written: Written, chunks: Sequence[Chunk]) -> HoldState | None:
        """Ask one member until it holds all of its pieces, stops making progress, or goes away."""
        placement = written.placement
        if member == self._me:
            try:
                (state,) = await self._own.take([placement], chunks)
            except StorageFull as error:
                return HoldState(placement.cid, 0, 0, error.code, placement.epoch)
            return state if state.completes(placement) else await self._own.hold(placement)
        best, stalls = -1, 0
        latest: HoldState | None = None
        while stalls < _STALLS_ALLOWED:
            request = HoldRequest(written.record, tuple(chunks))
            try:
                (latest,) = await call_hold(self._calls, PeerId.from_public_key(member), [request])
            except StorageFull as error:
                return HoldState(placement.cid, 0, 0, error.code, placement.epoch)
            except (InosError, ValueError):
                return latest
            if latest.completes(written.placement) or (latest.error and latest.error != UNFINISHED):
                return latest
            stalls = 0 if latest.held > best else stalls + 1
            best = max(best, latest.held)
            chunks = ()
        return latest


async def _cancel_late(satisfied: trio.Event, scope: trio.CancelScope) -> None:
    await satisfied.wait()
    await trio.sleep(_STRAGGLERS_S)
    scope.cancel()


def _runs(numbers: Sequence[int], chunks: Sequence[Sequence[Chunk]]) -> Iterator[list[int]]:
    """Numbers of objects whose records and chunks fit one call together, in order."""
    run: list[int] = []
    size = 0
    for number in numbers:
        weight = _RECORD_ROOM_BYTES + sum(len(data) for _, data in chunks[number])
        if run and (size + weight > MAX_BODY_BYTES or len(run) >= MAX_HOLDS):
            yield run
            run, size = [], 0
        run.append(number)
        size += weight
    if run:
        yield run
