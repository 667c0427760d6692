"""What is really on the disks of a simulated mesh, which no node can know: the ground invariants stand on.

Presence is read from each machine's own index, which is cheap and right while disks are sound; of a machine whose disk
was damaged, every piece is read and hashed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from inos.core.errors import InosError
from inos.core.ids import Address, Cid
from inos.messages.hub_record import TABLE as HUBS
from inos.replication.durability import UNREADABLE, Group, survivable_losses
from inos.replication.layout import assigned_to
from inos.replication.placement import TABLE as PLACEMENT
from inos.replication.placement import Placement
from inos.replication.scheme import shards_needed
from inos.sim.cluster import ClusterNode
from inos.sim.message_truth import segment_cids
from inos.sim.promises import Promise
from inos.sim.world import Pieces, World
from inos.vault.catalogue import TABLE as CATALOGUE

# A record that this many other machines have outlives any single one of them.
_SPREAD_RECORDS = 3
_PAGE = 10_000


def standing(world: World, promise: Promise, without: Sequence[int] = ()) -> int:
    """How many more machines the object can lose, by the pieces that running machines other than `without` really
    have, members or not; -1 when it cannot be read."""
    return standing_of(world, promise.cid, without)


def standing_of(world: World, cid: Cid, without: Sequence[int] = ()) -> int:
    """As `standing`, of any object."""
    placement = world.placement(cid)
    if placement is None:
        return UNREADABLE
    known = _pieces_of(world, placement)
    if known is None:
        return UNREADABLE
    holders = [node for node in world.honest() if node.number not in without]
    good = [node.key for node in holders if node.key in placement.members and _holds(world, node, known)]
    losses = survivable_losses(known.groups, good)
    if losses >= 0:
        return losses
    return 0 if _readable(world, known.groups, holders) else UNREADABLE


def wanted(world: World, promise: Promise) -> int:
    """How many losses an object is to survive once repair is done, with the machines there are: too few of them for its
    copies or shards share what there is."""
    placement = world.placement(promise.cid)
    if placement is None:
        return promise.wanted
    liars = sum(world.cluster.nodes[at].key in placement.members for at in world.hostile)
    most = promise.wanted
    if len(world.honest()) < shards_needed(placement.scheme, placement.copies):
        known = _pieces_of(world, placement)
        most = min(most, survivable_losses(known.groups if known is not None else (), placement.members))
    return most - liars


def _pieces_of(world: World, placement: Placement) -> Pieces | None:
    """All pieces of an object; None when its manifest is on no running machine."""
    known = world.layouts.get(placement)
    if known is None:
        try:
            groups = tuple(world.cluster.groups(placement))
        except InosError:
            return None
        of = {
            member: frozenset(address for group in groups for address in assigned_to(group, member))
            for member in placement.members
        }
        known = world.layouts[placement] = Pieces(groups, of)
    return known


def _holds(world: World, node: ClusterNode, known: Pieces) -> bool:
    """Whether the machine has all of its pieces."""
    wanted = known.of[node.key]
    return len(pieces(world, node, wanted)) == len(wanted)


def pieces(world: World, node: ClusterNode, wanted: Collection[Address]) -> frozenset[Address]:
    """Which of `wanted` the machine really has."""
    found = world.stocks.of(node).chunks.intersection(wanted)
    return found if node.number not in world.doubted else frozenset(filter(node.is_sound, found))


def _readable(world: World, groups: Sequence[Group], holders: Sequence[ClusterNode]) -> bool:
    """Whether enough pieces of every group lie somewhere, on members or not."""
    wanted = list(dict.fromkeys(address for group in groups for address in group.addresses))
    there: set[Address] = set()
    for node in holders:
        there |= pieces(world, node, wanted)
    return all(sum(address in there for address in set(group.addresses)) >= group.need for group in groups)


def can_lose(world: World, node: ClusterNode) -> bool:
    """Whether everything that is owed outlives the disk of this machine: no more than the mesh promised to survive."""
    for promise in world.promises.owed():
        if standing(world, promise, [node.number]) < 0 or len(promise.lost) >= promise.survives:
            return False
    return messages_outlive(world, node) and (not node.running or _records_are_spread(world, node))


def messages_outlive(world: World, node: ClusterNode) -> bool:
    """Whether every segment of messages that can be read now can be read without this machine's disk, and it is not the
    hub of a mesh whose messages are still on their way."""
    if not world.messages.used:
        return True
    return all(standing_of(world, cid, [node.number]) > 0 for cid in segment_cids(world))


def may_turn(world: World, node: ClusterNode) -> bool:
    """Whether a machine may become a liar: what messages a lying hub gives out nobody can promise."""
    role = node.core.messaging.role
    return role.hub is None and not role.is_mine() and messages_outlive(world, node)


def _records_are_spread(world: World, node: ClusterNode) -> bool:
    others = [other for other in world.honest() if other is not node]
    for table in (PLACEMENT, CATALOGUE, HUBS):
        for record in node.core.disk.records.scan(table, b"", b"", _PAGE, include_removed=True):
            having = 0
            for other in others:
                known = other.core.disk.records.get(table, record.key)
                having += known is not None and known.lamport >= record.lamport
            if having < _SPREAD_RECORDS:
                return False
    return True


def take_account(world: World) -> None:
    """Start a new count of losses for every object that is seen to have all of its redundancy, and stop doubting the
    disks that are seen whole."""
    away = {node.number for node in world.cluster.nodes if not world.settled(node)}
    for promise in world.promises.owed():
        if promise.lost and standing(world, promise) >= wanted(world, promise):
            promise.lost = dict.fromkeys(number for number in promise.lost if number in away)
    for number in list(world.doubted):
        node = world.cluster.nodes[number]
        if node.running and not any(promise.lost.keys() & {number} for promise in world.promises.owed()):
            del world.doubted[number]


def needed_chunks(world: World) -> set[Address] | None:
    """Every chunk of every object with a placement, manifests and pages included; None while a manifest is nowhere."""
    needed: set[Address] = set()
    for placement in _placed(world):
        known = _pieces_of(world, placement)
        if known is None:
            return None
        needed.update(address for group in known.groups for address in group.addresses)
    return needed


def _placed(world: World) -> list[Placement]:
    """The latest placement of each object that any running machine knows."""
    cids = {cid: None for node in world.honest() for cid in world.stocks.of(node).placements}
    found = [world.placement(cid) for cid in cids]
    return [placement for placement in found if placement is not None]
