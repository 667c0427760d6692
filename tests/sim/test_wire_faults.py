"""Each fault of the simulated wires does what it says, and no more, and can be undone."""

from __future__ import annotations

import pytest
import trio
from sim_mesh import LATENCY_S, Town, peer, took_s

from inos.core.errors import BadInput, PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh.network import Message
from inos.sim.frames import Frame, Kind
from inos.sim.network import MemoryNetwork
from inos.sim.wires import CLEAR, Distance, Weather
from inos.testing.run import sim_test

ROUND_S = 2 * LATENCY_S


@sim_test
async def test_distance_goes_by_region_and_by_pair() -> None:
    town = await Town(3).connect()
    a, b, c = town.nodes
    for node, region in ((a, "oslo"), (b, "lima"), (c, "lima")):
        town.fabric.place(node.me, region)
    town.fabric.set_distance("oslo", "lima", Distance(0.12))
    town.fabric.set_distance("lima", "lima", Distance(0.002))
    assert await took_s(a, b) == pytest.approx(0.24)
    assert await took_s(b, a) == pytest.approx(0.24)
    assert await took_s(b, c) == pytest.approx(0.004)
    town.fabric.set_latency(a.me, b.me, 0.05)
    assert await took_s(a, b) == pytest.approx(0.1)
    assert await took_s(a, c) == pytest.approx(0.24)


@sim_test
async def test_jitter_spreads_and_reorders() -> None:
    town = await Town(2, jitter_s=0.02).connect()
    a, b = town.nodes
    times = [await took_s(a, b) or 0 for _ in range(50)]
    assert min(times) >= ROUND_S
    assert max(times) <= ROUND_S + 0.04
    assert max(times) - min(times) > 0.01
    arrived: list[bytes] = []

    async def note(_peer: PeerId, request: Message) -> Message:
        arrived.append(request.payload)
        return request

    b.serve("note", note)
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(lambda n=number: a.call(b.me, "note", Message(b"%02d" % n), timeout_s=5))
    assert sorted(arrived) == sorted({b"%02d" % number for number in range(50)})
    assert arrived != sorted(arrived)


@sim_test
async def test_ticks_round_arrivals_up() -> None:
    town = await Town(2, jitter_s=0.02, tick_s=0.005).connect()
    at_s: list[float] = []
    town.fabric.watch(lambda now_s, _frame: at_s.append(now_s))
    for _ in range(20):
        assert await took_s(town.nodes[0], town.nodes[1]) is not None
    assert len(at_s) == 40
    assert all(abs(moment_s / 0.005 - round(moment_s / 0.005)) < 1e-6 for moment_s in at_s)


@sim_test
async def test_a_lost_frame_is_a_call_that_times_out_on_a_connection_that_stays() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    town.fabric.set_weather(Weather(lost=0.25))
    lost_before = town.fabric.counters.lost
    outcomes = [await took_s(a, b, timeout_s=1) for _ in range(200)]
    # An echo needs two frames: 0.75 * 0.75 of them come back.
    assert 70 <= outcomes.count(None) <= 105
    assert town.fabric.counters.lost - lost_before == outcomes.count(None)
    assert a.connected() == {b.me}
    town.fabric.set_weather(CLEAR)
    assert await took_s(a, b) == pytest.approx(ROUND_S)


@sim_test
async def test_a_lost_frame_can_break_its_connection_for_both() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    gone: list[PeerId] = []
    a.on_disconnected(gone.append)
    b.on_disconnected(gone.append)
    town.fabric.set_weather_between(a.me, b.me, Weather(lost=1, breaks=1))
    start_s = trio.current_time()
    with pytest.raises(PeerUnavailable):
        await a.call(b.me, "echo", Message(), timeout_s=30)
    assert trio.current_time() - start_s < 1
    assert sorted(gone) == sorted([a.me, b.me])
    town.fabric.set_weather_between(a.me, b.me, None)
    await a.connect(b.addresses(), timeout_s=5)
    assert await took_s(a, b) is not None


@sim_test
async def test_a_duplicated_request_is_handled_twice_and_answered_once() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    handled: list[bytes] = []

    async def note(_peer: PeerId, request: Message) -> Message:
        handled.append(request.payload)
        return Message(b"%d" % len(handled))

    b.serve("note", note)
    town.fabric.set_weather(Weather(duplicated=1))
    assert await a.call(b.me, "note", Message(b"once"), timeout_s=5) == Message(b"1")
    await trio.sleep(1)
    assert handled == [b"once", b"once"]
    # One request and two answers, each twice.
    assert town.fabric.counters.duplicated == 3


