"""The mesh as this node sees it now: members from the records, liveness from heartbeats, load from what they say.

One object answers the small Protocols that tables, replication and vault declare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from inos.core.env import Env
from inos.core.ids import PeerId
from inos.mesh.liveness import Liveness, State
from inos.mesh.witness import Witnesses
from inos.replication.placement import Candidate
from inos.state.capability import Member
from inos.state.membership import Membership


class Connections(Protocol):
    def connected(self) -> frozenset[PeerId]: ...


class MeshView:
    """`me` is this node's public key; members failed for longer than `repair_after_s` count as gone."""

    def __init__(
        self,
        me: bytes,
        membership: Membership,
        liveness: Liveness,
        connections: Connections,
        witnesses: Witnesses,
        env: Env,
        *,
        repair_after_s: float,
    ) -> None:
        self._me = me
        self._membership = membership
        self._liveness = liveness
        self._connections = connections
        self._witnesses = witnesses
        self._env = env
        self._repair_after_s = repair_after_s
        self._met: Counter[bytes] = Counter()
        self._seen_of: object = None
        self._seen: Sequence[tuple[bytes, Member]] = ()

    def met(self, peer: PeerId) -> None:
        """To be told of every new connection."""
        self._met[peer.public_key()] += 1

    def meetings(self, members: Collection[bytes]) -> int:
        """How often this node has connected with these, all together: grows when one of them was away."""
        return sum(self._met.get(member, 0) for member in members)

    @property
    def me(self) -> bytes:
        return self._me

    def members(self) -> Mapping[bytes, float]:
        """Every member with equal weight: what a table's sector costs does not depend on the size of the disk."""
        return {self._me: 1.0, **dict.fromkeys(self._membership.members(), 1.0)}

    def alive(self, node: bytes) -> bool:
        """A member, connected and not silent; in a mesh too large to be connected with all, one of whom nothing says
        that it has failed."""
        if node == self._me:
            return True
        peer = PeerId.from_public_key(node)
        if not self._membership.admits(peer) or self._liveness.state(peer) is State.FAILED:
            return False
        if peer in self._connections.connected():
            return True
        return self._witnesses.needed() and self._witnesses.worth_calling(node)

    def alive_members(self) -> Sequence[bytes]:
        """This node first, then every live member."""
        return [self._me, *(node for node, _ in self._others_alive())]

    def _others_alive(self) -> Sequence[tuple[bytes, Member]]:
        """Of whom `alive` is true, without this node; in a mesh where everybody is connected with all, looked at again
        only when somebody has come or gone."""
        if self._witnesses.needed():
            return list(self._look_for_others())
        seen_of = (self._membership.changes, self._connections.connected(), self._liveness.failed())
        if seen_of != self._seen_of:
            self._seen_of, self._seen = seen_of, list(self._look_for_others())
        return self._seen

    def _look_for_others(self) -> Iterator[tuple[bytes, Member]]:
        """One look at hundreds: what is asked of each is a set lookup."""
        connected, failed = self._connections.connected(), self._liveness.failed()
        doubted = self._witnesses.doubted() if self._witnesses.needed() else None
        for node, member in self._membership.members().items():
            peer = member.peer
            if node == self._me or peer in failed:
                continue
            likely = doubted is not None and (node not in doubted or self._witnesses.worth_calling(node))
            if peer in connected or likely:
                yield node, member

    def gone(self, member: bytes) -> bool:
        if member == self._me:
            return False
        if self._membership.is_revoked(member) or member not in self._membership.members():
            return True
        now_s = self._env.monotonic_s()
        failed_s = self._liveness.failed_for_s(PeerId.from_public_key(member), now_s)
        if failed_s is None and self._witnesses.needed():
            since_s = self._witnesses.failed_since_s(member)
            failed_s = None if since_s is None else now_s - since_s
        return failed_s is not None and failed_s >= self._repair_after_s

    def gone_members(self) -> frozenset[bytes]:
        failed, doubted = self._liveness.failed(), self._witnesses.doubted()
        members = self._membership.members()
        suspects = [node for node, member in members.items() if member.peer in failed or node in doubted]
        return frozenset(filter(self.gone, suspects))

    def members_with_room(self) -> frozenset[bytes]:
        """The live nodes that could take pieces: the candidates that are not full."""
        members = self._membership.members()
        own = members.get(self._me)
        there = [*self._others_alive(), *([] if own is None else [(self._me, own)])]
        return frozenset(node for node, one in there if one.weight > 0 and one.used_bytes < one.storage_bytes)

    def candidates(self) -> Sequence[Candidate]:
        members = self._membership.members()
        found = []
        for node in self.alive_members():
            member = members.get(node)
            if member is None or member.weight <= 0:
                continue
            load = min(1.0, member.used_bytes / member.storage_bytes)
            availability = 1.0 if node == self._me else self._liveness.availability(member.peer)
            found.append(Candidate(node, member.weight, load, member.region, availability))
        return found
