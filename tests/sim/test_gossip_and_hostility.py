"""Gossip crosses wires and their faults one by one; a seat for somebody hostile reaches as far as a key does."""

from __future__ import annotations

import pytest
import trio
from sim_mesh import LATENCY_S, Town, peer

from inos.core.errors import BadFrame, InosError, NotAMember, PeerUnavailable, TooLarge
from inos.core.ids import PeerId
from inos.mesh.gate import GateLimits
from inos.mesh.network import MAX_BODY_BYTES, MAX_GOSSIP_BYTES, MAX_PAYLOAD_BYTES, Message, Outcome
from inos.sim.frames import Frame, Kind
from inos.sim.hostile import HostileSeat
from inos.sim.network import MemoryNetwork
from inos.sim.wires import Weather
from inos.testing.roster import echo
from inos.testing.run import sim_test

STRANGER = peer(99)
Heard = list[tuple[PeerId, PeerId, bytes]]


async def listening(nodes: list[MemoryNetwork]) -> Heard:
    """What all of these hear on `news`: who, from whom, what."""
    heard: Heard = []
    for node in nodes:

        async def listen(origin: PeerId, data: bytes, me: PeerId = node.me) -> None:
            heard.append((me, origin, data))

        await node.subscribe("news", listen)
    return heard


def hear_of_all(town: Town) -> None:
    for node in town.nodes:
        node.admission.known |= town.roster.members  # type: ignore[attr-defined]


@sim_test
async def test_gossip_goes_from_listener_to_listener_and_takes_its_time() -> None:
    town = Town(3)
    a, b, c = town.nodes
    await a.connect(b.addresses(), timeout_s=5)
    await b.connect(c.addresses(), timeout_s=5)
    hear_of_all(town)
    heard = await listening(town.nodes)
    await a.publish("news", b"x")
    await trio.sleep(1.5 * LATENCY_S)
    assert heard == [(b.me, a.me, b"x")]
    await trio.sleep(1)
    assert heard == [(b.me, a.me, b"x"), (c.me, a.me, b"x")]


@sim_test
async def test_a_cut_wire_keeps_gossip_from_those_behind_it() -> None:
    town = Town(3)
    a, b, c = town.nodes
    await a.connect(b.addresses(), timeout_s=5)
    await b.connect(c.addresses(), timeout_s=5)
    hear_of_all(town)
    heard = await listening(town.nodes)
    town.fabric.cut(b.me, c.me)
    await a.publish("news", b"x")
    await trio.sleep(1)
    assert heard == [(b.me, a.me, b"x")]


@sim_test
async def test_in_a_large_mesh_gossip_reaches_nearly_all_once_in_spite_of_loss() -> None:
    town = await Town(40).connect()
    hear_of_all(town)
    heard = await listening(town.nodes)
    town.fabric.set_weather(Weather(lost=0.1, duplicated=0.1))
    for number in range(10):
        await town.nodes[number].publish("news", b"%d" % number)
    await trio.sleep(1)
    assert len(heard) == len(set(heard))
    assert 380 <= len(heard) <= 390


@sim_test
async def test_a_stranger_is_asked_for_proof_and_gets_nothing() -> None:
    town = await Town(2).connect()
    a = town.nodes[0]
    seat = town.fabric.join_hostile(STRANGER, b"hello, I am a member")
    got: list[Frame] = []
    seat.watch(got.append)
    hear_of_all(town)
    heard = await listening(town.nodes)
    with pytest.raises(NotAMember):
        await seat.connect(a.addresses(), timeout_s=5)
    for method in ("echo", "no.such.method"):
        with pytest.raises(NotAMember):
            await seat.send(a.me, method, Message(b"x"), timeout_s=5)
    seat.gossip(a.me, "news", b"lies")
    await trio.sleep(1)
    assert not heard
    assert (a.refused["member"], a.refused["method"]) == (1, 2)
    assert len(got) == 3
    assert all(isinstance(frame.message, NotAMember) for frame in got)


