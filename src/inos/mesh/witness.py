"""Who is alive in a mesh too large for everybody to watch everybody.

Every member has a few *witnesses*, those that its own links lead to first, which anybody can work out from the members
alone. A witness that sees its member fail or come back tells all, in batches; others believe it when enough witnesses
say so, and a single word that it is back. What a node finds out by dialling counts for itself at once. Nobody has to
be believed about members it is no witness of, and a lie costs a dial or a delayed repair, never data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from inos.core import codec
from inos.core.env import Alarm, Env
from inos.core.errors import BadFrame, InosError
from inos.core.ids import PeerId
from inos.mesh.links import FULL_MESH, choose_links
from inos.mesh.liveness import Change, State
from inos.mesh.network import Gossip

log = logging.getLogger(__name__)

TOPIC: Final = "mesh.witness"
# Of the dozen that a member keeps links to. Two of five are found on either side of most partitions.
WITNESSES: Final = 5
ENOUGH: Final = 2
# What is seen within this time goes out together: when a partition heals, hundreds come back at once.
BATCH_S: Final = 1.0
# After a dial has failed nobody here tries that member again for as long, unless a witness says that it is back.
RETRY_S: Final = 30.0
MAX_SIGHTINGS: Final = 1000
# A member that is one too many for a full mesh is noticed when it comes or fails; this is for whoever is neither.
_LOOK_S: Final = 60.0
_MAX_BYTES: Final = MAX_SIGHTINGS * 48 + 64
NODE_KEY_BYTES: Final = 32
_STRUCT: Final = "p2p/mesh.capnp:Sightings"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Sightings:
    """Node keys of members seen failed and seen alive."""

    failed: tuple[bytes, ...]
    alive: tuple[bytes, ...]

    def encode(self) -> bytes:
        return codec.encode(_STRUCT, version=_VERSION, failed=list(self.failed), alive=list(self.alive))


def decode_sightings(data: bytes) -> Sightings:
    """Raises BadFrame for anything that is not sound."""
    with codec.reading(_STRUCT, data, max_bytes=_MAX_BYTES) as reader:
        if reader.version != _VERSION or len(reader.failed) + len(reader.alive) > MAX_SIGHTINGS:
            raise BadFrame("sightings of another version, or too many")
        found = Sightings(tuple(map(bytes, reader.failed)), tuple(map(bytes, reader.alive)))
    if any(len(node) != NODE_KEY_BYTES for node in (*found.failed, *found.alive)):
        raise BadFrame(f"a node key has {NODE_KEY_BYTES} bytes")
    return found


@dataclass(slots=True)
class _Failed:
    """What is known of a member that may be gone: since when each witness says so, and this node's own tries."""

    said_s: dict[bytes, float]
    tried_s: float | None = None
    since_s: float | None = None


