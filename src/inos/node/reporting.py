"""What a node tells its user of itself, its peers and its objects. Reads, never changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

import trio

from inos.core.env import Env
from inos.core.errors import InosError
from inos.core.ids import PeerId
from inos.core.reports import MemberShare, PeerReport, StatReport, StatusReport, WorkerReport
from inos.core.worker import WorkerStatus
from inos.node.core import Core
from inos.objects.reference import Reference
from inos.replication.durability import Group, quorum_losses, survivable_losses
from inos.replication.hold_calls import call_states
from inos.replication.holder import HoldState
from inos.replication.layout import Layout, assigned_to
from inos.replication.placement import Placement
from inos.vault.catalogue import Entry
from inos.vault.outcome import LOCAL, QUORUM, REPLICATED

VERSION: Final = "0.1.0"


class Reporting:
    """Reports of one running node. `api_url` is where its API listens."""

    def __init__(self, core: Core, env: Env, api_url: str, started_s: float) -> None:
        self._core = core
        self._env = env
        self._api_url = api_url
        self._started_s = started_s

    async def status(self) -> StatusReport:
        core, env = self._core, self._env
        usage = await env.in_thread(core.disk.chunks.usage)
        objects = await env.in_thread(core.keeping.book.count)
        members = core.membership.members()
        return StatusReport(
            node_name=core.settings.name,
            peer=core.identity.peer,
            owner=str(core.identity.owner),
            mesh=str(core.identity.genesis.mesh),
            version=VERSION,
            uptime_s=env.monotonic_s() - self._started_s,
            listen=tuple(core.network.addresses()),
            api=self._api_url,
            profile=core.settings.profile,
            region=core.settings.region,
            members=len(members),
            alive=len(core.meeting.view.alive_members()),
            objects=objects,
            stored_bytes=usage.bytes,
            chunks=usage.chunks,
            quota_bytes=core.disk.quota_bytes,
            free_bytes=core.disk.free_bytes(),
            workers=tuple(self._worker(status) for status in core.workers.statuses()),
            repair=self._counters(),
            refused=dict(core.admission.refusals),
            tiers=tuple(core.keeping.tiers.reports()),
            messages=await core.messaging.desk.status(),
            reads=asdict(core.keeping.getter.counts),
        )

    def _counters(self) -> dict[str, int | float | str]:
        keeping = self._core.keeping
        return {
            **asdict(keeping.repair.counts),
            **asdict(keeping.collector.counts),
            **asdict(keeping.upkeep.counts),
            **asdict(keeping.handover.counts),
            "records_pending": self._core.tables.pending,
            "records_exchanged": self._core.tables.exchanged,
            "background_failures": self._core.crew.failures,
            "log_places_healed": self._core.disk.database.mended,
        }

    def _worker(self, status: WorkerStatus) -> WorkerReport:
        last_s = status.last_success_s
        return WorkerReport(
            name=status.name,
            phase=status.phase.value,
            runs=status.runs,
            failures=status.failures,
            last_success_age_s=None if last_s is None else self._env.monotonic_s() - last_s,
            last_error=status.last_error,
            detail=dict(status.detail),
        )

    async def peers(self) -> Sequence[PeerReport]:
        await trio.lowlevel.checkpoint()
        core = self._core
        reports = []
        for node, member in sorted(core.membership.members().items(), key=lambda item: item[1].name):
            here = node == core.identity.node
            latency_s = core.keeping.scores.latency_s(node)
            reports.append(
                PeerReport(
                    peer=member.peer,
                    node_name=member.name,
                    owner=str(member.owner),
                    state="alive" if core.meeting.view.alive(node) else self._state(member.peer),
                    since_s=0.0 if here else self._since_s(member.peer),
                    addresses=member.addresses,
                    region=member.region,
                    profile=member.profile,
                    latency_ms=None if latency_s is None or here else latency_s * 1000,
                    availability=1.0 if here else core.meeting.liveness.availability(member.peer),
                    storage_bytes=member.storage_bytes,
                )
            )
        return reports

    def _state(self, peer: PeerId) -> str:
        state = self._core.meeting.liveness.state(peer).value
        return "unknown" if state == "alive" else state

    def _since_s(self, peer: PeerId) -> float:
        return self._core.meeting.liveness.failed_for_s(peer, self._env.monotonic_s()) or 0.0

    async def stat(self, target: str) -> StatReport:
        placement, layout, entry, reference = await self._core.keeping.vault.locate(target)
        await self._core.keeping.holder.pages_here(placement, layout)
        groups = await self._env.in_thread(self._groups, placement, layout)
        states = await self._states(placement)
        report = self._stat_report(placement, layout, entry, reference, groups, states)
        return replace(report, sha256=await self._core.keeping.vault.sha256_of(entry))

    def _groups(self, placement: Placement, layout: Layout) -> list[Group]:
        return list(layout.groups(placement, self._core.disk.chunks.get))

    async def _states(self, placement: Placement, *, verify: bool = False) -> dict[bytes, HoldState]:
        """What each live member says it has."""
        states: dict[bytes, HoldState] = {}
        core = self._core

        async def ask(member: bytes) -> None:
            try:
                if member == core.identity.node:
                    states[member] = await core.keeping.holder.state(placement, verify=verify)
                else:
                    peer = PeerId.from_public_key(member)
                    (states[member],) = await call_states(core.network, peer, [placement.cid], verify=verify)
            except (InosError, ValueError):
                return

        async with trio.open_nursery() as nursery:
            for member in placement.members:
                if core.meeting.view.alive(member):
                    nursery.start_soon(ask, member)
        return states

    def _stat_report(
        self,
        placement: Placement,
        layout: Layout,
        entry: Entry | None,
        reference: Reference | None,
        groups: Sequence[Group],
        states: dict[bytes, HoldState],
    ) -> StatReport:
        good = {member for member, state in states.items() if state.completes(placement)}
        survives = max(0, survivable_losses(groups, good))
        wanted = placement.copies - 1 if placement.scheme.is_copies else placement.scheme.parity_shards
        shares = [self._share(member, groups, states.get(member)) for member in placement.members]
        return StatReport(
            name=entry.name if entry is not None else "",
            ref=str(reference) if reference is not None else "",
            cid=str(placement.cid),
            size=entry.size if entry is not None else layout.manifest.stored_size,
            stored_size=layout.manifest.stored_size or layout.manifest_size,
            chunks=layout.manifest.chunks,
            scheme=f"{placement.copies} copies" if placement.scheme.is_copies else str(placement.scheme),
            members=tuple(shares),
            pieces=sum(share.assigned for share in shares),
            pieces_alive=sum(share.held for share in shares),
            survives=survives,
            level=_level(survives, wanted),
            wanted_survives=wanted,
            under_replicated=survives < wanted,
        )

    def _share(self, member: bytes, groups: Sequence[Group], state: HoldState | None) -> MemberShare:
        known = self._core.membership.members().get(member)
        assigned = state.assigned if state is not None and not state.error else _assigned(member, groups)
        return MemberShare(
            peer=PeerId.from_public_key(member),
            node_name=known.name if known is not None else "",
            alive=self._core.meeting.view.alive(member),
            assigned=assigned,
            held=state.held if state is not None else 0,
        )


def _assigned(member: bytes, groups: Sequence[Group]) -> int:
    return sum(len(assigned_to(group, member)) for group in groups)


def _level(survives: int, wanted: int) -> str:
    if survives >= max(1, wanted):
        return REPLICATED
    return QUORUM if survives >= max(1, quorum_losses(wanted)) else LOCAL
