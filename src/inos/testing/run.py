"""Running async tests: `@trio_test` makes a coroutine test an ordinary one, under a deadline; `@sim_test` also gives it
a clock that starts at zero and jumps ahead whenever everybody waits, so that minutes pass at once."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
import trio.testing

TEST_DEADLINE_S: Final = 60
# Virtual seconds: a simulated test that goes on for a month has got stuck.
SIM_DEADLINE_S: Final = 30 * 86_400.0

AsyncTest = Callable[..., Awaitable[None]]


def trio_test(test: AsyncTest) -> Callable[..., None]:
    """`test` under the real clock."""
    return _runner(test, TEST_DEADLINE_S, lambda: None)


def sim_test(test: AsyncTest) -> Callable[..., None]:
    """`test` under a virtual clock; not for tests that wait for the world outside."""
    return _runner(test, SIM_DEADLINE_S, lambda: trio.testing.MockClock(autojump_threshold=0))


def _runner(
    test: AsyncTest, deadline_s: float, clock: Callable[[], trio.testing.MockClock | None]
) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            with trio.fail_after(deadline_s):
                await test(*args, **kwargs)

        trio.run(main, clock=clock())

    return run
