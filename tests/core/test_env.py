"""The Env contract, held by the real one and by the one for simulations."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
import trio
import trio.testing

from inos.core.env import Alarm, Env, Machine, RealEnv
from inos.sim.disk import SimDisk
from inos.sim.machine import MachineEnv
from inos.sim.schedule import Schedule
from inos.testing.env import SimEnv
from inos.testing.run import trio_test


def simulated_machine() -> MachineEnv:
    return MachineEnv(1, SimDisk(random.Random(1), capacity_bytes=10**9), Schedule())


@pytest.fixture(params=[RealEnv, SimEnv, simulated_machine], ids=["real", "simulated", "machine"])
def make_env(request: pytest.FixtureRequest) -> Callable[[], Env]:
    make: Callable[[], Env] = request.param
    return make


@trio_test
async def test_monotonic_never_goes_back(make_env: Callable[[], Env]) -> None:
    env: Env = make_env()
    times = [env.monotonic_s() for _ in range(100)]
    assert times == sorted(times)


@trio_test
async def test_wall_clock_is_in_seconds_since_1970(make_env: Callable[[], Env]) -> None:
    assert 1_600_000_000 < make_env().now_s() < 4_000_000_000


@trio_test
async def test_tokens_have_their_size_and_differ(make_env: Callable[[], Env]) -> None:
    env: Env = make_env()
    assert [len(env.token_bytes(size)) for size in (0, 1, 16, 1000)] == [0, 1, 16, 1000]
    assert len({env.token_bytes(16) for _ in range(100)}) == 100


@trio_test
async def test_a_machine_has_cores_memory_and_a_load(make_env: Callable[[], Env]) -> None:
    env: Env = make_env()
    assert env.machine().cores >= 1
    assert env.machine().memory_bytes > 1 << 20
    assert 0 <= env.load() <= 1
    assert env.machine() == make_env().machine()


@trio_test
async def test_a_pause_lasts_until_its_end_or_its_alarm(make_env: Callable[[], Env]) -> None:
    env, alarm = make_env(), Alarm()
    began_s = env.monotonic_s()
    await env.pause(0.02)
    await env.pause(0.02, alarm)
    assert env.monotonic_s() - began_s >= 0.04
    alarm.ring()
    alarm.ring()
    await env.pause(3600, alarm)
    await env.pause(3600, alarm)  # rung it stays
    alarm.reset()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(env.pause, 3600, alarm)
        nursery.start_soon(env.pause, float("inf"), other := Alarm())
        await trio.testing.wait_all_tasks_blocked()
        alarm.ring()
        other.ring()
    assert env.monotonic_s() - began_s < 3600


@trio_test
async def test_a_cancelled_pause_leaves_its_alarm_for_the_next(make_env: Callable[[], Env]) -> None:
    env, alarm = make_env(), Alarm()
    for seconds in (0.02, 3600):
        with trio.move_on_after(0.01) as scope:
            await env.pause(seconds, alarm)
        assert scope.cancelled_caught and alarm.on_ring is None
    await env.pause(0.03, alarm)  # past the end of the first
    with trio.CancelScope() as scope:
        scope.cancel()
        await env.pause(0.0, alarm)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(env.pause, 3600, alarm)
        await trio.testing.wait_all_tasks_blocked()
        alarm.ring()


def test_a_simulated_machine_is_what_it_is_said_to_be() -> None:
    env = SimEnv(machine=Machine(64, 1 << 40), busy=0.75)
    assert (env.machine(), env.load()) == (Machine(64, 1 << 40), 0.75)
    env.busy = 1.0
    assert env.load() == 1.0


@trio_test
async def test_in_thread_returns_and_raises(make_env: Callable[[], Env]) -> None:
    env: Env = make_env()
    assert await env.in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await env.in_thread(divmod, 7, 0)


@trio_test
async def test_real_threads_leave_the_loop_free_and_are_bounded() -> None:
    env, running, most, gate = RealEnv(), 0, 0, threading.Lock()
    release, full = threading.Event(), threading.Barrier(RealEnv.THREADS + 1)

    def work() -> None:
        nonlocal running, most
        with gate:
            running += 1
            most = max(most, running)
        if not release.is_set():
            full.wait(10)
        assert release.wait(10)
        with gate:
            running -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(RealEnv.THREADS + 4):
            nursery.start_soon(env.in_thread, work)
        await trio.to_thread.run_sync(full.wait, 10)
        await trio.sleep(0.02)
        assert most == RealEnv.THREADS
        release.set()


def test_one_seed_one_life() -> None:
    def draw(seed: int) -> tuple[bytes, float]:
        env = SimEnv(seed)
        return env.token_bytes(8), env.random.random()

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_simulated_time_is_the_clock_of_trio() -> None:
    async def main() -> None:
        env = SimEnv(skew_s=100)
        monotonic_s, now_s = env.monotonic_s(), env.now_s()
        await trio.sleep(3600)
        assert env.monotonic_s() - monotonic_s == pytest.approx(3600)
        assert env.now_s() - now_s == pytest.approx(3600)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
