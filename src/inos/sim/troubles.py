"""Actions on the wires between machines, and by those who mean harm."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inos.core.errors import InosError
from inos.core.ids import PeerId
from inos.sim import wires
from inos.sim.actions import Action, MachineAction
from inos.sim.cluster import ClusterNode
from inos.sim.stranger import Stranger as StrangerStation
from inos.sim.truth import can_lose, may_turn
from inos.sim.world import OPERATION_S, World


@dataclass(frozen=True, slots=True)
class PairAction(Action):
    """Something that happens to the wire between two machines, which must exist."""

    a: str
    b: str

    async def act(self, world: World) -> None:
        a, b = world.machine(self.a), world.machine(self.b)
        if a is not None and b is not None and a is not b:
            world.disturb(a.number)
            world.disturb(b.number)
            self.happen(world, a.peer, b.peer)

    def happen(self, world: World, a: PeerId, b: PeerId) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Cut(PairAction):
    """Nothing passes between two machines."""

    verb = "cut"

    def happen(self, world: World, a: PeerId, b: PeerId) -> None:
        world.cluster.fabric.cut(a, b)


@dataclass(frozen=True, slots=True)
class CutOneWay(PairAction):
    """What `a` sends to `b` vanishes; what `b` sends arrives."""

    verb = "cut_one_way"

    def happen(self, world: World, a: PeerId, b: PeerId) -> None:
        world.cluster.fabric.cut_one_way(a, b)


@dataclass(frozen=True, slots=True)
class CutOff(MachineAction):
    """Its cable is pulled."""

    verb = "cut_off"

    async def happen(self, world: World, node: ClusterNode) -> None:
        world.disturb(node.number)
        for other in world.cluster.nodes:
            if other is not node:
                world.cluster.fabric.cut(node.peer, other.peer)


@dataclass(frozen=True, slots=True)
class Rejoin(MachineAction):
    """Its cable is plugged in again."""

    verb = "rejoin"

    async def happen(self, world: World, node: ClusterNode) -> None:
        world.disturb(node.number)
        for other in world.cluster.nodes:
            world.cluster.fabric.mend(node.peer, other.peer)


@dataclass(frozen=True, slots=True)
class Partition(Action):
    """The mesh falls into groups that hear nothing of each other. Who is named in none is with the first."""

    verb = "partition"
    groups: tuple[str, ...]

    async def act(self, world: World) -> None:
        named = [[node for name in group.split() if (node := world.machine(name))] for group in self.groups]
        elsewhere = {node.number for group in named[1:] for node in group}
        first = [node for node in world.cluster.nodes if node.number not in elsewhere]
        largest = max([first, *named[1:]], key=len)
        for node in world.cluster.nodes:
            if node not in largest:
                world.disturb(node.number)
        world.cluster.fabric.partition([[node.peer for node in group] for group in [first, *named[1:]]])

    def __str__(self) -> str:
        return f".partition({', '.join(map(repr, self.groups))})"


@dataclass(frozen=True, slots=True)
class Heal(Action):
    """Every wire is as it should be again; who sleeps goes on sleeping."""

    verb = "heal"

    async def act(self, world: World) -> None:
        for node in world.cluster.nodes:
            if not world.settled(node):
                world.disturb(node.number)
        world.cluster.fabric.heal()
        for number in world.asleep:
            world.cluster.fabric.asleep(world.cluster.nodes[number].peer)


@dataclass(frozen=True, slots=True)
class Weather(Action):
    """How good all wires are from now on: the shares of frames that are lost (a tenth of these break their
    connection) and that come twice, and by how much one in five is late."""

    verb = "weather"
    lost: float = 0.0
    twice: float = 0.0
    late_s: float = 0.0

    async def act(self, world: World) -> None:
        late = 0.2 if self.late_s else 0.0
        breaks = 0.1 if self.lost else 0.0
        world.rough = bool(self.lost or self.late_s)
        world.cluster.fabric.set_weather(wires.Weather(self.lost, breaks, self.twice, late, self.late_s))


@dataclass(frozen=True, slots=True)
class Slow(MachineAction):
    """Everything to, from and on the machine takes `factor` times as long; 1 is as quick as before."""

    verb = "slow"
    factor: float

    async def happen(self, world: World, node: ClusterNode) -> None:
        world.hampered[node.number] = None
        if self.factor == 1:
            del world.hampered[node.number]
        world.cluster.fabric.slow(node.peer, self.factor, handling_s=0.0 if self.factor == 1 else self.factor / 1000)


@dataclass(frozen=True, slots=True)
class Narrow(MachineAction):
    """Its line carries `bytes_per_s` each way; infinitely many is no limit."""

    verb = "narrow"
    bytes_per_s: float

    async def happen(self, world: World, node: ClusterNode) -> None:
        rate = None if math.isinf(self.bytes_per_s) else self.bytes_per_s
        world.hampered[node.number] = None
        if rate is None:
            del world.hampered[node.number]
        world.cluster.fabric.set_bandwidth(node.peer, up=rate, down=rate)

    def __str__(self) -> str:
        given = "math.inf" if math.isinf(self.bytes_per_s) else f"{self.bytes_per_s:g}"
        return f".narrow({self.node!r}, {given})"


@dataclass(frozen=True, slots=True)
class Stranger(MachineAction):
    """Somebody who is no member asks the machine for everything there is, with garbage and with what members said."""

    verb = "stranger"

    async def happen(self, world: World, node: ClusterNode) -> None:
        if node.running:
            await StrangerStation(world, node).intrude()


@dataclass(frozen=True, slots=True)
class Turn(MachineAction):
    """A member turns on the others: from now on it answers with damaged, old or invented answers, and its disk has
    nothing of what it says it has."""

    verb = "turn"

    async def happen(self, world: World, node: ClusterNode) -> None:
        if node.running and node.number not in world.hostile and may_turn(world, node):
            world.disturb(node.number)
            world.messages.lost(node.number)
            world.hostile[node.number] = None
            node.turn(world.chance)


@dataclass(frozen=True, slots=True)
class Revoke(MachineAction):
    """The founder takes the machine's membership away, on machine `by`, where no object depends on it alone."""

    verb = "revoke"
    by: str

    async def happen(self, world: World, node: ClusterNode) -> None:
        founder = world.running(self.by)
        if founder is None or founder is node or node.number in world.revoked or not can_lose(world, node):
            return
        world.disturb(node.number)
        world.revoked[node.number] = None
        try:
            await world.ask(founder, lambda: founder.revoke(node), OPERATION_S)
        except InosError as error:
            del world.revoked[node.number]
            world.trace.note(f"revoke {self.node}: {error.code}")
            return
        world.messages.lost(node.number)
        world.trace.note(f"revoke {self.node}: done")
