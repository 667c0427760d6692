"""A lock with two kinds of turn: many at once that do not disturb each other, or one alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


class Turns:
    """`async with turns.shared()` for the many, `turns.alone()` for the one. Whoever wants to be alone goes before
    sharers that come later, so it never waits for ever."""

    def __init__(self) -> None:
        self._entry = trio.Lock()
        self._sharing = 0
        self._empty = trio.Event()

    @asynccontextmanager
    async def shared(self) -> AsyncGenerator[None, None]:
        """A turn beside other sharers."""
        async with self._entry:
            self._sharing += 1
        try:
            yield
        finally:
            self._sharing -= 1
            if not self._sharing:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None, None]:
        """A turn with nobody else in."""
        async with self._entry:
            while self._sharing:
                self._empty = trio.Event()
                await self._empty.wait()
            yield
