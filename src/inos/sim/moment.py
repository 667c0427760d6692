"""The moment a put is acknowledged: whether what its user is told is true of the disks right then."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from inos.objects.reference import ObjectName
from inos.replication.placement import TABLE as PLACEMENT
from inos.sim.cluster import ClusterNode
from inos.sim.promises import Promise
from inos.sim.truth import standing
from inos.sim.world import World
from inos.state.lamport import GENERATION
from inos.vault.catalogue import TABLE as CATALOGUE
from inos.vault.catalogue import CatalogueCipher


class Moment:
    """One put on one machine, from its beginning on."""

    def __init__(self, world: World, node: ClusterNode) -> None:
        self._world = world
        self._node = node
        self._begun_s = trio.current_time()
        self._members = len(node.core.membership.members())
        self.calm = world.counts_on(node)
        """Whether its user could count on being served when it began."""

    def check(self, promise: Promise) -> None:
        """Record what is not as the acknowledgement says."""
        for text in self._untrue(promise):
            self._world.violated("acknowledged truly", f"{promise.label}: {text}")

    def _untrue(self, promise: Promise) -> Iterator[str]:
        world, report = self._world, promise.report
        assert report is not None, "acknowledged"
        placement = world.placement(promise.cid)
        members = placement.members if placement is not None else ()
        touched = [node for node in world.cluster.nodes if node.key in members and self._is_doubtful(node)]
        left = standing(world, promise) + len(touched)
        # Repair may be moving it already; what was acknowledged lies with its former members then.
        moving = placement is not None and placement.epoch % GENERATION > 0
        if left < report.survives and not moving:
            yield f"said to survive {report.survives} losses, survives {left}"
        if not promise.is_local and len(self._node.core.membership.members()) == self._members:
            owner, secret = self._node.core.identity.owner, self._node.keyring.catalogue_key()
            key = CatalogueCipher(owner, secret).key_of(ObjectName.parse(f"/{promise.name}"))
            yield from self._is_short(CATALOGUE, key, 1)
            # Repair may have changed its members since, within the generation that was acknowledged.
            yield from self._is_short(PLACEMENT, bytes(promise.cid), GENERATION)

    def _is_doubtful(self, node: ClusterNode) -> bool:
        """Whether the machine cannot be looked at, or something has happened to it since it answered."""
        if not node.running or node.number in (*self._world.hostile, *self._world.doubted):
            return True
        return self._world.disturbed_since(node.number, self._begun_s)

    def _is_short(self, table: str, key: bytes, unit: int) -> Iterator[str]:
        """Whether fewer than a majority of its replicas have the record that this machine has, or a later one."""
        ours = self._node.core.disk.records.get(table, key)
        replicas = self._node.core.tables.replicas(table, key)
        having = 0
        for node in self._world.cluster.nodes:
            if node.key in replicas and not self._is_doubtful(node):
                theirs = node.core.disk.records.get(table, key)
                having += ours is None or (theirs is not None and theirs.lamport // unit >= ours.lamport // unit)
            else:
                having += node.key in replicas
        if having <= len(replicas) // 2:
            yield f"its {table} record is on {having} of {len(replicas)} replicas"
