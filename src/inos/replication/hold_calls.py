"""`object.hold` and `object.state` on the wire, and the server side of both.

One call carries many objects: a HoldBatch in the payload, and in the body the chunks of all of them end to end.
Holding a large object may take longer than a call may last; the answer then tells how far it has come, the work goes
on, and the caller asks again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import trio

from inos.core.codec import encode, reading
from inos.core.crew import Crew
from inos.core.errors import BadFrame, InosError, NotFound
from inos.core.ids import Address, Cid, PeerId
from inos.mesh.network import MAX_PAYLOAD_BYTES, Calls, Message
from inos.replication.bulk import Chunk, batch_fields, cut_body
from inos.replication.holder import HoldState
from inos.replication.placement import Placement

HOLD, STATE = "object.hold", "object.state"
_HOLD: Final = "p2p/chunks.capnp:HoldBatch"
_ANSWER: Final = "p2p/chunks.capnp:HoldAnswer"
_STATES: Final = "p2p/chunks.capnp:StateRequest"
MAX_HOLDS: Final = 512  # objects a call
HOLD_WAIT_S: Final = 8.0  # a call answers by then, done or not
HOLD_TIMEOUT_S: Final = HOLD_WAIT_S + 7.0
UNFINISHED: Final = "unfinished"  # the error code of a state that is still being worked on


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Hold this object: the encoded placement record, and chunks that come along."""

    record: bytes
    chunks: tuple[Chunk, ...] = ()
    fetch: bool = True


class Holding(Protocol):
    async def take(self, placements: Sequence[Placement], chunks: Sequence[Chunk] = ()) -> list[HoldState]: ...

    async def hold(self, placement: Placement) -> HoldState: ...

    async def states(self, placements: Sequence[Placement]) -> list[HoldState]: ...

    async def state(self, placement: Placement, *, verify: bool = False) -> HoldState: ...


class PlacementInbox(Protocol):
    """The placement table, as the holding side uses it."""

    async def accept(self, records: Sequence[bytes]) -> list[Placement | InosError]:
        """Check, store and return the current placement of each record's object, in order."""

    async def known_all(self, cids: Sequence[Cid]) -> list[Placement | None]: ...


async def call_hold(calls: Calls, peer: PeerId, requests: Sequence[HoldRequest]) -> list[HoldState]:
    """Ask `peer` to hold these objects (their bodies must fit one frame together)."""
    fields = [
        {"placement": request.record, "chunks": batch_fields(request.chunks), "fetch": request.fetch}
        for request in requests
    ]
    body = b"".join(data for request in requests for _, data in request.chunks)
    answer = await calls.call(peer, HOLD, Message(encode(_HOLD, requests=fields), body), timeout_s=HOLD_TIMEOUT_S)
    return decode_states(answer.payload)


async def call_states(calls: Calls, peer: PeerId, cids: Sequence[Cid], *, verify: bool = False) -> list[HoldState]:
    """What `peer` has of these objects, in order."""
    payload = encode(_STATES, cids=[bytes(cid) for cid in cids], verify=verify)
    answer = await calls.call(peer, STATE, Message(payload), timeout_s=HOLD_TIMEOUT_S)
    return decode_states(answer.payload)


def encode_states(states: Sequence[HoldState]) -> bytes:
    fields = [
        {
            "cid": bytes(state.cid),
            "held": state.held,
            "assigned": state.assigned,
            "error": state.error,
            "epoch": state.epoch,
        }
        for state in states
    ]
    return encode(_ANSWER, states=fields)


def decode_states(payload: bytes) -> list[HoldState]:
    with reading(_ANSWER, payload, max_bytes=MAX_PAYLOAD_BYTES) as r:
        return [HoldState(Cid(state.cid), state.held, state.assigned, state.error, state.epoch) for state in r.states]


