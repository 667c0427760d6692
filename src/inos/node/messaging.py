"""Messages on a node, wired together: the role of the hub, the way to it, segments, caches, and their workers.

A node that has nothing to do with messages pays for a record and two looks a minute: corpus, caches and their workers
come into being when they are first needed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from inos.core.crew import Crew
from inos.core.env import Env
from inos.core.ids import OwnerId, PeerId
from inos.core.messages.shares import DEFAULT_RATE
from inos.core.worker import Backoff, Worker, WorkerSet
from inos.crypto.derive import Keyring
from inos.messages import hub_calls as wire
from inos.messages.corpus import Corpus
from inos.messages.hook import Hook
from inos.messages.hub import Hub
from inos.messages.hub_config import DEFAULT_SNAPSHOT_S
from inos.messages.hub_record import TABLE as HUBS
from inos.messages.hub_record import key_of
from inos.messages.office import Wish
from inos.messages.segment_store import Names, SegmentStore
from inos.node.disk import Disk
from inos.node.handing_on import HandingOn
from inos.node.hub_door import HubAnswers, HubDoor
from inos.node.hub_role import Desk, HubRole, Mesh
from inos.node.hub_watch import Watch
from inos.node.identity import Identity
from inos.node.keeping import Keeping
from inos.node.links import Meeting
from inos.node.message_desk import DeskSettings, MessageDesk
from inos.node.node_outboxes import NodeOutboxes, SettingsOf
from inos.replication.tables import Tables
from inos.state.membership import Membership
from inos.vault.catalogue import TABLE as CATALOGUE

FOLDER: Final = "messages"
CORPUS: Final = "messages/corpus.db"
# One that may take over looks often; the others only have to notice that they were named.
_ROLE_S: Final = 2.0
_IDLE_ROLE_S: Final = 30.0
_SEARCH_S: Final = 2.0
_INDEX_ROUNDS: Final = 20
_BACKOFF: Final = Backoff(1.0, 10.0)

OpenCorpus = Callable[[Disk, Keyring, Env], Corpus]


def open_sqlite(disk: Disk, keyring: Keyring, env: Env) -> Corpus:
    """The corpus in this node's data root. Blocks."""
    from inos.messages.sqlite_corpus import SqliteCorpus  # a node that is no hub need not have it in memory

    disk.files.make_folders(disk.root, [FOLDER])
    return SqliteCorpus(disk.root / CORPUS, keyring.database_key(), env, files=disk.files)


@dataclass(frozen=True, slots=True)
class MessageSettings:
    """What the operator chose for messages: see `hub.yaml` in docs/messages.md. `snapshot_s` is how often what is new
    on the hub goes into the mesh; `agent_rate` how many messages a second the node's API takes from one agent."""

    wish: Wish = "none"
    hook: Hook | None = None
    snapshot_s: float = DEFAULT_SNAPSHOT_S
    store: str = "sqlite"
    agent_rate: float = DEFAULT_RATE
    open_corpus: OpenCorpus = field(default=open_sqlite)
    outbox: SettingsOf | None = None


NO_ROLE: Final = MessageSettings()


@dataclass(frozen=True, slots=True)
class Messaging:
    """The parts of a node that have to do with messages."""

    role: HubRole
    desk: MessageDesk
    outboxes: NodeOutboxes

    async def begin(self) -> None:
        """Take up what an earlier life left. After tables run."""
        await self.outboxes.begin()

    async def close(self) -> None:
        """The node ends: close the corpus."""
        await self.role.close()


def open_messaging(
    identity: Identity,
    name: str,
    disk: Disk,
    meeting: Meeting,
    membership: Membership,
    tables: Tables,
    keeping: Keeping,
    crew: Crew,
    workers: WorkerSet,
    env: Env,
    settings: MessageSettings,
) -> Messaging:
    """Wire it all; serves the calls of other nodes of the owner from now on."""
    catalogue = keeping.catalogue

    def enough() -> bool:
        """Of two, each has every name that both of them have acknowledged."""
        return len(tables.replicas(CATALOGUE, bytes(identity.owner))) <= 2

    names = Names(lambda sure: catalogue.refresh(quorum=sure), catalogue.page, enough)

    def members() -> tuple[int, int]:
        return len(membership.members()), len(meeting.view.alive_members())

    segments = SegmentStore(keeping.vault, names, members, env)
    role = HubRole(
        Desk(identity.node, identity.owner, identity.owner_key, settings.wish),
        Mesh(tables, disk.records, meeting.view, membership.members),
        segments,
        disk.settings,
        lambda: settings.open_corpus(disk, identity.keyring, env),
        env,
    )
    door = HubDoor(role, meeting.network, identity.owner, lambda peer: _owner_of(membership, peer))
    outboxes = NodeOutboxes(disk, identity.keyring.database_key(), name, settings.outbox, crew, workers, env)
    desk_settings = DeskSettings(settings.wish, settings.hook, settings.store)
    desk = MessageDesk(role, door, Watch(door, crew), outboxes, desk_settings)
    outboxes.way = desk
    role.hand_on = HandingOn(door, name, env)
    role.opened = _HubWorkers(workers, settings.snapshot_s).watch
    every_s = _IDLE_ROLE_S if settings.wish == "none" else _ROLE_S
    role.wake = workers.add("hub", role.step, interval_s=every_s, backoff=_BACKOFF).poke

    def named(key: bytes) -> None:
        if key == key_of(identity.owner):
            role.wake()
            outboxes.poke()

    tables.on_applied(HUBS, lambda record: named(record.key))
    door.serve(HubAnswers(_executing(desk), _reporting(desk)))
    return Messaging(role, desk, outboxes)


def _owner_of(membership: Membership, peer: PeerId) -> OwnerId | None:
    verified = membership.verified(peer.public_key())
    return verified.owner if verified is not None else None


def _executing(desk: MessageDesk) -> Callable[[Hub, str, str], Awaitable[bytes]]:
    async def execute(hub: Hub, message_id: str, by: str) -> bytes:
        return wire.encode_marked(await desk.execute_on(hub, message_id, by))

    return execute


def _reporting(desk: MessageDesk) -> Callable[[Hub], Awaitable[bytes]]:
    async def report(hub: Hub) -> bytes:
        return wire.encode_report(await desk.report_of(hub))

    return report


class _HubWorkers:
    """The workers of whatever hub is open on this node, begun with the first."""

    def __init__(self, workers: WorkerSet, snapshot_s: float) -> None:
        self._workers = workers
        self._snapshot_s = snapshot_s
        self._hub: Hub | None = None
        self._segments: Worker
        self._search: Worker

    def watch(self, hub: Hub) -> None:
        """Look after this one from now on."""
        first, self._hub = self._hub is None, hub
        if first:
            self._segments = self._workers.add("segments", self._put, interval_s=self._snapshot_s, backoff=_BACKOFF)
            self._search = self._workers.add("search", self._index, interval_s=_SEARCH_S)
        hub.covering.wake = self._segments.poke

    async def _put(self) -> None:
        """One round of segments."""
        if (hub := self._hub) is None or not hub.ready:
            return
        await hub.step()
        self._segments.status.detail.update(
            covered_seq=hub.covering.covered_seq, behind=(await hub.stats()).last_seq - hub.covering.covered_seq,
            missing=hub.restoring.missing, bytes_per_s=hub.bytes_per_s,
        )  # fmt: skip

    async def _index(self) -> None:
        """Index what came in, for searching."""
        for _ in range(_INDEX_ROUNDS):
            if (hub := self._hub) is None or not hub.ready or not await hub.index():
                return
