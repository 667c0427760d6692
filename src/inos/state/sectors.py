"""Sectors: how the keys of a table are spread over the members.

A sector is one of 64 parts of a table, chosen by the first byte of BLAKE3(partition), where the partition is the part
of the key whose records belong together. Its replicas are the members that score best by rendezvous over
(table, sector), so every node that knows the members knows who keeps what.

64: comparing all sectors of a table with a peer is one message of 4 KB; a mesh of 700 spreads 448 replicas over 330
nodes; ranking all sectors when a member comes costs 700 members 40 ms. More sectors would balance better and cost
every exchange; fewer would make a sector of a million records slow to hand to a new replica.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from inos.crypto.hashing import blake3_digest
from inos.state.rendezvous import best

SECTORS: Final = 64
# 3 of 5 or 4 of 7 answer for a sector: two or three members may be lost. From 20 members on losing three at once is
# no longer rare, and seven is still few.
FEW_REPLICAS: Final = 5
MANY_REPLICAS: Final = 7
MANY_MEMBERS: Final = 20


def sector_of(partition: bytes) -> int:
    """The sector, 0..63, of all keys of this partition."""
    return blake3_digest(partition)[0] % SECTORS


def replica_count(members: int) -> int:
    """How many replicas a sector should have in a mesh of that many members."""
    return FEW_REPLICAS if members < MANY_MEMBERS else MANY_REPLICAS


@lru_cache(maxsize=2048)
def even_replicas(table: str, sector: int, members: frozenset[bytes]) -> tuple[bytes, ...]:
    """`replicas` of members of equal weight: what a node with hundreds of them must not work out again and again."""
    return tuple(replicas(table, sector, dict.fromkeys(sorted(members), 1.0)))


def replicas(table: str, sector: int, members: Mapping[bytes, float]) -> list[bytes]:
    """The members (public key -> weight) that keep the sector, best first; all of them in a small mesh."""
    return replicas_among(table, sector, members, replica_count(len(members)))


def replicas_among(table: str, sector: int, some: Mapping[bytes, float], count: int) -> list[bytes]:
    """The first `count` of these, where `some` are known to be all that can be among them."""
    item = table.encode() + b"\0" + sector.to_bytes(2, "big")
    return best(item, some, count)
