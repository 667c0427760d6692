"""What a node keeps of objects it does not owe to the mesh, and what it gives up first. Pure.

*Surplus* are pieces that the placement does not ask this node for: what `put` left here, what `get` kept. Owed pieces
are never looked at here: where they are is placement's business. That others really hold theirs is asked before
anything is freed (`collect.py`); this only ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

K = TypeVar("K")

# A use counts half after a week.
USES_HALVE_S: Final = 7 * 86400.0
_FRESH_S: Final = 60.0
_SMALL_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Surplus:
    """The surplus of one object here: bytes, when it was last used (wall clock), how often (decayed), how many other
    live members it could come back from, and whether it would have to be gathered from shards."""

    size_bytes: int
    used_at_s: float
    uses: float
    holders: int
    shards: bool
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class WarmRules:
    """How long surplus stays without being used, None: until its room is wanted; and whether reading leaves any."""

    keep_unused_s: float | None = 0.0
    keeps_reads: bool = False


KEEP_NOTHING: Final = WarmRules()


def worth(one: Surplus, now_s: float) -> float:
    """The higher, the later it goes: often and lately used, dear to get back, small."""
    cost = (2.0 if one.shards else 1.0) * (1 + 1 / max(1, one.holders))
    weight = float((one.size_bytes + _SMALL_BYTES) ** 0.5)
    return (1 + one.uses) * cost / (max(0.0, now_s - one.used_at_s) + _FRESH_S) / weight


def kept(surplus: Mapping[K, Surplus], rules: WarmRules, room_bytes: int | None, now_s: float) -> set[K]:
    """Which objects keep their surplus: pinned ones, and of those used lately enough the worthiest that fit in
    `room_bytes` (None: any amount). Pinned ones take their room first."""
    stay = {key for key, one in surplus.items() if one.pinned}
    limit_s = rules.keep_unused_s
    lately = [
        key for key, one in surplus.items() if key not in stay and (limit_s is None or now_s - one.used_at_s < limit_s)
    ]
    if room_bytes is None:
        return stay.union(lately)
    left_bytes = room_bytes - sum(surplus[key].size_bytes for key in stay)
    for key in sorted(lately, key=lambda key: worth(surplus[key], now_s), reverse=True):
        if surplus[key].size_bytes <= left_bytes:
            left_bytes -= surplus[key].size_bytes
            stay.add(key)
    return stay


def used_again(uses: float, age_s: float) -> float:
    """The decayed count after one more use, `age_s` after the last."""
    return float(uses * 0.5 ** (max(0.0, age_s) / USES_HALVE_S) + 1)
