"""The Env of a program with an agent: the machine itself, with threads that serve asyncio as well as trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio.to_thread

from inos.core.env import RealEnv

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ProgramEnv(RealEnv):
    """RealEnv on any event loop."""

    async def in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await anyio.to_thread.run_sync(work, *args)
