"""Fair shares of what many agents use at once: room in a queue, places for what lasts, and messages a second. Decides;
waits for nothing.

One that floods is refused first: in a room nobody may have more than would still be free, so that one alone gets half
of it, two get a third each, and whoever comes next finds some; and nobody writes faster than `Rates` says for long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from inos.core.errors import Busy

# How many messages a second an agent may write, where the operator does not say. Twice what an outbox drains at.
DEFAULT_RATE: Final = 10_000
# What an agent may write at once after a pause, in seconds of its rate.
BURST_S: Final = 2.0
# Agents remembered: a megabyte. Those that owe nothing are forgotten first.
MAX_KNOWN: Final = 10_000
_HINT: Final = "send it again after Retry-After; agents that use inos.messages do"


class Room:
    """`most` units of room, shared by whoever comes."""

    def __init__(self, most: int, what: str, *, hint: str = _HINT) -> None:
        """`what` there is too much of, as people are told, and what they are to do."""
        self._most = most
        self._what = what
        self._hint = hint
        self._used = 0
        self._of: dict[str, int] = {}

    @property
    def used(self) -> int:
        """Units taken, by all."""
        return self._used

    def take(self, who: str, count: int = 1) -> None:
        """`count` more for `who`. Raises Busy when less than what it would then have is left for the others."""
        mine = self._of.get(who, 0) + count
        if mine > self._most - self._used:
            raise Busy(f"too many {self._what} at once", hint=self._hint)
        self._used += count
        self._of[who] = mine

    def give(self, who: str, count: int = 1) -> None:
        """What was taken comes back."""
        self._used -= count
        self._of[who] -= count
        if not self._of[who]:
            del self._of[who]


class Places:
    """Places for what may last for as long as its caller likes. Agents share `most`, as in a room; the owner has as
    many apart from them, so that whatever agents hold, the owner finds one."""

    def __init__(self, most: int, what: str, *, hint: str) -> None:
        """`what` and `hint` as of a Room."""
        self._agents = Room(most, what, hint=hint)
        self._owner = Room(2 * most, what, hint=hint)  # one alone gets half of a room

    @contextmanager
    def held(self, agent: str) -> Iterator[None]:
        """One place for `agent`, the owner where it is "", given back at the end. Raises Busy."""
        room = self._agents if agent else self._owner
        room.take(agent)
        try:
            yield
        finally:
            room.give(agent)


class Rates:
    """How fast each agent writes. What it writes is owed and paid off at `per_s`; a batch passes whole while no more
    than BURST_S is owed, so a rate far below the size of a batch slows an agent down and never shuts it out."""

    def __init__(self, per_s: float, now_s: Callable[[], float]) -> None:
        self._per_s = per_s
        self._now_s = now_s
        self._spent: dict[str, float] = {}
        """When each agent will have paid for all that it wrote."""

    def take(self, counts: Mapping[str, int]) -> None:
        """So many messages of each agent. Raises Busy, with the time after which to come again, and takes nothing."""
        now_s = self._now_s()
        wait_s = max(self._spent.get(agent, 0.0) for agent in counts) - now_s - BURST_S if counts else 0.0
        if wait_s > 0:
            raise Busy(f"an agent writes more than {self._per_s:g} messages a second", hint=_HINT, retry_after_s=wait_s)
        for agent, count in counts.items():
            if agent not in self._spent and len(self._spent) >= MAX_KNOWN:
                self._forget(now_s)
            self._spent[agent] = max(now_s, self._spent.get(agent, now_s)) + count / self._per_s

    def _forget(self, now_s: float) -> None:
        """Those who owe nothing; where all do, the half that owes least."""
        owing = {agent: spent_s for agent, spent_s in self._spent.items() if spent_s > now_s}
        if len(owing) >= MAX_KNOWN:
            most = sorted(owing.items(), key=lambda each: each[1], reverse=True)
            owing = dict(most[: MAX_KNOWN // 2])
        self._spent = owing