class Witnesses:
    """What this node knows of the members it does not watch, and tells of those it does. `me` is its public key."""

    def __init__(self, me: bytes, members: Callable[[], Collection[bytes]], gossip: Gossip, env: Env) -> None:
        self._me = me
        self._members = members
        self._gossip = gossip
        self._env = env
        self._failed: dict[bytes, _Failed] = {}
        self._seen: dict[bytes, bool] = {}
        self._some = trio.Event()
        self._grown = Alarm()
        self._witnesses_of: dict[bytes, Sequence[bytes]] = {}
        self._worked_out_for: frozenset[bytes] = frozenset()
        self._on_change: list[Callable[[bytes, bool], None]] = []

    def needed(self) -> bool:
        """Whether the mesh is so large that not everybody watches everybody."""
        return len(self._members()) > FULL_MESH

    def on_change(self, handler: Callable[[bytes, bool], None]) -> None:
        """`handler(node, alive)` is told when what is thought of a member changes."""
        self._on_change.append(handler)

    # Telling

    async def run(self) -> None:
        """Listen, and tell what was noticed, until cancelled. Costs nothing while the mesh is small."""
        await self._large_mesh()
        await self._gossip.subscribe(TOPIC, self.hear)
        while True:
            await self._some.wait()
            await trio.sleep(BATCH_S * (0.5 + self._env.random.random()))
            self._some = trio.Event()
            seen, self._seen = list(self._seen.items()), {}
            for start in range(0, len(seen), MAX_SIGHTINGS):
                part = seen[start : start + MAX_SIGHTINGS]
                failed = tuple(node for node, alive in part if not alive)
                alive = tuple(node for node, alive in part if alive)
                await self._gossip.publish(TOPIC, Sightings(failed, alive).encode())

    async def _large_mesh(self) -> None:
        while not self.needed():
            await self._env.pause(_LOOK_S, self._grown)
            self._grown.reset()

    def noticed(self, change: Change) -> None:
        """A member that this node watches failed or came back."""
        if change.state is State.UNKNOWN or not self.needed():
            return
        self._grown.ring()
        self._refresh()
        node = change.peer.public_key()
        if self._me in self._of(node):
            self._seen[node] = change.state is State.ALIVE
            self._some.set()

    # Hearing

    async def hear(self, origin: PeerId, data: bytes) -> None:
        """What a witness says; words of others about members they are no witness of are ignored."""
        try:
            said = decode_sightings(data)
        except InosError as error:
            log.debug("sightings of %s: %s", origin.short(), error)
            return
        self._refresh()
        witness = origin.public_key()
        for node in said.alive:
            if witness in self._of(node):
                self.found(node)
        for node in said.failed:
            if witness in self._of(node) and node != self._me:
                self._say_failed(node, witness)

    def _say_failed(self, node: bytes, witness: bytes) -> None:
        before = self.failed_since_s(node)
        known = self._failed.setdefault(node, _Failed({}))
        known.said_s.setdefault(witness, self._env.monotonic_s())
        if before is None and self.failed_since_s(node) is not None:
            self._tell(node, False)

    def found(self, node: bytes) -> None:
        """The member is there: connected, or a witness says so."""
        if self._failed.pop(node, None) is not None:
            self._tell(node, True)

    def missed(self, node: bytes) -> None:
        """This node has dialled it in vain."""
        now_s = self._env.monotonic_s()
        known = self._failed.setdefault(node, _Failed({}))
        known.tried_s = now_s
        if known.since_s is None:
            known.since_s = now_s
            self._tell(node, False)

    def _tell(self, node: bytes, alive: bool) -> None:
        for handler in self._on_change:
            handler(node, alive)

    # Asking

    def failed_since_s(self, node: bytes) -> float | None:
        """Since when the member is thought to be gone; None when it is thought to be there."""
        known = self._failed.get(node)
        if known is None:
            return None
        said = sorted(known.said_s.values())[ENOUGH - 1 :]
        times = [*said[:1], *([] if known.since_s is None else [known.since_s])]
        return min(times, default=None)

    def doubted(self) -> Collection[bytes]:
        """The members that anything at all speaks against; of the others nothing need be asked."""
        return self._failed.keys()

    def worth_calling(self, node: bytes) -> bool:
        """Whether a call may get an answer: nothing speaks against it, or the last try was long ago."""
        known = self._failed.get(node)
        if known is None or self.failed_since_s(node) is None:
            return True
        if known.tried_s is None or len(known.said_s) >= ENOUGH:
            return False
        return self._env.monotonic_s() - known.tried_s >= RETRY_S

    def _refresh(self) -> None:
        """Look at the members again."""
        members = self._members()
        if set(members) != self._worked_out_for:
            self._worked_out_for = frozenset(members)
            self._witnesses_of.clear()

    def _of(self, node: bytes) -> Sequence[bytes]:
        """The witnesses of a member, best first; of nobody else."""
        if node not in self._worked_out_for:
            return ()
        if node not in self._witnesses_of:
            self._witnesses_of[node] = choose_links(node, self._worked_out_for)[:WITNESSES]
        return self._witnesses_of[node]
