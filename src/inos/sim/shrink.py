"""Making a failing script short: what is left fails in the same way, and nearly every step of it is needed.

Steps are left out in ever smaller groups (delta debugging) while the first broken invariant stays the same; then
time after the failure and machines that nobody names are left out. Each try is a whole run, so `tries` bounds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from inos.core.errors import BadInput
from inos.sim.names import number_of
from inos.sim.play import Result, play
from inos.sim.script import Script, Step

TRIES: Final = 200
# What follows a failure that is found by the periodic look may still matter to it.
_AFTER_S: Final = 20.0
_SMALLEST_MESH: Final = 3

Play = Callable[[Script, float], Result]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A short script, what comes of it, and how many runs it took to find."""

    result: Result
    tries: int


class _Shrinker:
    def __init__(self, failing: Result, tries: int, run: Play) -> None:
        self.best = failing
        self.tries = 0
        self._most = tries
        self._run = run
        self._broken = failing.violations[0].invariant

    @property
    def script(self) -> Script:
        return self.best.script

    def fails(self, script: Script, length_s: float) -> bool:
        """Whether this one breaks the same invariant; if so it is the best so far."""
        if self.tries >= self._most:
            return False
        self.tries += 1
        result = self._run(script, length_s)
        if not any(violation.invariant == self._broken for violation in result.violations):
            return False
        self.best = result
        return True

    def drop_the_end(self) -> None:
        """Leave out what came after the failure."""
        end_s = self.best.violations[0].at_s + _AFTER_S
        steps = tuple(step for step in self.script.steps if (step.at_s or 0.0) <= end_s)
        if end_s < self.best.length_s or len(steps) < len(self.script.steps):
            self.fails(replace(self.script, steps=steps), min(end_s, self.best.length_s))

    def drop_steps(self) -> None:
        """Leave out groups of steps, from halves to single ones."""
        size = len(self.script.steps) // 2
        while size:
            at = 0
            while at < len(self.script.steps):
                kept = self.script.steps[:at] + self.script.steps[at + size :]
                if not self.fails(replace(self.script, steps=kept), self.best.length_s):
                    at += size
            size //= 2

    def drop_machines(self) -> None:
        """Leave out machines that no step names, from the last one on."""
        named = [number for step in self.script.steps for number in _machines(step)]
        smallest = max(_SMALLEST_MESH, max(named, default=0) + 1)
        for nodes in range(smallest, self.script.settings.nodes):
            settings = replace(self.script.settings, nodes=nodes)
            if self.fails(replace(self.script, settings=settings), self.best.length_s):
                return


def shrink(failing: Result, *, tries: int = TRIES, run: Play = play) -> Shrunk:
    """A short script that breaks the invariant that `failing` broke first. Raises BadInput when it broke none."""
    if failing.ok:
        raise BadInput("nothing to shrink: every invariant held")
    shrinker = _Shrinker(failing, tries, run)
    shrinker.drop_the_end()
    shrinker.drop_steps()
    shrinker.drop_machines()
    return Shrunk(shrinker.best, shrinker.tries)


def _machines(step: Step) -> Sequence[int]:
    """The numbers of the machines a step names."""
    action = step.action
    texts = [getattr(action, field.name) for field in fields(action) if field.name in ("node", "a", "b", "by")]
    texts += [name for group in getattr(action, "groups", ()) for name in group.split()]
    return [number_of(text) for text in texts if text]
