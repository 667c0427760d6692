"""Running async tests: `@trio_test` makes a coroutine test an ordinary one, under a deadline."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

TEST_DEADLINE_S: Final = 60


def trio_test(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            with trio.fail_after(TEST_DEADLINE_S):
                await test(*args, **kwargs)

        trio.run(main)

    return run
