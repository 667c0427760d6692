"""Looking for a fault that was put back into the code: in storms, and in the scenario made for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from inos.sim.mutations.mutation import Mutation
from inos.sim.plan import STORM_SETTINGS, storm
from inos.sim.play import play
from inos.sim.script import Script


@dataclass(frozen=True, slots=True)
class Caught:
    """The first invariant that was broken, in the run of `seed`, the `runs`-th, after `at_s` simulated seconds."""

    invariant: str
    seed: int
    runs: int
    at_s: float

    def __str__(self) -> str:
        return f"{self.invariant}, seed {self.seed} ({self.runs} played), {self.at_s:.0f} s"


def in_storms(mutation: Mutation, seeds: Iterable[int], nodes: int, minutes: float) -> Caught | None:
    """Play storms on the faulty code until an invariant breaks; None when none does."""
    settings = replace(STORM_SETTINGS, nodes=nodes)
    for runs, seed in enumerate(seeds, 1):
        script = storm(replace(settings, seed=seed), minutes * 60)
        if (caught := _play(mutation, script, minutes * 60, runs)) is not None:
            return caught
    return None


def in_its_scenario(mutation: Mutation, seed: int = 0) -> Caught | None:
    """Play the mutation's own scenario on the faulty code; None when no invariant breaks."""
    script, length_s = mutation.scenario(seed)
    return _play(mutation, script, length_s, 1)


def _play(mutation: Mutation, script: Script, length_s: float, runs: int) -> Caught | None:
    with mutation.put_in():
        result = play(script, length_s, to_the_end=False)
    if result.ok:
        return None
    first = result.violations[0]
    return Caught(first.invariant, script.settings.seed, runs, first.at_s)


def table(rows: Sequence[tuple[Mutation, Caught | None, Caught | None]]) -> str:
    """A Markdown table of mutations: what their scenario and what storms broke."""
    lines = ["| mutation | the code is wrong in that | its scenario | storms |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{one.name}` | {one.what} | {_alone(scenario)} | {storms or 'not caught'} |"
        for one, scenario, storms in rows
    ]
    return "\n".join(lines)


def _alone(caught: Caught | None) -> str:
    return "not caught" if caught is None else f"{caught.invariant}, {caught.at_s:.0f} s"
