"""Faults put back into the production code of this process, to see that the invariants notice.

    with MUTATIONS["forget-removals"].put_in():
        result = play(script, length_s)   # a run on code that is wrong in one way

A mutation replaces functions and methods of real classes for the time of a block. What it replaces must be there and
take the same arguments; otherwise the block is not entered, so that a mutation cannot rot into one that does nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from inos.core.errors import BadInput
from inos.sim.script import Script

Scenario = Callable[[int], tuple[Script, float]]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One fault. `put_in()` is the block in which the code has it; `caught_by` names the invariants that see it;
    `scenario(seed)` is a script in which it comes to light, and for how many seconds to play it."""

    name: str
    what: str
    caught_by: tuple[str, ...]
    put_in: Callable[[], AbstractContextManager[None]]
    scenario: Scenario


@contextmanager
def replaced(owner: object, name: str, new: Any) -> Iterator[None]:
    """`owner.name` (a class's or a module's) is `new` inside. Raises BadInput where there is none, or, of functions,
    where it takes other arguments than `new`."""
    if name not in vars(owner):
        raise BadInput(f"{owner!r} has no {name} any more", hint="bring the mutation into line with the code")
    old = vars(owner)[name]
    if inspect.isfunction(old) and _arguments(old) != _arguments(new):
        raise BadInput(
            f"{old.__qualname__} takes {_arguments(old)}, its replacement {_arguments(new)}",
            hint="bring the mutation into line with the code",
        )
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, old)


def _arguments(function: Callable[..., object]) -> list[str]:
    return list(inspect.signature(function).parameters)
