"""How many nodes an object can lose, from who really holds what. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from inos.core.ids import Address

UNREADABLE: Final = -1


@dataclass(frozen=True, slots=True)
class Group:
    """Pieces that stand in for each other: any `need` of them bring the content back.

    A copied chunk is `need` 1 with its address once for each holder; a stripe is `need` k with its k + m shards.
    `holders[i]` is the member that keeps `addresses[i]`; `sizes[i]` its stored bytes.
    """

    need: int
    addresses: tuple[Address, ...]
    sizes: tuple[int, ...]
    holders: tuple[bytes, ...]


def group_losses(group: Group, good: Collection[bytes]) -> int:
    """Nodes among `good` that this group may lose at worst; UNREADABLE when it has too few pieces already."""
    counts = Counter(holder for holder in group.holders if holder in good)
    spare = sum(counts.values()) - group.need
    if spare < 0:
        return UNREADABLE
    losses = 0
    for _, pieces in counts.most_common():
        spare -= pieces
        if spare < 0:
            break
        losses += 1
    return losses


def survivable_losses(groups: Iterable[Group], good: Collection[bytes]) -> int:
    """The losses that the weakest group survives; UNREADABLE when one is gone. No groups survive nothing lost: 0."""
    weakest: int | None = None
    seen: dict[tuple[int, tuple[bytes, ...]], int] = {}
    for group in groups:
        shape = (group.need, group.holders)
        if shape not in seen:
            seen[shape] = group_losses(group, good)
        weakest = seen[shape] if weakest is None else min(weakest, seen[shape])
        if weakest == UNREADABLE:
            break
    return 0 if weakest is None else weakest


def quorum_losses(wanted: int) -> int:
    """What `put` must reach before it says quorum: half of the losses the plan survives, rounded up (3 of 5 copies)."""
    return (wanted + 1) // 2
