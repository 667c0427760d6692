"""A storm: what a seed does to a mesh, written down as a script before any of it happens.

Users put, read, replace and remove all the while. Troubles come as pairs of a beginning and an end, drawn by weight,
within a fault budget: at most `AWAY_AT_ONCE` machines are away, asleep or cut off at a time, apart from partitions
and blackouts, which hit everybody. What may cost data for good (a lost disk, damaged chunks) looks at the truth when
its moment comes and is left out where the mesh never promised to survive it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from inos.sim import actions, troubles
from inos.sim.actions import Action
from inos.sim.message_plan import message_steps
from inos.sim.names import letters_of
from inos.sim.script import Script, Step
from inos.sim.settings import SimSettings
from inos.testing.env import SimEnv

KIB: Final = 1 << 10
AWAY_AT_ONCE: Final = 2
USERS_EVERY_S: Final = 7.0
TROUBLE_EVERY_S: Final = 12.0
# The first objects are in before the first trouble, so that there is something to lose.
CALM_S: Final = 20.0
SHORTEST_S, LONGEST_S = 3.0, 150.0
# Relative to chunks of 128 KiB: inside the manifest, in the database, one file, some chunks, a stripe.
_SIZES: Final = (
    (0.3, 1, 60 * KIB),
    (0.3, 65 * KIB, 127 * KIB),
    (0.25, 128 * KIB, 380 * KIB),
    (0.15, 384 * KIB, 900 * KIB),
)
STORM_SETTINGS: Final = SimSettings(
    nodes=20,
    regions=3,
    erasure_from_bytes=384 * KIB,
    chunk_bytes=128 * KIB,
    disk_bytes=256 << 20,
    hubs=3,
    snapshot_s=60.0,
)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A kind of trouble: how often, whether it takes a machine away, and its two halves."""

    weight: float
    takes_away: bool
    begin: Callable[[_Storm, str], Action]
    end: Callable[[str], Action] | None


class _Storm:
    """One seed's choices."""

    def __init__(self, settings: SimSettings, length_s: float) -> None:
        self.settings = settings
        self.length_s = length_s
        self.chance: random.Random = SimEnv(settings.seed).random
        self.joined = 0
        self.turned = 0
        self.gone = 0
        self.puts = 0
        self.names: list[tuple[str, str]] = []
        self._away_until_s: dict[str, float] = {}

    def machine(self) -> str:
        return letters_of(self.chance.randrange(self.settings.nodes))

    def moments(self, every_s: float, start_s: float) -> Iterator[float]:
        """Poisson arrivals until the end, to the hundredth of a second."""
        at_s = start_s
        while (at_s := at_s + self.chance.expovariate(1 / every_s)) < self.length_s:
            yield round(at_s, 2)

    def lasting_s(self) -> float:
        return round(min(LONGEST_S, max(SHORTEST_S, self.chance.lognormvariate(math.log(20), 0.9))), 2)

    # Users

    def users(self) -> Iterator[Step]:
        for number in range(6):
            yield Step(self.put(), round(number * CALM_S / 6, 2))
        for at_s in self.moments(USERS_EVERY_S, CALM_S):
            yield Step(self.use(), at_s)

    def use(self) -> Action:
        drawn = self.chance.random()
        if drawn < 0.3 or not self.names:
            return self.put()
        label, node = self.chance.choice(self.names)
        if drawn < 0.8:
            return actions.Get(label, self.machine(), self.chance.random() < 0.3)
        if drawn < 0.9:
            return self.put(node, label)
        return actions.Remove(label, self.machine())

    def put(self, node: str = "", name: str = "") -> Action:
        self.puts += 1
        label, node = f"o{self.puts}", node or self.machine()
        self.names.append((label, node))
        return actions.Put(label, self.size_bytes(), node, name)

    def size_bytes(self) -> int:
        drawn = self.chance.random()
        for share, least, most in _SIZES:
            if drawn < share:
                return self.chance.randint(least, most)
            drawn -= share
        return 0

    # Troubles

    def troubles(self) -> Iterator[Step]:
        weights = [kind.weight for kind in _KINDS]
        for at_s in self.moments(TROUBLE_EVERY_S, CALM_S):
            kind = self.chance.choices(_KINDS, weights)[0]
            node, lasting_s = self.machine(), self.lasting_s()
            if kind.takes_away and not self._may_go(node, at_s, lasting_s):
                continue
            yield Step(kind.begin(self, node), at_s)
            if kind.end is not None:
                yield Step(kind.end(node), round(at_s + lasting_s, 2))

    def _may_go(self, node: str, at_s: float, lasting_s: float) -> bool:
        """Note that a machine goes away, where the budget allows it."""
        away = [name for name, until_s in self._away_until_s.items() if until_s > at_s]
        if node in away or len(away) >= AWAY_AT_ONCE:
            return False
        self._away_until_s[node] = at_s + lasting_s
        return True


