"""What a kill may come into: every kind of operation of the local store and of a node, with the scene it begins from.

An operation acknowledges its steps one by one, as it would to a user. `atomic`: a step happened or it did not; else
each fact by itself is as before or as after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crash.roots import Facts, Found, Scene, found

Acknowledge = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Operation:
    """`make` lays out the scene, `work` is what is killed, `found` reads what is left. `changes`: whether facts
    differ afterwards, which is checked, so that no operation passes by doing nothing."""

    name: str
    make: Callable[[Scene], None]
    work: Callable[[Scene, Acknowledge], None]
    found: Callable[[Scene], Found] = found
    atomic: bool = True
    changes: bool = True
    weight: int = 1
    """How many kills it gets beside the others, when not every boundary has one."""

    def allows(self, before: Facts, after: Facts, now: Facts) -> str:
        """What is wrong with `now`, between two acknowledgements; "" for nothing."""
        if self.atomic:
            return "" if now in (before, after) else _difference(before, after, now)
        for key in {*before, *after, *now}:
            if now.get(key) not in (before.get(key), after.get(key)):
                return f"{key}: {now.get(key)} instead of {before.get(key)} or {after.get(key)}"
        return ""


def _difference(before: Facts, after: Facts, now: Facts) -> str:
    def differs(other: Facts) -> list[str]:
        return sorted(key for key in {*other, *now} if other.get(key) != now.get(key))

    return f"neither as before ({', '.join(differs(before))}) nor as after ({', '.join(differs(after))})"
