"""`inos verify`: re-reading what is stored, here or everywhere one object lies, and healing what is found damaged."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import trio

from inos.core.env import Env
from inos.core.errors import BadInput, InosError
from inos.core.ids import Address, PeerId
from inos.core.reports import VerifyPlan, VerifyReport
from inos.node.core import Core
from inos.replication.hold_calls import call_states
from inos.replication.holder import HoldState
from inos.replication.placement import Placement
from inos.replication.placements import Written

_CHUNKS_AT_ONCE: Final = 64
_ADDRESS_BITS: Final = 256


def share_of(plan: VerifyPlan) -> tuple[Address | None, Address | None]:
    """The addresses that a part consists of: behind the first and up to the second, None being the ends. The parts are
    of equal size, as addresses are hashes, and together they are everything. Raises BadInput."""
    if not 1 <= plan.part <= plan.parts:
        raise BadInput(f"there is no part {plan.part} of {plan.parts}", hint="parts are counted from 1: --part 1/30")
    edges = [((1 << _ADDRESS_BITS) - 1) * part // plan.parts for part in (plan.part - 1, plan.part)]
    first, last = (Address(edge.to_bytes(_ADDRESS_BITS // 8, "big")) for edge in edges)
    return (None if plan.part == 1 else first), (None if plan.part == plan.parts else last)


class Checking:
    """Checks on behalf of a user, at full speed."""

    def __init__(self, core: Core, env: Env) -> None:
        self._core = core
        self._env = env

    async def chunks_here(self, plan: VerifyPlan) -> AsyncGenerator[VerifyReport, None]:
        """The chunks of this node's disk that are in the plan, no faster than it says, then healing of what was
        damaged. Raises BadInput for a part that there is not."""
        after, end = share_of(plan)
        store = self._core.disk.chunks
        usage = await self._env.in_thread(store.usage)
        total = -(-usage.chunks // plan.parts)
        chunk_s = usage.bytes / max(1, usage.chunks) / plan.rate_bytes_s if plan.rate_bytes_s else 0.0
        at_once = min(_CHUNKS_AT_ONCE, max(1, int(1 / chunk_s))) if chunk_s else _CHUNKS_AT_ONCE
        start_s, checked, corrupt = self._env.monotonic_s(), 0, 0
        while True:
            result = await self._env.in_thread(store.scrub, after, at_once, end)
            checked += result.checked
            corrupt += len(result.corrupt)
            await trio.sleep(max(0.0, start_s + checked * chunk_s - self._env.monotonic_s()))
            problem = ", ".join(f"chunk {address.hex()[:16]}… was damaged" for address in result.corrupt)
            yield VerifyReport(checked, max(total, checked), corrupt, 0, 0, problem=problem[:1000])
            after = result.next
            if after is None:
                break
        healed, missing, problem = await self._heal()
        yield VerifyReport(checked, checked, corrupt, healed, missing, finished=True, problem=problem)

    async def _heal(self) -> tuple[int, int, str]:
        """Complete every holding of this node: pieces fetched back, pieces still missing, and what to say of them."""
        keeping = self._core.keeping
        healed = missing = 0
        problem = ""
        for cid in await self._env.in_thread(lambda: list(keeping.book.cids())):
            placement = keeping.placements.known(cid)
            if placement is None:
                continue
            (before,) = await keeping.holder.take([placement])
            if before.completes(placement):
                continue
            after = await keeping.holder.complete(placement)
            healed += max(0, after.held - before.held)
            missing += after.assigned - after.held
            if not after.completes(placement):
                problem = f"object {cid} lacks {after.assigned - after.held} pieces here ({after.error or 'not found'})"
        return healed, missing, problem

    async def object_everywhere(self, target: str) -> AsyncGenerator[VerifyReport, None]:
        """Every piece of one object on every live member, re-read there."""
        placement, _, _, _ = await self._core.keeping.vault.locate(target)
        members = [member for member in placement.members if self._core.meeting.view.alive(member)]
        checked = corrupt = healed = missing = 0
        total = 0
        for member in members:
            before = await self._state(member, placement)
            after = before if before.completes(placement) else await self._completed(member, placement)
            total += before.assigned
            checked += before.assigned
            corrupt += before.assigned - before.held
            healed += max(0, after.held - before.held)
            missing += max(0, after.assigned - after.held)
            name = PeerId.from_public_key(member).short()
            problem = (
                "" if before.completes(placement) else f"node {name} had {before.held} of {before.assigned} pieces"
            )
            yield VerifyReport(checked, total, corrupt, healed, missing, problem=problem)
        yield VerifyReport(checked, total, corrupt, healed, missing, finished=True)

    async def _state(self, member: bytes, placement: Placement) -> HoldState:
        core = self._core
        if member == core.identity.node:
            return await core.keeping.holder.state(placement, verify=True)
        try:
            peer = PeerId.from_public_key(member)
            (state,) = await call_states(core.network, peer, [placement.cid], verify=True)
        except (InosError, ValueError):
            return HoldState(placement.cid, 0, 0, "unavailable")
        return state

    async def _completed(self, member: bytes, placement: Placement) -> HoldState:
        """Have `member` fetch what it lacks."""
        keeping = self._core.keeping
        record = keeping.placements.record_of(placement.cid)
        if record is None:
            return HoldState(placement.cid, 0, 0, "not_found")
        state = await keeping.holders.at(member, Written(placement, record))
        return state or HoldState(placement.cid, 0, 0, "unavailable")
