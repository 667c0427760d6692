"""Joining, linking and beating over real libp2p on loopback: the same parts as in memory, on sockets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from inos.core.env import RealEnv
from inos.core.errors import BadTicket
from inos.crypto.signing import SigningKey
from inos.mesh.addressbook import AddressBook
from inos.mesh.admission import JoinerAdmission, MemberAdmission
from inos.mesh.heartbeats import Beat, Heartbeats
from inos.mesh.invite import Wish, invite
from inos.mesh.join import JoinDesk, join_mesh
from inos.mesh.libp2p_host import Libp2pNetwork, MeshConfig, open_libp2p
from inos.mesh.links import Links
from inos.mesh.liveness import FAILED_AFTER_S, Change, Liveness, State
from inos.state.capability import Capability
from inos.state.certificates import Certificate, Genesis, Issuer
from inos.state.membership import Membership
from inos.state.record import Record
from inos.state.records import sign_record
from inos.state.revocation import MEMBERS
from inos.store.database import Database
from inos.store.settings import Settings
from inos.testing.members import Team, fixed_key
from inos.testing.run import trio_test

if TYPE_CHECKING:
    from trio_typing import TaskStatus

TEAM = Team()
FIRST = TEAM.machine("first")
NEW, BOB = fixed_key("new node"), fixed_key("bob")


class Station:
    """A node's membership parts on one real network, wired as a node wires them."""

    def __init__(self, network: Libp2pNetwork, door: JoinerAdmission, key: SigningKey) -> None:
        self.network, self.door, self.key, self.env = network, door, key, RealEnv()
        self.changes: list[Change] = []
        self.noticed = trio.Event()

    def become(self, genesis: Genesis, certificate: Certificate) -> None:
        self.membership = Membership(genesis)
        self.certificate = certificate
        self.membership.apply_member(self.record())
        self.door.become(MemberAdmission(self.membership, certificate.encode(), self.network.addresses))
        me, members = self.key.public_key, self.membership.members
        self.links = Links(self.network, self.env, me=me, members=members, book=AddressBook())
        self.heartbeats = Heartbeats(
            self.network, self.env, Liveness(), own=lambda: Beat(0.1), watched=self.links.watched
        )
        self.heartbeats.on_change(self._note)

    def record(self) -> Record:
        value = Capability(self.certificate.encode(), tuple(self.network.addresses())).encode()
        return sign_record(self.key, MEMBERS, self.key.public_key, value, 1)

    def _note(self, change: Change) -> None:
        self.changes.append(change)
        self.noticed.set()
        self.noticed = trio.Event()


async def station(key: SigningKey, *, task_status: TaskStatus[tuple[Station, trio.Event]]) -> None:
    door, stop = JoinerAdmission(), trio.Event()
    async with open_libp2p(MeshConfig(), key.reveal_seed(), door, RealEnv()) as network:
        task_status.started((Station(network, door, key), stop))
        await stop.wait()


async def changed(node: Station, state: State, *, within_s: float) -> None:
    """Wait until the node has noticed a change to `state`."""
    with trio.fail_after(within_s):
        while True:
            noticed = node.noticed
            if node.changes and node.changes[-1].state is state:
                return
            await noticed.wait()


@trio_test
async def test_a_stranger_becomes_a_watched_member_over_real_sockets(tmp_path: Path) -> None:
    database = Database(tmp_path / "inos.db", bytes(32), RealEnv())
    async with trio.open_nursery() as nursery:
        first, stop_first = await nursery.start(station, FIRST.key)
        new, stop_new = await nursery.start(station, NEW)
        first.become(TEAM.genesis, FIRST.certificate)
        JoinDesk(first.membership, FIRST.node, Issuer(TEAM.founder), Settings(database), first.env).serve(first.network)
        ticket = invite(first.env, FIRST.key, first.membership, first.network.addresses(), Wish(60.0))

        joined = await join_mesh(new.network, ticket, node=NEW.public_key, owner=BOB)
        Settings(database).redeem(ticket.invitation.id, NEW.public_key)
        with pytest.raises(BadTicket, match="used already"):
            Settings(database).redeem(ticket.invitation.id, BOB.public_key)
        assert not new.network.connected() and not first.network.connected()
        new.become(joined.genesis, joined.certificate)
        for record in joined.members:
            new.membership.apply_member(record)
        await new.links.step()
        assert new.network.connected() == {FIRST.peer}

        async with trio.open_nursery() as beating:
            for each in (first, new):
                beating.start_soon(each.heartbeats.run)
            for each in (first, new):
                await changed(each, State.ALIVE, within_s=5)
            assert first.changes[0].peer == new.network.me

            first.membership.apply_member(new.record())  # as anti-entropy would bring it
            cpu_s, began_s = time.process_time(), trio.current_time()
            await trio.sleep(3)
            idle = (time.process_time() - cpu_s) / (trio.current_time() - began_s)
            print(idle)
            assert idle < 0.10, "two idle nodes: 1 to 2 % on a quiet machine, the rest is room for a busy one"
            stop_new.set()
            await changed(first, State.FAILED, within_s=FAILED_AFTER_S + 3)
            beating.cancel_scope.cancel()
        stop_first.set()
    database.close()
