"""`inos sim --mutate`: faults put back into this process's code, to see whether the invariants notice."""

from __future__ import annotations

from inos.cli.output import note, say
from inos.core.errors import BadInput

ALL = "all"


def say_mutations() -> None:
    """Each fault that can be put in, in a line."""
    from inos.sim.mutations import MUTATIONS

    for mutation in MUTATIONS.values():
        say(f"{mutation.name:26}{mutation.what}; seen by: {', '.join(mutation.caught_by)}")


def hunt(name: str, seeds: range, nodes: int, minutes: float) -> bool:
    """Look for the fault called `name`, or for each of them in turn, and print what noticed it; whether everything was
    noticed."""
    from inos.sim.mutations import MUTATIONS
    from inos.sim.mutations.hunt import in_its_scenario, in_storms, table

    if name != ALL and name not in MUTATIONS:
        raise BadInput(f"there is no mutation {name!r}", hint="'inos sim --mutations' lists them")
    rows = []
    for mutation in MUTATIONS.values() if name == ALL else [MUTATIONS[name]]:
        note(f"looking for {mutation.name}")
        rows.append((mutation, in_its_scenario(mutation), in_storms(mutation, seeds, nodes, minutes)))
    say(table(rows))
    return all(scenario or storms for _, scenario, storms in rows)
