"""A running node: everything of INOS wired together, on a given disk and a given network.

    async with open_core(parts, env) as core: ...

`parts` says which disk and which network; a real node passes files and libp2p, the simulator its own. Nothing else in
INOS knows how the pieces fit. Order of opening: what the disk remembers of the mesh, the network, then tables, then
workers; a node serves nothing before it can answer truthfully.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from inos.core.crew import Crew, open_crew, open_tasks
from inos.core.env import Env
from inos.core.errors import InosError
from inos.core.options import Compression
from inos.core.worker import WorkerSet
from inos.mesh.admission import MemberAdmission
from inos.mesh.join import JoinDesk
from inos.mesh.network import Admission, Network
from inos.messages.hub_record import hub_table
from inos.node.availability import SAVE_EVERY_S, Availability
from inos.node.disk import Disk
from inos.node.identity import Identity
from inos.node.keeping import Keeping, open_keeping
from inos.node.links import Meeting, open_meeting
from inos.node.messaging import NO_ROLE, MessageSettings, Messaging, open_messaging
from inos.node.presence import Presence
from inos.replication.placement import TABLE as PLACEMENT
from inos.replication.placements import placement_table
from inos.replication.scheme import DEFAULT_RULES, PlanRules
from inos.replication.tables import Tables
from inos.replication.warm import KEEP_NOTHING, WarmRules
from inos.state.capability import Capability
from inos.state.certificates import issuer_for
from inos.state.membership import Membership
from inos.state.record import Record
from inos.state.revocation import MEMBERS, REVOCATIONS
from inos.state.sectors import sector_of
from inos.vault.catalogue import TABLE as CATALOGUE
from inos.vault.catalogue import catalogue_table

OpenNetwork = Callable[[Admission], AbstractAsyncContextManager[Network]]

TABLES_EVERY_S = 5.0
# Up to this many members each keeps all placements, and the names of its owner where there is but one: some 400 bytes
# an object each, beside at least a chunk somewhere.
EVERYBODY_MEMBERS = 20
PRESENCE_EVERY_S = 30.0
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What the operator chose. Delays in seconds."""

    name: str
    profile: str
    region: str
    repair_after_s: float
    remove_delay_s: float
    rules: PlanRules = DEFAULT_RULES
    warm: WarmRules = KEEP_NOTHING
    messages: MessageSettings = NO_ROLE
    compression: Compression = "lz4"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of."""

    identity: Identity
    settings: NodeSettings
    disk: Disk
    open_network: OpenNetwork


@dataclass(frozen=True, slots=True)
class Core:
    """A running node, for the service that answers its user."""

    identity: Identity
    settings: NodeSettings
    disk: Disk
    network: Network
    membership: Membership
    admission: MemberAdmission
    meeting: Meeting
    tables: Tables
    keeping: Keeping
    messaging: Messaging
    workers: WorkerSet
    crew: Crew


@asynccontextmanager
async def open_core(parts: Parts, env: Env) -> AsyncGenerator[Core, None]:
    """A node, from opening its network to closing it. Raises what opening the network raises, and InosError where
    it cannot begin, on a full disk say."""
    membership = await env.in_thread(_remembered, parts)
    opened: list[Network] = []
    admission = MemberAdmission(
        membership, parts.identity.certificate.encode(), lambda: opened[0].addresses() if opened else ()
    )
    async with parts.open_network(admission) as network, open_crew() as crew:
        opened.append(network)
        core = _assemble(parts, membership, admission, network, crew, env)
        async with open_tasks() as nursery:
            await nursery.start(core.tables.run)
            presence = _presence(core, env)
            await presence.step()
            core.workers.add("presence", presence.step, interval_s=PRESENCE_EVERY_S)
            availability = Availability(core.meeting.liveness, parts.disk.settings, membership.members, env)
            await availability.load()
            core.workers.add("availability", availability.step, interval_s=SAVE_EVERY_S)
            await core.keeping.catalogue.rebuild()
            await core.messaging.begin()
            nursery.start_soon(core.meeting.heartbeats.run)
            nursery.start_soon(core.meeting.witnesses.run)
            nursery.start_soon(core.workers.run)
            try:
                yield core
            finally:
                nursery.cancel_scope.cancel()
                await core.messaging.close()


def _remembered(parts: Parts) -> Membership:
    """The membership as this disk remembers it: how a node that was in finds the others again. Blocks."""
    membership = Membership(parts.identity.genesis)
    for table, spec, apply in (
        (MEMBERS, membership.member_table(), membership.apply_member),
        (REVOCATIONS, membership.revocation_table(), membership.apply_revocation),
    ):
        after = b""
        while records := parts.disk.records.scan(table, b"", after, _PAGE):
            after = records[-1].key
            for record in records:
                # Records of a mesh this node was in before it joined this one do not pass.
                if _passes(spec.authorise, record):
                    apply(record)
    return membership


def _passes(authorise: Callable[[Record, Record | None], None], record: Record) -> bool:
    try:
        authorise(record, None)
    except InosError:
        return False
    return True


def _assemble(
    parts: Parts, membership: Membership, admission: MemberAdmission, network: Network, crew: Crew, env: Env
) -> Core:
    identity, settings, disk = parts.identity, parts.settings, parts.disk
    workers = WorkerSet(env)
    meeting = open_meeting(network, identity, membership, admission, workers, env, settings.repair_after_s)
    network = meeting.network
    own_sector = sector_of(bytes(identity.owner))

    def all_hold(table: str) -> bool:
        members = membership.members()
        if len(members) > EVERYBODY_MEMBERS:
            return False
        # Whoever holds an object hears of its changes and its removal; a larger mesh asks (`Collector`). Names are kept
        # by all nodes of their owner, which in most small meshes are all there are.
        return table == PLACEMENT or (table == CATALOGUE and all(m.owner == identity.owner for m in members.values()))

    specs = [
        membership.member_table(), membership.revocation_table(), placement_table(), catalogue_table(), hub_table(),
    ]  # fmt: skip
    tables = Tables(
        disk.records,
        network,
        meeting.view,
        env,
        specs,
        also_hold=lambda table, sector: (table == CATALOGUE and sector == own_sector) or all_hold(table),
        all_hold=all_hold,
    )
    tables.on_applied(MEMBERS, membership.apply_member)
    tables.on_applied(REVOCATIONS, membership.apply_revocation)
    tables.on_wake(workers.add("tables", tables.step, interval_s=TABLES_EVERY_S).poke)
    meeting.carry(tables)
    keeping = open_keeping(
        identity, disk, network, meeting, tables, crew, workers, env,
        remove_delay_s=settings.remove_delay_s, rules=settings.rules, warm=settings.warm,
        compression=settings.compression,
    )  # fmt: skip
    meeting.on_change(keeping.mesh_changed)
    issuer = issuer_for(identity.genesis, identity.owner_key, identity.node_key, identity.certificate)
    JoinDesk(membership, identity.node, issuer, disk.settings, env).serve(network)
    messaging = open_messaging(
        identity, settings.name, disk, meeting, membership, tables, keeping, crew, workers, env, settings.messages
    )
    return Core(
        identity, settings, disk, network, membership, admission, meeting, tables, keeping, messaging, workers, crew
    )


def _presence(core: Core, env: Env) -> Presence:
    settings = core.settings
    about = Capability(b"", region=settings.region, profile=settings.profile, name=settings.name)
    return Presence(core.identity, about, core.disk, core.network.addresses, core.tables, core.disk.records, env)
