"""How much redundancy an object gets: copies or parity, over how many members. Pure.

Sizes and member counts are rows OB2, OB3 and RE1 of the specification. Two rules go beyond them:

* Room for repair. A stripe spreads over at most (nodes - tolerated losses) members, so that when the tolerated number
  of nodes is gone each lost shard still has a member of its own to be rebuilt on.
* Parity follows availability. It is never below 20 % of the data shards nor below the tolerated losses, and grows until
  the chance that a stripe is unreadable, with the members' measured availability, is at most UNREADABLE_TARGET.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inos.objects.chunks import CHUNK_BYTES
from inos.objects.layout import Scheme

KB, MB, GB = 10**3, 10**6, 10**9

MIN_COPIES: Final = 5
MAX_COPIES: Final = 7
TOLERATED_LOSSES: Final = 2
ERASURE_FROM_BYTES: Final = 100 * MB
MAX_STRIPE_SHARDS: Final = 120  # 100 data + 20 parity, row OB3
MIN_PARITY_SHARE: Final = 0.2
# Two stripes in a thousand have to wait for a node at a random moment (nothing is lost by waiting); a tenth of that
# would cost a seven-node mesh half as much storage again.
UNREADABLE_TARGET: Final = 2e-3

_MEMBERS_BY_SIZE: Final = ((MB, 5), (10 * MB, 10), (100 * MB, 30), (GB, 100), (10 * GB, 300))
_MEMBERS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class PlanRules:
    """What a mesh may want otherwise: from which size stripes replace copies, how many lost nodes are tolerated, and
    how large chunks are. An object of small chunks gets the members of one with as many whole ones, so that a
    simulation of massive objects has their real numbers of pieces and holders."""

    erasure_from_bytes: int = ERASURE_FROM_BYTES
    tolerated_losses: int = TOLERATED_LOSSES
    chunk_bytes: int = CHUNK_BYTES


DEFAULT_RULES: Final = PlanRules()


@dataclass(frozen=True, slots=True)
class Plan:
    """What an object of some size should get on the mesh as it is.

    `copies` counts the copies of each data chunk when the scheme is copies, and of manifest and pages always; it is
    what is wanted even when there are fewer nodes today, so that repair fills it when they come.
    """

    scheme: Scheme
    copies: int
    members: int


def base_members(size_bytes: int) -> int:
    """How many nodes share an object of this size where the mesh has them (row RE1)."""
    for limit, members in _MEMBERS_BY_SIZE:
        if size_bytes < limit:
            return members
    return _MEMBERS_MAX


def choose_plan(size_bytes: int, availabilities: Sequence[float], rules: PlanRules = DEFAULT_RULES) -> Plan:
    """The plan for `size_bytes` over nodes with these measured availabilities (0..1], one each, self included."""
    nodes = max(1, len(availabilities))
    mean = sum(availabilities) / nodes if availabilities else 1.0
    copies = _copies_for(mean)
    members = base_members(size_bytes * CHUNK_BYTES // rules.chunk_bytes)
    if size_bytes >= rules.erasure_from_bytes:
        scheme = _stripe_for(min(nodes, members), mean, rules.tolerated_losses)
        if scheme is not None:
            # What says where everything is must outlive as many losses as the content does.
            return Plan(scheme, max(copies, scheme.parity_shards + 1), min(nodes, members))
    return Plan(Scheme(1, 0), copies, min(nodes, max(copies, members)))


def shards_needed(scheme: Scheme, copies: int) -> int:
    """Members that a placement needs for every piece to have a node of its own."""
    return copies if scheme.is_copies else scheme.data_shards + scheme.parity_shards


def unreadable_chance(shards: int, parity: int, availability: float) -> float:
    """Chance that more than `parity` of `shards` nodes are away at once, each present with `availability`."""
    away = 1 - availability
    return sum(
        math.comb(shards, lost) * away**lost * availability ** (shards - lost) for lost in range(parity + 1, shards + 1)
    )


def _copies_for(availability: float) -> int:
    for copies in range(MIN_COPIES, MAX_COPIES):
        if (1 - availability) ** copies <= UNREADABLE_TARGET:
            return copies
    return MAX_COPIES


def _stripe_for(nodes: int, availability: float, tolerated: int) -> Scheme | None:
    """The stripe with the least parity that meets the rules above, or None where full copies serve better."""
    shards = min(nodes - tolerated, MAX_STRIPE_SHARDS)
    for parity in range(max(1, tolerated), shards - 1):
        data = shards - parity
        if parity >= MIN_PARITY_SHARE * data and unreadable_chance(shards, parity, availability) <= UNREADABLE_TARGET:
            return Scheme(data, parity)
    return None