@sim_test
async def test_late_frames_are_overtaken() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    town.fabric.set_weather(Weather(late=0.5, late_s=2.0))
    times = [await took_s(a, b) or 0 for _ in range(100)]
    on_time = sum(taken == pytest.approx(ROUND_S) for taken in times)
    assert 10 <= on_time <= 45  # both frames on time: one in four
    assert 1 < max(times) <= ROUND_S + 4


@sim_test
async def test_what_is_sent_through_a_narrow_line_queues() -> None:
    town = await Town(3).connect()
    a, b, c = town.nodes
    town.fabric.set_bandwidth(a.me, up=100_000)
    assert await took_s(a, b, 200_000) == pytest.approx(2.0, abs=0.1)
    done_s: list[float] = []

    async def timed(to: PeerId) -> None:
        await a.call(to, "echo", Message(b"", bytes(100_000)), timeout_s=60)
        done_s.append(trio.current_time() - start_s)

    start_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        for to in (b.me, c.me, b.me):
            nursery.start_soon(timed, to)
    assert done_s == pytest.approx([1.0, 2.0, 3.0], abs=0.1)
    town.fabric.set_bandwidth(a.me, down=50_000)
    assert await took_s(a, b, 100_000) == pytest.approx(2.0, abs=0.1)
    assert await took_s(b, c, 100_000) == pytest.approx(ROUND_S)
    town.fabric.set_bandwidth(a.me)
    assert await took_s(a, b, 100_000) == pytest.approx(ROUND_S)
    with pytest.raises(BadInput):
        town.fabric.set_bandwidth(a.me, up=0)


@sim_test
async def test_a_partition_lets_nothing_pass_between_groups() -> None:
    town = await Town(5).connect()
    a, b, c, d, e = town.nodes
    town.fabric.partition([[a.me, b.me], [c.me]])
    for one, other, passes in ((a, b, True), (a, c, False), (b, d, False), (c, d, False), (d, e, True)):
        assert (await took_s(one, other, timeout_s=0.5) is not None) is passes
        assert town.fabric.passes(one.me, other.me) is passes
    town.fabric.partition([])
    assert await took_s(a, c) is not None


@sim_test
async def test_a_cut_one_way_lets_the_other_way_pass() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    handled: list[PeerId] = []

    async def note(caller: PeerId, request: Message) -> Message:
        handled.append(caller)
        return request

    a.serve("note", note)
    b.serve("note", note)
    town.fabric.cut_one_way(a.me, b.me)
    for one, other in ((a, b), (b, a)):
        with pytest.raises(PeerUnavailable):
            await one.call(other.me, "note", Message(), timeout_s=1)
    # b's request came through, a's answer to it did not.
    assert handled == [b.me]
    town.fabric.mend(a.me, b.me)
    assert await took_s(a, b) is not None


@sim_test
async def test_a_slow_peer_takes_its_time() -> None:
    town = await Town(3).connect()
    a, b, c = town.nodes
    town.fabric.slow(b.me, 10)
    assert await took_s(a, b) == pytest.approx(10 * ROUND_S)
    assert await took_s(b, a) == pytest.approx(10 * ROUND_S)
    assert await took_s(a, c) == pytest.approx(ROUND_S)
    town.fabric.slow(b.me, handling_s=0.5)
    assert await took_s(a, b) == pytest.approx(ROUND_S + 0.5)
    assert await took_s(b, a) == pytest.approx(ROUND_S)
    town.fabric.slow(b.me)
    assert await took_s(a, b) == pytest.approx(ROUND_S)


@sim_test
async def test_a_nap_costs_nothing_but_silence() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    town.fabric.asleep(b.me, links_break_after_s=30)
    assert await took_s(a, b, timeout_s=10) is None
    assert await took_s(b, a, timeout_s=10) is None
    town.fabric.awake(b.me)
    assert a.connected() == {b.me}
    assert await took_s(a, b) == pytest.approx(ROUND_S)
    await trio.sleep(100)
    assert a.connected() == {b.me}


@sim_test
async def test_after_a_long_sleep_the_sleeper_finds_its_connections_gone() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    gone: list[PeerId] = []
    b.on_disconnected(gone.append)
    town.fabric.asleep(b.me, links_break_after_s=30)
    await trio.sleep(31)
    assert not a.connected()
    assert b.connected() == {a.me}
    town.fabric.awake(b.me)
    assert await took_s(b, a) is None
    assert gone == [a.me]
    await b.connect(a.addresses(), timeout_s=5)
    assert await took_s(a, b) is not None


