"""What storms do to messages: agents on a few machines write, people mark, now and then somebody moves the hub.

Drawn apart from everything else, so that what a seed does to files does not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from inos.sim.message_actions import Append, Mark, TakeHub
from inos.sim.names import letters_of
from inos.testing.env import SimEnv

if TYPE_CHECKING:
    from inos.sim.script import Step

# Agents are on as many machines: each has a cache of its own, which costs time to simulate.
WRITERS: Final = 4
WRITE_EVERY_S: Final = 12.0
MARK_EVERY_S: Final = 60.0
TAKE_EVERY_S: Final = 200.0
_SALT: Final = 7919


def message_steps(seed: int, nodes: int, hubs: int, start_s: float, length_s: float) -> Iterator[Step]:
    """Steps of a storm over a mesh in which `hubs` machines may be the hub."""
    from inos.sim.script import Step

    chance = SimEnv(seed * _SALT + 1).random
    writers = [letters_of(number) for number in sorted(chance.sample(range(nodes), min(WRITERS, nodes)))]

    def moments(every_s: float) -> Iterator[float]:
        at_s = start_s
        while (at_s := at_s + chance.expovariate(1 / every_s)) < length_s:
            yield round(at_s, 2)

    yield from (Step(Append(chance.choice(writers), chance.randint(1, 4)), at_s) for at_s in moments(WRITE_EVERY_S))
    yield from (Step(Mark(letters_of(chance.randrange(nodes))), at_s) for at_s in moments(MARK_EVERY_S))
    yield from (Step(TakeHub(letters_of(chance.randrange(hubs))), at_s) for at_s in moments(TAKE_EVERY_S))
