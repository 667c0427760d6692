"""Caches for tests: on a machine's disk and on a simulated one, with a clock that a test sets."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inos.core.env import RealEnv
from inos.core.messages.message import Draft, Message
from inos.messages.cache import AgentCache, CacheLimits
from inos.messages.sizing import MIN_CACHE_BYTES
from inos.sim.disk import SimDisk
from inos.store.filesystem import REAL_FILES, Files

KEY: Final = bytes(range(32))
AGENT: Final = "scout-1"
SMALL: Final = CacheLimits(MIN_CACHE_BYTES)
START_S: Final = 1_800_000_000.0


class SetClock(RealEnv):
    """The machine, but for its clocks: a test moves them."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_s = START_S
        self.forward_s = 0.0

    def now_s(self) -> float:
        return self.wall_s

    def monotonic_s(self) -> float:
        return self.forward_s

    def later(self, seconds: float) -> None:
        self.wall_s += seconds
        self.forward_s += seconds


@dataclass
class Place:
    """Where caches of a test are."""

    folder: Path
    disk: SimDisk | None = None
    env: SetClock = field(default_factory=SetClock)

    @property
    def files(self) -> Files:
        return self.disk.files if self.disk else REAL_FILES

    def open(self, limits: CacheLimits | None = None, **options: Any) -> AgentCache:
        options = {"agent": AGENT, "key": KEY} | options
        return AgentCache(self.folder / "cache.db", env=self.env, limits=limits, files=self.files, **options)


def simulated(seed: int = 1, capacity_bytes: int = 10**9) -> Place:
    disk = SimDisk(random.Random(seed), capacity_bytes=capacity_bytes)
    return Place(disk.root, disk)


def place_of(kind: str, folder: Path) -> Place:
    return simulated() if kind == "simulated" else Place(folder)


def draft(content: Any = "text", **fields: Any) -> Draft:
    return Draft(AGENT, content, **fields)


def noise(size: int, seed: int) -> str:
    """Text that does not get smaller, one long word of it."""
    return random.Random(seed).randbytes(size // 2).hex()


def write(cache: AgentCache, count: int, **fields: Any) -> list[Message]:
    return cache.append_many([draft({"number": number}, **fields) for number in range(count)])


def index_all(cache: AgentCache) -> None:
    while cache.index_step():
        pass
