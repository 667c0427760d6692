"""Workers: intervals, pokes, backoff, and a status that never hides a failure. Time is a mock clock."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from inos.core.worker import BACKOFF_MAX_S, JITTER, Backoff, Phase, Worker, WorkerSet
from inos.testing.env import SimEnv


def mock_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))

    return run


class Step:
    """Counts its rounds, remembers when they were; fails while told to."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.error: Exception | None = None

    async def __call__(self) -> None:
        self.times.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.error:
            raise self.error


async def run_for(worker: Worker | WorkerSet, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await worker.run()


@mock_time
async def test_rounds_come_at_the_interval_with_jitter() -> None:
    step = Step()
    worker = Worker("w", step, env=SimEnv(1), interval_s=10)
    await run_for(worker, 1000)
    gaps = [b - a for a, b in zip(step.times, step.times[1:], strict=False)]
    assert 90 <= len(gaps) <= 111
    assert all(10 * (1 - JITTER) <= gap <= 10 * (1 + JITTER) + 0.001 for gap in gaps)
    assert len({round(gap, 3) for gap in gaps}) > 50
    assert worker.status.runs == len(step.times)
    assert worker.status.last_success_s == step.times[-1]
    assert worker.status.phase is Phase.STOPPED


@mock_time
async def test_the_interval_may_change_from_round_to_round() -> None:
    step = Step()
    worker = Worker("w", step, env=SimEnv(1), interval_s=lambda: 10 if len(step.times) < 3 else 1000)
    await run_for(worker, 900)
    assert len(step.times) == 3


@mock_time
async def test_poke_starts_a_round_now_and_many_pokes_make_one() -> None:
    step = Step()
    worker = Worker("w", step, env=SimEnv(1), interval_s=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        await trio.sleep(1)
        for _ in range(5):
            worker.poke()
        await trio.sleep(1)
        assert len(step.times) == 2
        nursery.cancel_scope.cancel()


@mock_time
async def test_poke_during_a_round_asks_for_another() -> None:
    rounds = 0

    async def step() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            worker.poke()
        await trio.lowlevel.checkpoint()

    worker = Worker("w", step, env=SimEnv(1), interval_s=1000)
    await run_for(worker, 10)
    assert rounds == 2


@mock_time
async def test_failure_is_recorded_and_backed_off_whatever_pokes() -> None:
    step = Step()
    step.error = RuntimeError("disk on fire " + "x" * 1000)
    worker = Worker("w", step, env=SimEnv(1), interval_s=1, backoff=Backoff(base_s=1))

    async def poke() -> None:
        while True:
            worker.poke()
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        nursery.start_soon(poke)
        await trio.sleep(30)
        # 0, 1, 3, 7, 15 seconds, give or take the jitter
        assert len(step.times) in (5, 6)
        status = worker.status
        assert status.phase is Phase.FAILING
        assert status.failures == status.failures_in_row == len(step.times)
        assert status.last_error.startswith("RuntimeError: disk on fire")
        assert len(status.last_error) <= 300
        assert status.last_success_s is None
        nursery.cancel_scope.cancel()


@mock_time
async def test_success_after_failure_clears_the_row() -> None:
    step = Step()
    step.error = RuntimeError("briefly")
    worker = Worker("w", step, env=SimEnv(1), interval_s=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        await trio.sleep(0.5)
        step.error = None
        await trio.sleep(60)
        assert worker.status.failures == 1
        assert worker.status.failures_in_row == 0
        assert worker.status.phase is Phase.WAITING
        nursery.cancel_scope.cancel()


@mock_time
async def test_one_failing_worker_does_not_stop_the_others() -> None:
    workers, good, bad = WorkerSet(SimEnv(1)), Step(), Step()
    bad.error = RuntimeError("always")
    workers.add("good", good, interval_s=1)
    workers.add("bad", bad, interval_s=1)
    await run_for(workers, 60)
    assert len(good.times) > 50
    assert [status.name for status in workers.statuses()] == ["good", "bad"]
    with pytest.raises(ValueError, match="two workers named"):
        workers.add("good", good, interval_s=1)


@given(st.integers(1, 10_000), st.floats(0.001, 60))
def test_backoff_grows_and_is_capped(failures: int, base_s: float) -> None:
    backoff = Backoff(base_s=base_s)
    assert base_s <= backoff.delay_s(failures) <= backoff.delay_s(failures + 1) <= BACKOFF_MAX_S
