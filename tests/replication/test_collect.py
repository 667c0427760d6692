"""The collector's clock: what it believes of ages on disk when somebody sets the wall clock."""

from __future__ import annotations

import trio

from inos.core.env import FOREVER_S
from inos.replication.collect import ClockWatch
from inos.testing.env import SimEnv
from inos.testing.run import sim_test

DAY_S = 86_400.0


@sim_test
async def test_a_clock_that_only_drifts_is_believed() -> None:
    env = SimEnv()
    watch = ClockWatch(env)
    for _ in range(100):
        await trio.sleep(60)
        env.skew_s += 0.03
        assert watch.steady_s() == FOREVER_S


@sim_test
async def test_a_clock_that_was_set_is_believed_again_after_a_while() -> None:
    env = SimEnv()
    watch = ClockWatch(env)
    for jump_s in (DAY_S, -3 * DAY_S, 10.0):
        await trio.sleep(60)
        env.skew_s += jump_s
        assert watch.steady_s() == 0
        await trio.sleep(30)
        assert watch.steady_s() == 30
