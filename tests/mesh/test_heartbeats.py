"""Heartbeats over a network under a virtual clock: death, cut cables and return are noticed in time, at little cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from inos.core import codec
from inos.core.errors import BadFrame
from inos.core.ids import PeerId
from inos.mesh.admission import MemberAdmission
from inos.mesh.heartbeats import BEAT_S, METHOD, TIMEOUT_S, Beat, Heartbeats, decode_beat
from inos.mesh.liveness import FAILED_AFTER_S, Change, Liveness, State
from inos.mesh.network import Message
from inos.sim.fabric import MemoryFabric
from inos.sim.network import MemoryNetwork
from inos.sim.wires import Weather
from inos.state.membership import Membership
from inos.testing.env import SimEnv
from inos.testing.members import Machine, Team
from inos.testing.run import sim_test

TEAM = Team()
MACHINES = [TEAM.machine(number) for number in range(7)]
A, B, C = MACHINES[:3]
# Detection may come one beat late, because the last sign of life was half way through.
SOON_S = FAILED_AFTER_S + BEAT_S


@dataclass
class Node:
    network: MemoryNetwork
    liveness: Liveness
    heartbeats: Heartbeats
    changes: list[Change] = field(default_factory=list)
    beats: list[tuple[PeerId, Beat]] = field(default_factory=list)

    def seen(self) -> list[tuple[PeerId, State]]:
        return [(change.peer, change.state) for change in self.changes]


class Village:
    """Connected nodes that all watch each other."""

    def __init__(self, machines: list[Machine]) -> None:
        self.fabric = MemoryFabric(SimEnv(), latency_s=0.01)
        self.membership = TEAM.membership(*machines)
        self.nodes = {machine.peer: self.start(machine, number) for number, machine in enumerate(machines)}

    def start(self, machine: Machine, seed: int = 99) -> Node:
        env, liveness = SimEnv(seed), Liveness()
        network = self.fabric.join(machine.peer, admission(self.membership, machine))
        others = [member.peer for member in self.membership.members().values() if member.peer != machine.peer]
        heartbeats = Heartbeats(network, env, liveness, own=lambda: Beat(0.5, bytes(32)), watched=lambda: others)
        node = Node(network, liveness, heartbeats)
        heartbeats.on_change(node.changes.append)
        heartbeats.on_beat(lambda peer, beat: node.beats.append((peer, beat)))
        return node

    async def connect(self) -> None:
        for node in self.nodes.values():
            for other in self.nodes.values():
                if other is not node:
                    await node.network.connect(other.network.addresses(), timeout_s=1)

    async def run(self, nursery: trio.Nursery) -> None:
        await self.connect()
        for node in self.nodes.values():
            nursery.start_soon(node.heartbeats.run)


def admission(membership: Membership, machine: Machine) -> MemberAdmission:
    return MemberAdmission(membership, machine.certificate.encode(), lambda: [machine.address])


@sim_test
async def test_everybody_comes_up_and_stays_up() -> None:
    village = Village(MACHINES)
    async with trio.open_nursery() as nursery:
        await village.run(nursery)
        await trio.sleep(600)
        for node in village.nodes.values():
            assert len(node.changes) == 6
            assert {state for _, state in node.seen()} == {State.ALIVE}
            assert len(node.liveness.alive()) == 6
        nursery.cancel_scope.cancel()


@sim_test
async def test_a_killed_node_is_failed_in_time_and_its_return_noticed() -> None:
    village = Village([A, B, C])
    async with trio.open_nursery() as nursery:
        await village.run(nursery)
        await trio.sleep(30)
        watcher = village.nodes[A.peer]
        watcher.changes.clear()
        killed_s = trio.current_time()
        village.fabric.stop(B.peer)
        await trio.sleep(SOON_S)
        assert watcher.seen() == [(B.peer, State.FAILED)]
        assert watcher.changes[0].at_s - killed_s <= FAILED_AFTER_S + 0.1
        await trio.sleep(100)
        village.nodes[B.peer] = village.start(B)
        await village.run(nursery)
        await trio.sleep(2 * BEAT_S)
        assert watcher.seen() == [(B.peer, State.FAILED), (B.peer, State.ALIVE)]
        nursery.cancel_scope.cancel()


@sim_test
async def test_a_cut_cable_is_noticed_on_both_sides_and_healing_too() -> None:
    village = Village([A, B, C])
    async with trio.open_nursery() as nursery:
        await village.run(nursery)
        await trio.sleep(30)
        for node in village.nodes.values():
            node.changes.clear()
        village.fabric.cut(A.peer, B.peer)
        village.fabric.cut(A.peer, C.peer)
        await trio.sleep(SOON_S)
        assert sorted(village.nodes[A.peer].seen()) == sorted([(B.peer, State.FAILED), (C.peer, State.FAILED)])
        assert village.nodes[B.peer].seen() == [(A.peer, State.FAILED)]
        assert village.nodes[B.peer].liveness.alive() == {C.peer}
        village.fabric.heal()
        await trio.sleep(3 * BEAT_S)
        assert village.nodes[A.peer].liveness.alive() == {B.peer, C.peer}
        assert village.nodes[B.peer].liveness.alive() == {A.peer, C.peer}
        nursery.cancel_scope.cancel()


@sim_test
async def test_a_blink_shorter_than_the_limit_is_nothing() -> None:
    village = Village([A, B])
    async with trio.open_nursery() as nursery:
        await village.run(nursery)
        await trio.sleep(30)
        village.fabric.cut(A.peer, B.peer)
        await trio.sleep(FAILED_AFTER_S - BEAT_S - TIMEOUT_S)
        village.fabric.heal()
        await trio.sleep(60)
        assert village.nodes[A.peer].seen() == [(B.peer, State.ALIVE)]
        nursery.cancel_scope.cancel()


@sim_test
async def test_a_beat_that_is_lost_is_repeated_at_once() -> None:
    village = Village([A, B])
    async with trio.open_nursery() as nursery:
        await village.run(nursery)
        await trio.sleep(30)
        sent = village.fabric.counters.sent
        await trio.sleep(600)
        at_rest = village.fabric.counters.sent - sent
        village.fabric.set_weather(Weather(lost=0.3))
        await trio.sleep(600)
        assert village.fabric.counters.sent - sent - at_rest > 1.2 * at_rest
        village.fabric.set_weather(Weather())
        await trio.sleep(60)
        village.fabric.cut(A.peer, B.peer)
        await trio.sleep(FAILED_AFTER_S - BEAT_S - TIMEOUT_S)
        changes = len(village.nodes[A.peer].changes)
        village.fabric.heal()
        await trio.sleep(60)
        assert len(village.nodes[A.peer].changes) == changes
        nursery.cancel_scope.cancel()


@sim_test
async def test_who_has_just_connected_is_beaten_at_once() -> None:
    village = Village([A, B])
    async with trio.open_nursery() as nursery:
        for node in village.nodes.values():
            nursery.start_soon(node.heartbeats.run)
        await trio.sleep(1)
        await village.nodes[A.peer].network.connect([B.address], timeout_s=1)
        await trio.sleep(0.1)
        assert [[peer for peer, _ in village.nodes[me].beats] for me in (A.peer, B.peer)] == [[B.peer], [A.peer]]
        nursery.cancel_scope.cancel()


@sim_test
async def test_a_beat_carries_load_and_roots_and_one_call_serves_both() -> None:
    village = Village(MACHINES)
    calls = 0
    async with trio.open_nursery() as nursery:
        await village.run(nursery)
        await trio.sleep(100 * BEAT_S)
        for node in village.nodes.values():
            heard = {peer for peer, _ in node.beats}
            assert heard == village.nodes.keys() - {node.network.me}
            assert {beat for _, beat in node.beats} == {Beat(0.5, bytes(32))}
            calls += len(node.beats)
        nursery.cancel_scope.cancel()
    # Each exchange is noted at both ends; without sparing, 42 ordered pairs would call 100 times: 8,400 notes.
    pairs = 21
    assert 80 * 2 * pairs <= calls <= 150 * 2 * pairs


@sim_test
async def test_a_garbled_beat_is_refused() -> None:
    village = Village([A, B])
    await village.connect()
    for payload in (b"", b"x" * 500, codec.encode("p2p/mesh.capnp:Beat", version=1, load=2.0)):
        with pytest.raises(BadFrame):
            await village.nodes[A.peer].network.call(B.peer, METHOD, Message(payload), timeout_s=1)
    assert not village.nodes[B.peer].beats


def test_beats_return_whole() -> None:
    assert decode_beat(Beat(0.25, b"r" * 32).encode()) == Beat(0.25, b"r" * 32)
    assert decode_beat(Beat(0.25, b"r" * 32, b"e" * 32).encode()).everything == b"e" * 32
    assert decode_beat(Beat().encode()) == Beat()
    with pytest.raises(BadFrame):
        decode_beat(Beat(0.25, b"r" * 32, b"e" * 31).encode())


@given(st.binary(max_size=100))
def test_garbage_is_no_beat(data: bytes) -> None:
    with pytest.raises(BadFrame):
        decode_beat(data)
