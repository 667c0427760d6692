"""Weighted rendezvous hashing: who, of a set of members, is first in line for an item.

Every node that knows the same members with the same weights gets the same order without asking anyone, the expected
share of a member is proportional to its weight, and a member that comes or goes moves only its own items.

    t = BLAKE3("inos rendezvous v1\\0" + item)
    h = first 8 bytes, big endian, of BLAKE3(t + member)
    u = ((h >> 12) + 0.5) / 2^52                      in (0, 1), exact in a double
    score = -weight / ln(u)                           greatest first; ties by member bytes, ascending

The item is hashed by itself first, so that a member and an item cannot run into each other, and so that the hash per
pair is one BLAKE3 block: 0.5 us; ranking 700 members takes 0.6 ms.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from math import log
from typing import Final

from inos.crypto.hashing import blake3_digest

_CONTEXT: Final = b"inos rendezvous v1\0"
# 52 of 64 bits and a half: the largest value stays below 1.0, whose logarithm would be zero.
_DROPPED_BITS: Final = 12
_UNIT: Final = 2.0**-52


def score(item: bytes, member: bytes, weight: float) -> float:
    """How much `member` is meant for `item`: above 0, or 0 for a weight that is not above 0."""
    return _score(blake3_digest(_CONTEXT + item), member, weight)


def ranked(item: bytes, members: Mapping[bytes, float]) -> list[bytes]:
    """The members (public key -> weight) by descending score. A weight of 0 or less leaves a member out."""
    return [member for _, member in sorted(_negated(item, members))]


def ranked_evenly(item: bytes, members: Iterable[bytes]) -> list[bytes]:
    """What `ranked` gives when all weights are the same: the order of the draws is that of the scores."""
    prefix = blake3_digest(_CONTEXT + item)
    return [member for _, member in sorted((-_drawn(prefix, member), member) for member in members)]


def best(item: bytes, members: Mapping[bytes, float], count: int) -> list[bytes]:
    """The first `count` of `ranked`, without sorting the rest."""
    return [member for _, member in heapq.nsmallest(count, _negated(item, members))]


def _negated(item: bytes, members: Mapping[bytes, float]) -> Iterator[tuple[float, bytes]]:
    prefix = blake3_digest(_CONTEXT + item)
    return ((-_score(prefix, member, weight), member) for member, weight in members.items() if weight > 0)


def _score(prefix: bytes, member: bytes, weight: float) -> float:
    if not weight > 0:
        return 0.0
    return -weight / log((_drawn(prefix, member) + 0.5) * _UNIT)


def _drawn(prefix: bytes, member: bytes) -> int:
    return int.from_bytes(blake3_digest(prefix + member)[:8], "big") >> _DROPPED_BITS