def storm(settings: SimSettings, length_s: float) -> Script:
    """What the seed of `settings` does to its mesh in `length_s` seconds."""
    drawn = _Storm(settings, length_s)
    steps = [*drawn.users(), *drawn.troubles()]
    if settings.hubs:
        steps += message_steps(settings.seed, settings.nodes, settings.hubs, CALM_S, length_s)
    steps.sort(key=lambda step: step.at_s or 0.0)
    return Script(settings, tuple(step for step in steps if (step.at_s or 0.0) < length_s))


def _halves(drawn: _Storm, node: str) -> Action:
    """A partition: the machine that was drawn and up to half of the others on the far side."""
    others = [letters_of(number) for number in range(drawn.settings.nodes) if letters_of(number) != node]
    far = drawn.chance.sample(others, drawn.chance.randrange(drawn.settings.nodes // 2))
    return troubles.Partition(("", " ".join(sorted([node, *far]))))


def _weather(drawn: _Storm, _node: str) -> Action:
    chance = drawn.chance
    return troubles.Weather(
        round(chance.uniform(0, 0.05), 3), round(chance.uniform(0, 0.05), 3), round(chance.uniform(0, 0.2), 3)
    )


def _clock(drawn: _Storm, node: str) -> Action:
    hours = drawn.chance.choice((-24.0 * 365, -2.0, -0.01, 0.01, 2.0, 24.0 * 30))
    return actions.SetClock(node, hours * 3600)


def _join(drawn: _Storm, node: str) -> Action:
    drawn.joined += 1
    return actions.Join() if drawn.joined <= 2 else actions.Get("o1", node)


def _turn(drawn: _Storm, node: str) -> Action:
    drawn.turned += 1
    return troubles.Turn(node) if drawn.turned == 1 else troubles.Stranger(node)


def _gone_for_good(drawn: _Storm, node: str) -> Action:
    """One machine in six may leave for ever, destroyed or thrown out; others lose their disk."""
    drawn.gone += 1
    if drawn.gone > drawn.settings.nodes // 6:
        return actions.LoseDisk(node)
    return actions.Destroy(node) if drawn.chance.random() < 0.5 else troubles.Revoke(node, "a")


_KINDS: Final = (
    _Trouble(5, True, lambda _, node: actions.Stop(node), actions.Start),
    _Trouble(3, True, lambda _, node: actions.Kill(node), actions.Start),
    _Trouble(3, True, lambda _, node: actions.Sleep(node), actions.Wake),
    _Trouble(2, True, lambda _, node: troubles.CutOff(node), troubles.Rejoin),
    _Trouble(2, False, lambda drawn, node: troubles.CutOneWay(node, drawn.machine()), lambda _: troubles.Heal()),
    _Trouble(1.5, False, _halves, lambda _: troubles.Heal()),
    _Trouble(2, False, _weather, lambda _: troubles.Weather()),
    _Trouble(
        1.5,
        False,
        lambda drawn, node: troubles.Slow(node, drawn.chance.uniform(2, 50)),
        lambda node: troubles.Slow(node, 1),
    ),
    _Trouble(1, False, lambda _, node: troubles.Narrow(node, 200_000), lambda node: troubles.Narrow(node, math.inf)),
    _Trouble(
        1.5, False, lambda drawn, node: actions.FillDisk(node, drawn.chance.randrange(1 << 20)), actions.EmptyDisk
    ),
    _Trouble(
        1,
        False,
        lambda drawn, node: actions.SlowDisk(node, drawn.chance.uniform(0.01, 0.5)),
        lambda node: actions.SlowDisk(node, 0),
    ),
    _Trouble(
        1.5,
        False,
        lambda drawn, node: actions.Busy(node, drawn.chance.uniform(0.01, 0.3)),
        lambda node: actions.Busy(node, 0),
    ),
    _Trouble(2, False, _clock, lambda node: actions.SetClock(node, 0)),
    _Trouble(2, False, lambda drawn, node: actions.Corrupt(node, "", drawn.chance.randint(1, 3)), None),
    _Trouble(1, False, lambda _, node: actions.LoseDisk(node), None),
    _Trouble(0.7, False, lambda drawn, _: actions.Blackout(drawn.chance.uniform(1, 20)), None),
    _Trouble(0.5, False, _join, None),
    _Trouble(1, False, lambda _, node: troubles.Stranger(node), None),
    _Trouble(0.4, False, _turn, None),
    _Trouble(0.7, False, _gone_for_good, None),
)
