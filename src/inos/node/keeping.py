"""Keeping objects: placement, holding, repair, collection, upkeep and the vault, wired together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from inos.core.crew import Crew
from inos.core.env import Env
from inos.core.ids import Cid
from inos.core.options import Compression
from inos.core.worker import Backoff, WorkerSet
from inos.mesh.network import Network
from inos.node.announcing import ANNOUNCE_EVERY_S, Announcer
from inos.node.database_upkeep import (
    CHECKPOINT_EVERY_S,
    INTEGRITY_EVERY_S,
    SPARE_EVERY_S,
    SPARE_FIRST_AFTER_S,
    VACUUM_EVERY_S,
    DatabaseUpkeep,
)
from inos.node.disk import Disk
from inos.node.holding_book import HoldingBook
from inos.node.identity import Identity
from inos.node.links import Meeting
from inos.node.pinning import PINS_EVERY_S, Pinning
from inos.node.tiers import TIERS_EVERY_S, Tiers
from inos.node.upkeep import (
    HEAL_EVERY_S,
    ORPHANS_EVERY_S,
    SCRUB_EVERY_S,
    TRIM_EVERY_S,
    Upkeep,
    WatchedChunks,
)
from inos.replication.bulk import serve_chunks
from inos.replication.collect import Collector
from inos.replication.fetch import Fetcher
from inos.replication.handover import Handover
from inos.replication.hold_caller import HoldCaller
from inos.replication.hold_calls import HoldServer
from inos.replication.holder import Holder
from inos.replication.pins import Pins
from inos.replication.placement import TABLE as PLACEMENT
from inos.replication.placements import Placements
from inos.replication.repair import Repair
from inos.replication.scheme import PlanRules
from inos.replication.scores import Scores
from inos.replication.tables import Tables
from inos.replication.warm import WarmRules
from inos.state.record import Record
from inos.store.database_care import DatabaseCare
from inos.store.rebuild import kept_until_s
from inos.vault.catalogue import TABLE as CATALOGUE
from inos.vault.catalogue import CatalogueCipher
from inos.vault.get import Getter
from inos.vault.namer import FINISH_EVERY_S, Namer
from inos.vault.names import Catalogue
from inos.vault.pieces import PieceSource
from inos.vault.put import Putter
from inos.vault.unfinished import Notes
from inos.vault.vault import Vault

REPAIR_EVERY_S: Final = 5.0
# Repair waits for nodes; a failed object is tried again at this pace, not at the minutes a broken worker would take.
_REPAIR_BACKOFF: Final = Backoff(2.0, 15.0)
_COLLECT_MAX_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """The parts of a node that keep objects. `mesh_changed` is to be called when members come or go."""

    scores: Scores
    placements: Placements
    fetcher: Fetcher
    holder: Holder
    holders: HoldCaller
    book: HoldingBook
    repair: Repair
    collector: Collector
    upkeep: Upkeep
    catalogue: Catalogue
    getter: Getter
    vault: Vault
    namer: Namer
    tiers: Tiers
    handover: Handover
    pinning: Pinning
    mesh_changed: Callable[[], None]


def open_keeping(
    identity: Identity,
    disk: Disk,
    network: Network,
    meeting: Meeting,
    tables: Tables,
    crew: Crew,
    workers: WorkerSet,
    env: Env,
    *,
    remove_delay_s: float,
    rules: PlanRules,
    warm: WarmRules,
    compression: Compression,
) -> Keeping:
    """Wire it all and register the workers; nothing runs yet."""
    me, view, scores = identity.node, meeting.view, Scores()
    watched = WatchedChunks(disk.chunks)
    book = HoldingBook(disk.holdings, env, kept_until_s(disk.settings))
    placements = Placements(tables, disk.records, identity.owner_key, identity.node_key, env)
    fetcher = Fetcher(me, network, watched, view, scores, env)
    holder = Holder(me, watched, book, fetcher, env)
    holders = HoldCaller(me, holder, network, view)
    repair = Repair(me, placements, book, holders, view, env)
    catalogue = Catalogue(
        CatalogueCipher(identity.owner, identity.keyring.catalogue_key()),
        identity.owner_key,
        tables,
        disk.records,
        disk.names,
        env,
    )
    tables.on_applied(CATALOGUE, catalogue.arrived)
    secret = identity.keyring.convergence_secret()
    handover = Handover(me, placements, book, holders, view, env)
    tiers = Tiers(me, disk.space, disk.quotas, warm, disk.local, placements, view, handover, env)
    putter = Putter(me, identity.owner, secret, watched, placements, holders, view, network, env, rules, compression)
    getter = Getter(
        PieceSource(me, watched, fetcher, env, tiers.keeps_reads),
        placements, holder, view, network, crew, env, meeting.begun,
    )  # fmt: skip
    namer = Namer(putter, catalogue, placements, Notes(disk.settings, env), env)
    vault = Vault(
        identity.owner, putter, getter, catalogue, placements, env, namer,
        freed_after_s=remove_delay_s, used=tiers.note,
    )  # fmt: skip
    pinning = Pinning(disk.local, Pins(watched, holder, placements, fetcher, env), placements, env)
    collector = Collector(
        me, disk.chunks, book, placements, network, view, env,
        delay_s=remove_delay_s, busy_for_s=putter.running_for_s, revive=vault.revive,
        kept_until_s=kept_until_s(disk.settings), warmth=tiers,
    )  # fmt: skip
    upkeep = Upkeep(me, watched, disk.chunks, disk.database, book, placements, holder, env)

    def placement_changed(record: Record) -> None:
        book.changed(Cid(record.key))
        upkeep.noticed(Cid(record.key))
        collector.noticed(Cid(record.key))

    tables.on_applied(PLACEMENT, placement_changed)
    serve_chunks(network, watched, env)
    HoldServer(holder, placements, crew).register(network)
    repair_worker = workers.add("repair", repair.step, interval_s=REPAIR_EVERY_S, backoff=_REPAIR_BACKOFF)
    collect = workers.add("collect", collector.step, interval_s=min(_COLLECT_MAX_S, max(1.0, remove_delay_s / 2)))
    tiers.make_room = collect.poke
    pinning.wake = workers.add("pins", pinning.step, interval_s=PINS_EVERY_S).poke
    workers.add("unfinished", namer.finish, interval_s=FINISH_EVERY_S)
    workers.add("tiers", tiers.step, interval_s=TIERS_EVERY_S)
    workers.add("scrub", upkeep.scrub, interval_s=SCRUB_EVERY_S)
    workers.add("heal", upkeep.heal, interval_s=HEAL_EVERY_S)
    workers.add("orphans", upkeep.orphans, interval_s=ORPHANS_EVERY_S)
    announcer = Announcer(identity.genesis.mesh, network, book, placements, view, env)
    workers.add("announce", announcer.step, interval_s=ANNOUNCE_EVERY_S)
    workers.add("trim", upkeep.trim, interval_s=TRIM_EVERY_S)
    _look_after_database(DatabaseUpkeep(DatabaseCare(disk.database), disk.spare, env, tiers.hot_pressed), workers)
    return Keeping(
        scores, placements, fetcher, holder, holders, book, repair, collector, upkeep, catalogue, getter, vault,
        namer, tiers, handover, pinning, repair_worker.poke,
    )  # fmt: skip


def _look_after_database(upkeep: DatabaseUpkeep, workers: WorkerSet) -> None:
    workers.add("checkpoint", upkeep.checkpoint, interval_s=CHECKPOINT_EVERY_S)
    workers.add("vacuum", upkeep.vacuum, interval_s=VACUUM_EVERY_S)
    workers.add("integrity", upkeep.integrity, interval_s=INTEGRITY_EVERY_S)
    workers.add("spare", upkeep.spare, interval_s=SPARE_EVERY_S, first_after_s=SPARE_FIRST_AFTER_S)