@sim_test
async def test_strangers_have_small_frames_and_a_rate() -> None:
    town = Town(1)
    a = town.nodes[0]
    a.serve("open", echo, strangers=True)
    seat = town.fabric.join_hostile(STRANGER)
    limits = GateLimits()
    with pytest.raises(PeerUnavailable):
        await seat.send(a.me, "open", Message(b"", bytes(limits.frame_bytes + 1)), timeout_s=5)
    outcomes: list[str] = []

    async def ask() -> None:
        try:
            await seat.send(a.me, "open", Message(b"x"), timeout_s=5)
            outcomes.append("ok")
        except InosError as error:
            outcomes.append(error.code)

    async with trio.open_nursery() as nursery:
        for _ in range(3 * limits.burst_per_peer):
            nursery.start_soon(ask)
    assert outcomes.count("ok") == limits.burst_per_peer - 1
    assert outcomes.count("busy") == a.refused["rate"] == 2 * limits.burst_per_peer + 1


async def traitor(town: Town) -> HostileSeat:
    """A hostile seat that is on the roster and connected with the first node."""
    town.roster.members.add(STRANGER)
    seat = town.fabric.join_hostile(STRANGER, b"hello, I am " + STRANGER.encode())
    await seat.connect(town.nodes[0].addresses(), timeout_s=5)
    return seat


@sim_test
async def test_a_traitor_breaks_every_limit_and_is_refused_by_frame() -> None:
    town = Town(1)
    a = town.nodes[0]
    seat = await traitor(town)
    for method, request in (
        ("echo", Message(bytes(MAX_PAYLOAD_BYTES + 1))),
        ("echo", Message(b"", bytes(MAX_BODY_BYTES + 1))),
        ("m" * 1000, Message()),
    ):
        with pytest.raises(PeerUnavailable):
            await seat.send(a.me, method, request, timeout_s=5)
    assert a.refused["frame"] == 3
    heard = await listening([a])
    seat.gossip(a.me, "news", bytes(MAX_GOSSIP_BYTES + 1))
    seat.gossip(a.me, "news", b"true")
    await trio.sleep(1)
    assert heard == [(a.me, STRANGER, b"true")]
    assert await seat.send(a.me, "echo", Message(b"x"), timeout_s=5) == Message(b"x")


@sim_test
async def test_a_traitor_answers_anything_or_nothing() -> None:
    town = Town(1)
    a = town.nodes[0]
    seat = await traitor(town)
    asked: list[tuple[PeerId, str, bytes]] = []
    answers: list[Outcome | None] = [Message(b"lies"), Message(b"", bytes(MAX_BODY_BYTES + 1)), TooLarge("no"), None]

    def answer(who: PeerId, method: str, request: Message) -> Outcome | None:
        asked.append((who, method, request.payload))
        return answers.pop(0)

    seat.answers = answer
    assert await a.call(STRANGER, "give", Message(b"q"), timeout_s=5) == Message(b"lies")
    for error in (BadFrame, TooLarge, PeerUnavailable):
        with pytest.raises(error):
            await a.call(STRANGER, "give", Message(b"q"), timeout_s=5)
    assert asked == [(a.me, "give", b"q")] * 4


@sim_test
async def test_one_who_was_struck_off_is_served_no_more_over_the_connection_it_has() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    seat = await traitor(town)
    got: list[Frame] = []
    seat.watch(got.append)
    hear_of_all(town)
    heard = await listening(town.nodes)
    town.roster.members.discard(STRANGER)
    with pytest.raises(NotAMember):
        await seat.send(a.me, "echo", Message(b"x"), timeout_s=5)
    seat.gossip(a.me, "news", b"lies")
    await b.publish("news", b"true")
    await trio.sleep(1)
    assert heard == [(a.me, b.me, b"true")]
    assert [frame.kind for frame in got] == [Kind.ANSWER]
