"""A simulated mesh with everything a run knows of it: the machines, what users were promised, and what went wrong.

Actions change the world, invariants look at it. `ask` runs what a user does on a machine, so that it dies with the
machine; `disturb` keeps account of which machines users may not count on.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final, TypeVar

import trio

from inos.core.errors import InosError
from inos.core.ids import Address, Cid, PeerId
from inos.mesh.network import Message
from inos.mesh.proofs import HELLO
from inos.replication.durability import Group
from inos.replication.placement import Placement
from inos.sim.cluster import Cluster, ClusterNode, fixed_bytes
from inos.sim.frames import Frame, Kind
from inos.sim.message_book import MessageBook
from inos.sim.names import letters_of, number_of
from inos.sim.promises import Fate, Promise, Promises
from inos.sim.stock import Stocks
from inos.sim.trace import Trace
from inos.state.revocation import REVOCATIONS
from inos.testing.env import SimEnv

T = TypeVar("T")

# Until others have noticed that a machine came or went: failing takes 5 s, finding each other again a few more.
UNSETTLED_S: Final = 20.0
MAX_VIOLATIONS: Final = 50
# What anybody may ask, to prove membership or to get it.
OPEN_METHODS: Final = frozenset((HELLO, "mesh.join"))
# A user's patience. Nothing in a healthy mesh takes longer; a machine in trouble answers with an error before.
OPERATION_S: Final = 120.0


class Interrupted(InosError):
    """The machine that was asked went down, or did not answer in time."""

    code = "interrupted"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant, once."""

    at_s: float
    invariant: str
    text: str

    def __str__(self) -> str:
        return f"{self.at_s:.1f} s: {self.invariant}: {self.text}"


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of one object under one placement: in groups that stand in for each other, and by holder."""

    groups: tuple[Group, ...]
    of: dict[bytes, frozenset[Address]]


class World:
    """One run's mesh. Owned by its event loop."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.seed = seed
        self.promises = Promises()
        self.messages = MessageBook()
        self.trace = Trace()
        self.violations: list[Violation] = []
        self.broken = trio.Event()
        """Set with the first violation."""
        self.chance: random.Random = SimEnv(seed).random
        self.acted = 0
        self.rough = False
        """Whether the wires lose or delay frames."""
        self.doubted: dict[int, None] = {}
        """Machines whose disk was damaged and not yet seen whole again."""
        self.asleep: dict[int, None] = {}
        self.revoked: dict[int, None] = {}
        self.destroyed: dict[int, None] = {}
        """Machines that will never run again."""
        self.hostile: dict[int, None] = {}
        self.hampered: dict[int, None] = {}
        """Machines with a full or slow disk or a slow line."""
        self.strangers: dict[PeerId, None] = {}
        self.overheard: dict[str, Message] = {}
        """A request for each method, as members made them, for others to say again."""
        self.overheard_hello = b""
        self.stocks = Stocks()
        self.layouts: dict[Placement, Pieces] = {}
        """The pieces of objects by placement, kept by `truth.py`: reading a manifest costs more than all else there."""
        self.frames_a_s = 0.0
        """Frames that a running machine sent a second, on average, between the last two looks."""
        self._counted: tuple[float, int] = (0.0, 0)
        self._known_revoked_s: dict[tuple[int, int], float] = {}
        self._disturbed_s: dict[int, float] = {}
        self._seen: dict[tuple[str, str], None] = {}

    # Machines

    def machine(self, name: str) -> ClusterNode | None:
        """The machine of that name; None when there is none yet."""
        number = number_of(name)
        return self.cluster.nodes[number] if number < len(self.cluster.nodes) else None

    def running(self, name: str) -> ClusterNode | None:
        """The machine when its node runs, is awake and has not been thrown out: one with a user."""
        node = self.machine(name)
        if node is None or not node.running or node.number in (*self.asleep, *self.revoked):
            return None
        return node

    def name(self, node: ClusterNode) -> str:
        return letters_of(node.number)

    def honest(self) -> list[ClusterNode]:
        """Running machines that are members and do not lie."""
        return [
            node
            for node in self.cluster.running()
            if node.number not in self.revoked and node.number not in self.hostile
        ]

    def placement(self, cid: Cid) -> Placement | None:
        """The latest placement of an object that any member that does not lie knows."""
        known = [found for node in self.honest() if (found := self.stocks.of(node).placements.get(cid)) is not None]
        return max(known, key=lambda placement: placement.epoch, default=None)

    def disturb(self, number: int) -> None:
        """Machine `number` went away, came back, was cut off, damaged or emptied."""
        self._disturbed_s[number] = trio.current_time()
        self.promises.lose(number)

    def disturbed_since(self, number: int, since_s: float) -> bool:
        """Whether something happened to the machine then or later."""
        return self._disturbed_s.get(number, -1.0) >= since_s

    def counts_on(self, node: ClusterNode) -> bool:
        """Whether a user of the machine may count on being served."""
        return self.settled(node) and not self.rough and node.number not in (*self.hostile, *self.hampered)

    def settled(self, node: ClusterNode) -> bool:
        """Whether the machine runs, is awake, sees most others, and has done so for a while."""
        if not node.running or node.number in self.asleep or node.number in self.revoked:
            return False
        if trio.current_time() - self._disturbed_s.get(node.number, -UNSETTLED_S) < UNSETTLED_S:
            return False
        fabric, others = self.cluster.fabric, self.cluster.running()
        seen = sum(fabric.passes(node.peer, other.peer) and fabric.passes(other.peer, node.peer) for other in others)
        return seen * 2 > len(self.cluster.nodes)

    async def start(self, node: ClusterNode) -> None:
        """Start its node on the disk it has; that it cannot, with room and a sound disk, is a violation."""
        try:
            await node.start()
        except InosError as error:
            if node.number not in self.hampered:
                self.violated("starts again", f"{self.name(node)}: {error.code}: {error.message}")

    def all_is_well(self) -> bool:
        """Whether nothing has been wrong anywhere for a while."""
        gone = (*self.destroyed, *self.revoked)
        return all(node.number in gone or self.counts_on(node) for node in self.cluster.nodes)

    # What users do

    async def ask(self, node: ClusterNode, work: Callable[[], Awaitable[T]], timeout_s: float) -> T:
        """What `work` on `node` gives. Raises Interrupted when the machine goes down meanwhile or takes too long."""
        with trio.move_on_after(timeout_s) as scope:
            with node.client(scope):
                result = await work()
            if node.number not in self.revoked:
                return result
        raise Interrupted(f"machine {self.name(node)} did not finish")

    def content_of(self, promise: Promise) -> bytes:
        """What was put."""
        return _content(self.seed, promise.content_label, promise.size_bytes)

    async def must_read(self, node: ClusterNode, promise: Promise, target: str) -> None:
        """Read an owed object whole; anything but its content is a violation."""
        try:
            found = await self.ask(node, lambda: node.get(target), OPERATION_S)
        except InosError as error:
            self.violated("readable", f"{promise.label} on {self.name(node)}: {error.code}: {error.message}")
            return
        if found != self.content_of(promise):
            self.violated("served right", f"{promise.label} on {self.name(node)}: {len(found)} bytes of something else")

    async def must_not_read(self, node: ClusterNode, promise: Promise) -> None:
        """Ask for a removed object; getting it is a violation, unless it has another name, as is finding its name."""
        targets = [] if self.promises.keep(promise) else [promise.ref]
        if all(other.fate is Fate.REMOVED for other in self.promises.named(promise.name)):
            targets.append(f"inos:/{promise.name}")
        for target in targets:
            try:
                await self.ask(node, partial(node.get, target), OPERATION_S)
            except InosError:
                continue
            self.violated("removed stays away", f"{promise.label} can be read on {self.name(node)}")

    # What passes over the wires

    def count_frames(self) -> None:
        """Work out `frames_a_s` since this was last called."""
        now_s, sent = trio.current_time(), self.cluster.fabric.counters.sent
        before_s, before = self._counted
        self._counted = now_s, sent
        self.frames_a_s = (sent - before) / max(now_s - before_s, 1.0) / len(self.cluster.nodes)

    def saw(self, at_s: float, frame: Frame) -> None:
        """Every frame that arrives: into the trace, and a look at who gets an answer."""
        message = frame.message
        if isinstance(message, Message):
            self.trace.frame(at_s, frame, message.payload, len(message.body))
            kind = frame.kind
            if kind is Kind.ANSWER:
                if self.revoked or frame.target in self.strangers:
                    self._look_at_answer(frame)
            elif kind is Kind.REQUEST:
                if frame.name not in self.overheard:
                    self.overheard[frame.name] = message
            elif kind is Kind.HELLO and not self.overheard_hello:
                self.overheard_hello = message.payload
        else:
            self.trace.frame(at_s, frame, message.code.encode(), 0)

    def _look_at_answer(self, frame: Frame) -> None:
        """No stranger, and nobody of whom the answering node knows that it was revoked, gets a member's answer."""
        if frame.name in OPEN_METHODS:
            return
        if frame.target in self.strangers:
            self.violated("members only", f"{frame.source.short()} answered {frame.name} to a stranger")
            return
        asking, answering = self.cluster.by_peer(frame.target), self.cluster.by_peer(frame.source)
        if asking is None or answering is None or asking.number not in self.revoked or not answering.running:
            return
        # Its records, not what it makes of them; and what it was about to answer when the record came may still come.
        if answering.core.disk.records.get(REVOCATIONS, asking.key) is None:
            return
        since_s = self._known_revoked_s.setdefault((answering.number, asking.number), trio.current_time())
        if trio.current_time() - since_s > UNSETTLED_S:
            text = f"{self.name(answering)} answered {frame.name} to revoked {self.name(asking)}"
            self.violated("members only", text)

    # What went wrong

    def violated(self, invariant: str, text: str) -> None:
        """Record a broken invariant; the same one is recorded once."""
        if (invariant, text) in self._seen or len(self.violations) >= MAX_VIOLATIONS:
            return
        self._seen[invariant, text] = None
        self.broken.set()
        self.violations.append(Violation(trio.current_time(), invariant, text))
        self.trace.note(f"violated {invariant}: {text}")


@lru_cache(maxsize=64)
def _content(seed: int, label: str, size_bytes: int) -> bytes:
    return fixed_bytes(size_bytes, seed, label)