def decode_holds(payload: bytes, body: bytes) -> list[HoldRequest]:
    with reading(_HOLD, payload, max_bytes=MAX_PAYLOAD_BYTES) as r:
        if len(r.requests) > MAX_HOLDS:
            raise BadFrame(f"{len(r.requests)} objects in one call, over the limit of {MAX_HOLDS}")
        requests = []
        start = 0
        for item in r.requests:
            chunks, start = _cut(item.chunks, body, start)
            requests.append(HoldRequest(bytes(item.placement), tuple(chunks), item.fetch))
    return requests


def decode_asked(payload: bytes) -> tuple[list[Cid], bool]:
    """The objects whose states are asked for, and whether to check every byte."""
    with reading(_STATES, payload, max_bytes=MAX_PAYLOAD_BYTES) as r:
        if len(r.cids) > MAX_HOLDS:
            raise BadFrame(f"{len(r.cids)} objects in one call, over the limit of {MAX_HOLDS}")
        return [Cid(cid) for cid in r.cids], r.verify


def _cut(batch: Any, body: bytes, start: int) -> tuple[list[Chunk], int]:
    return cut_body([Address(address) for address in batch.addresses], list(batch.sizes), body, start)


class HoldServer:
    """Answers both methods. Work that outlasts a call goes on in `crew`."""

    def __init__(self, holding: Holding, inbox: PlacementInbox, crew: Crew) -> None:
        self._holding = holding
        self._inbox = inbox
        self._crew = crew
        self._working: dict[Cid, _Work] = {}

    def register(self, calls: Calls) -> None:
        calls.serve(HOLD, self._hold)
        calls.serve(STATE, self._state)

    async def _hold(self, _peer: PeerId, request: Message) -> Message:
        requests = decode_holds(request.payload, request.body)
        inbox = await self._inbox.accept([hold.record for hold in requests])
        placements = [placement for placement in inbox if isinstance(placement, Placement)]
        chunks = [chunk for hold in requests for chunk in hold.chunks]
        states = {state.cid: state for state in await self._holding.take(placements, chunks)}
        fetching = [
            placement
            for hold, placement in zip(requests, inbox, strict=True)
            if hold.fetch and isinstance(placement, Placement) and not states[placement.cid].completes(placement)
        ]
        await self._finish(fetching, states)
        return Message(encode_states([_state_for(placement, states) for placement in inbox]))

    async def _finish(self, placements: Sequence[Placement], states: dict[Cid, HoldState]) -> None:
        """Hold these the long way, for as long as a call may take, into `states`; the rest goes on in the background,
        and its state stays what was counted before, so that whoever asks again sees how it comes along.
        """
        works = [self._work_on(placement) for placement in placements]
        with trio.move_on_after(HOLD_WAIT_S):
            for work in works:
                await work.done.wait()
        for placement, work in zip(placements, works, strict=True):
            counted = states[placement.cid]
            states[placement.cid] = work.state or replace(counted, error=UNFINISHED)

    def _work_on(self, placement: Placement) -> _Work:
        """The work on this object, begun unless it is under way."""
        work = self._working.get(placement.cid)
        if work is None:
            work = self._working[placement.cid] = _Work()
            self._crew.start(self._work, placement, work)
        return work

    async def _work(self, placement: Placement, work: _Work) -> None:
        try:
            work.state = await self._holding.hold(placement)
        finally:
            del self._working[placement.cid]
            work.done.set()

    async def _state(self, _peer: PeerId, request: Message) -> Message:
        cids, verify = decode_asked(request.payload)
        known = {one.cid: one for one in await self._inbox.known_all(cids) if one is not None}
        if verify:
            found = [await self._holding.state(placement, verify=True) for placement in known.values()]
        else:
            found = await self._holding.states(list(known.values()))
        states = {state.cid: state for state in found}
        return Message(encode_states([states.get(cid) or HoldState(cid, 0, 0, NotFound.code) for cid in cids]))


@dataclass(slots=True)
class _Work:
    """One object being held the long way; `state` once it is."""

    done: trio.Event = field(default_factory=trio.Event)
    state: HoldState | None = None


def _state_for(placement: Placement | InosError, states: Mapping[Cid, HoldState]) -> HoldState:
    if isinstance(placement, InosError):
        return HoldState(Cid(bytes(32)), 0, 0, placement.code)
    return states[placement.cid]
