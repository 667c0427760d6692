"""Meeting the other members: links to them, heartbeats over the links, and what both say of who is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from inos.core.env import Env
from inos.core.ids import PeerId
from inos.core.worker import Worker, WorkerSet
from inos.mesh.addressbook import AddressBook
from inos.mesh.admission import MemberAdmission
from inos.mesh.heartbeats import Beat, Heartbeats
from inos.mesh.links import Links
from inos.mesh.liveness import Change, Liveness, State
from inos.mesh.network import Network
from inos.mesh.reach import STEP_S, Reach
from inos.mesh.witness import Witnesses
from inos.node.identity import Identity
from inos.node.mesh_view import MeshView
from inos.state.membership import Membership

# So long a node that has just started may take to meet those who are there before others are said to be away.
_MEET_S = 2.0


class SummarisedTables(Protocol):
    def summary(self) -> bytes: ...

    def everything(self) -> bytes: ...

    def heard(self, node: bytes, summary: bytes, everything: bytes) -> None: ...

    def met(self, node: bytes) -> None: ...

    def returned(self, node: bytes) -> None: ...


class Meeting:
    """The parts of a node that know who is there."""

    def __init__(
        self,
        network: Network,
        links: Links,
        heartbeats: Heartbeats,
        liveness: Liveness,
        witnesses: Witnesses,
        view: MeshView,
        own_beat: _OwnBeat,
        worker: Worker,
    ) -> None:
        self.network = network
        self.links = links
        self.heartbeats = heartbeats
        self.liveness = liveness
        self.witnesses = witnesses
        self.view = view
        self._own_beat = own_beat
        self._worker = worker

    def carry(self, tables: SummarisedTables) -> None:
        """Let heartbeats carry the tables' summary, and tell the tables what others' carried."""
        self._own_beat.summary, self._own_beat.everything = tables.summary, tables.everything
        self.heartbeats.on_beat(lambda peer, beat: tables.heard(peer.public_key(), beat.roots, beat.everything))
        self.network.on_connected(lambda peer: tables.met(peer.public_key()))
        failed: set[PeerId] = set()

        def changed(change: Change) -> None:
            if change.state is State.FAILED:
                failed.add(change.peer)
            elif change.peer in failed:
                failed.discard(change.peer)
                tables.returned(change.peer.public_key())

        self.heartbeats.on_change(changed)

    async def begun(self) -> None:
        """Return once whoever is there can have been met: at once, but for a node that has only just started."""
        with trio.move_on_after(_MEET_S):
            await self.links.tried_all()

    def hint(self, peer: PeerId, addresses: Sequence[str]) -> None:
        """Somebody says where `peer` is; it is dialled at once if that is news."""
        if self.links.hint(peer, addresses):
            self._worker.poke()

    def heard_of(self, node: bytes, alive: bool) -> None:
        """What is thought of a member that this node does not watch has changed."""
        if alive:
            self.links.found(PeerId.from_public_key(node))

    def on_change(self, handler: Callable[[], None]) -> None:
        """`handler` is called when a member comes, fails, or hangs up. In a large mesh connections come and go with
        single calls and say nothing of who is there."""
        self.witnesses.on_change(lambda _node, _alive: handler())
        self.heartbeats.on_change(lambda _change: handler())

        def connections_changed(_peer: PeerId) -> None:
            if not self.witnesses.needed():
                handler()

        self.network.on_connected(connections_changed)
        self.network.on_disconnected(connections_changed)


class _OwnBeat:
    """What this node's heartbeats say."""

    def __init__(self, env: Env) -> None:
        self.summary: Callable[[], bytes] = bytes
        self.everything: Callable[[], bytes] = bytes
        self._env = env
        self._last = Beat()

    def __call__(self) -> Beat:
        load, roots, everything = self._env.load(), self.summary(), self.everything()
        last = self._last
        if load != last.load or roots != last.roots or everything != last.everything:
            self._last = Beat(load, roots, everything)
        return self._last


def open_meeting(
    network: Network,
    identity: Identity,
    membership: Membership,
    admission: MemberAdmission,
    workers: WorkerSet,
    env: Env,
    repair_after_s: float,
) -> Meeting:
    """Wire links, heartbeats and liveness over `network`."""
    book, liveness, own_beat = AddressBook(), Liveness(), _OwnBeat(env)
    witnesses = Witnesses(identity.node, membership.members, network, env)
    links = Links(network, env, me=identity.node, members=membership.members, book=book)
    heartbeats = Heartbeats(network, env, liveness, own=own_beat, watched=links.watched)
    view = MeshView(identity.node, membership, liveness, network, witnesses, env, repair_after_s=repair_after_s)
    worker = workers.add("links", links.step, interval_s=links.pause_s)
    reach = Reach(network, links, witnesses, env)
    workers.add("reach", reach.step, interval_s=STEP_S)

    meeting = Meeting(reach, links, heartbeats, liveness, witnesses, view, own_beat, worker)
    network.on_connected(view.met)
    network.on_connected(lambda peer: witnesses.found(peer.public_key()))
    heartbeats.on_change(witnesses.noticed)
    witnesses.on_change(meeting.heard_of)
    admission.on_welcome(meeting.hint)
    meeting.on_change(worker.poke)
    network.on_disconnected(lambda _peer: worker.poke())
    return meeting