@sim_test
async def test_a_second_sleep_has_a_patience_of_its_own() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    town.fabric.asleep(b.me, links_break_after_s=30)
    await trio.sleep(20)
    town.fabric.awake(b.me)
    town.fabric.asleep(b.me, links_break_after_s=30)
    await trio.sleep(20)
    assert a.connected() == {b.me}
    await trio.sleep(20)
    assert not a.connected()


@sim_test
async def test_heal_undoes_every_fault_and_leaves_the_geography() -> None:
    town = await Town(3).connect()
    a, b, c = town.nodes
    fabric = town.fabric
    fabric.set_distance("", "", Distance(0.03))
    fabric.cut(a.me, b.me)
    fabric.cut_one_way(b.me, c.me)
    fabric.partition([[a.me], [b.me, c.me]])
    fabric.set_weather(Weather(lost=1))
    fabric.set_weather_between(a.me, c.me, Weather(duplicated=1))
    fabric.slow(a.me, 5, handling_s=1)
    fabric.asleep(c.me)
    fabric.heal()
    for one, other in ((a, b), (b, c), (c, a)):
        assert await took_s(one, other) == pytest.approx(0.06)


@sim_test
async def test_a_connection_half_closed_during_a_cut_ends_on_the_next_frame() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    town.fabric.cut(a.me, b.me)
    await a.disconnect(b.me)
    town.fabric.heal()
    assert b.connected() == {a.me}
    assert await took_s(b, a) is None
    assert not b.connected()
    await b.connect(a.addresses(), timeout_s=5)
    assert await took_s(a, b) is not None


@sim_test
async def test_an_old_goodbye_does_not_end_a_new_connection() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    town.fabric.set_weather_between(a.me, b.me, Weather(late=1, late_s=5))
    await a.disconnect(b.me)
    await a.connect(b.addresses(), timeout_s=60)
    await trio.sleep(60)
    assert a.connected() == {b.me}
    assert b.connected() == {a.me}


@sim_test
async def test_a_stopped_peer_is_seen_to_go_at_once_and_its_askers_are_told() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    stranger = town.fabric.join_hostile(peer(99))

    async def never(_peer: PeerId, _request: Message) -> Message:
        await trio.sleep_forever()
        raise AssertionError

    b.serve("never", never, strangers=True)
    ended_s: list[float] = []

    async def ask(node: MemoryNetwork) -> None:
        with pytest.raises(PeerUnavailable):
            await node.ask(b.addresses(), "never", Message(), timeout_s=100)
        ended_s.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, a)
        nursery.start_soon(ask, stranger)
        await trio.sleep(1)
        town.fabric.stop(b.me)
        assert not a.connected()
        stopped_s = trio.current_time()
    assert ended_s == pytest.approx([stopped_s + LATENCY_S] * 2)


@sim_test
async def test_a_stopped_peer_reaches_nobody() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    town.fabric.stop(a.me)
    sent_before = town.fabric.counters.sent
    for attempt in (
        a.call(b.me, "echo", Message(), timeout_s=1),
        a.ask(b.addresses(), "echo", Message(), timeout_s=1),
        a.connect(b.addresses(), timeout_s=1),
    ):
        with pytest.raises(PeerUnavailable):
            await attempt
    await a.publish("news", b"x")
    assert town.fabric.counters.sent == sent_before


@sim_test
async def test_watchers_see_every_frame_that_arrives_and_counters_count() -> None:
    town = await Town(2).connect()
    a, b = town.nodes
    seen: list[tuple[float, Frame]] = []
    town.fabric.watch(lambda at_s, frame: seen.append((at_s, frame)))
    counters = town.fabric.counters
    sent_before, arrived_before = counters.sent, counters.arrived
    start_s = trio.current_time()
    await a.call(b.me, "echo", Message(b"payload", b"body"), timeout_s=5)
    (asked_s, request), (answered_s, answer) = seen
    assert (request.kind, request.source, request.target, request.name) == (Kind.REQUEST, a.me, b.me, "echo")
    assert (answer.kind, answer.source, answer.target) == (Kind.ANSWER, b.me, a.me)
    assert (asked_s - start_s, answered_s - start_s) == pytest.approx((LATENCY_S, 2 * LATENCY_S))
    assert request.digest != answer.digest
    assert request.digest == Frame(Kind.REQUEST, a.me, b.me, "echo", Message(b"payload", b"body")).digest
    assert request.digest != Frame(Kind.REQUEST, a.me, b.me, "echo", Message(b"payloadb", b"ody")).digest
    assert request.size_bytes > 11
    assert (counters.sent - sent_before, counters.arrived - arrived_before) == (2, 2)
    assert counters.sent_bytes >= request.size_bytes + answer.size_bytes


def test_shares_are_shares() -> None:
    with pytest.raises(BadInput):
        Weather(lost=1.5)
