"""What the agents of a simulated mesh were promised: every message whose writing was acknowledged, every mark.

An agent is the programs of one machine, which write through the caches that its node holds. A machine that loses its
disk has new agents afterwards. A message is *owed* from its acknowledgement on; one that was on the lost disk of its
machine, and was not yet seen to be where it outlives the hub, is owed no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from inos.core.ids import Cid
from inos.core.messages.message import Message
from inos.messages.segments import SegmentName


@dataclass(slots=True, eq=False)
class Written:
    """One message. `safe`: seen in the mesh, where neither its machine nor the hub matters."""

    message: Message
    machine: int
    safe: bool = False


@dataclass(slots=True)
class MessageBook:
    """All of a run's messages."""

    written: dict[str, Written] = field(default_factory=dict)
    marked: dict[str, None] = field(default_factory=dict)
    """Messages marked as read, where the mark outlives the hub."""
    lives: dict[int, int] = field(default_factory=dict)
    """How often each machine has lost its disk."""
    looked: dict[str, int] = field(default_factory=dict)
    """Up to where each corpus was seen to be safe."""
    places: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    """Where each message was covered: corpus and seq."""
    passed: dict[SegmentName, None] = field(default_factory=dict)
    """Segments that some hub could not read for so long that it went on without them."""
    segments: dict[Cid, None] = field(default_factory=dict)
    """Objects that were seen to be segments."""
    used: bool = False
    """Whether this run has to do with messages."""

    def agent_of(self, machine: int) -> str:
        """Who writes on a machine now."""
        return f"agent-{machine}-{self.lives.get(machine, 0)}"

    def acknowledged(self, message: Message, machine: int) -> None:
        """Its writer was told that it is kept."""
        self.written[message.id] = Written(message, machine)

    def may_be_late(self, message_id: str) -> bool:
        """Whether it was in a segment that some hub went on without."""
        places = self.places.get(message_id, set())
        spans = [(one.corpus, one.first, one.last) for one in self.passed]
        return any(corpus == of and first <= seq <= last for of, first, last in spans for corpus, seq in places)

    def lost(self, machine: int) -> None:
        """The disk of the machine is gone, or will never be read again."""
        self.lives[machine] = self.lives.get(machine, 0) + 1
        gone = [one for one, each in self.written.items() if each.machine == machine and not each.safe]
        for one in gone:
            del self.written[one]
