"""What the disk of each running machine has, as of its latest commit: read once, looked at for every object.

Reads past the stores, which would find damage for the node, and keeps what it read until the node commits something.
"""

from __future__ import annotations

from dataclasses import dataclass

from inos.core.ids import Address, Cid
from inos.replication.placement import TABLE as PLACEMENT
from inos.replication.placement import Placement, decode_placement
from inos.sim.cluster import ClusterNode
from inos.store.cursor import Cursor
from inos.store.database import Database


@dataclass(frozen=True, slots=True)
class Stock:
    """The placements that a node knows, removed ones apart, and the chunks in its index."""

    placements: dict[Cid, Placement]
    chunks: frozenset[Address]


class Stocks:
    """The stock of every machine, by number."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Database, int, Stock]] = {}

    def of(self, node: ClusterNode) -> Stock:
        """What the machine, which must run, has now."""
        database = node.core.disk.database
        known = self._known.get(node.number)
        if known is None or known[0] is not database or known[1] != database.commits:
            known = self._known[node.number] = (database, database.commits, database.read(_stock))
        return known[2]


def _stock(cursor: Cursor) -> Stock:
    placed = cursor.execute("SELECT key, value, lamport FROM records WHERE tbl = ? AND NOT removed", (PLACEMENT,))
    placements = {cid: decode_placement(cid, value, epoch) for key, value, epoch in placed if (cid := Cid(key))}
    chunks = frozenset(Address(row[0]) for row in cursor.execute("SELECT address FROM chunks"))
    return Stock(placements, chunks)
