"""Everything that can happen to a simulated mesh, each a value that can be printed, sorted out and played again.

An action that makes no sense when its moment comes (starting what runs, reading what was never put) does nothing, so
that any selection of a run's actions is a run as well; that is what shrinking rests on. `str(action)` is the call of
the scenario language (`script.py`) that stands for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import ClassVar

import trio

from inos.core.errors import InosError
from inos.sim.cluster import ClusterNode
from inos.sim.invariants import redundant
from inos.sim.moment import Moment
from inos.sim.promises import Fate, Promise
from inos.sim.truth import can_lose
from inos.sim.world import OPERATION_S, World


@dataclass(frozen=True, slots=True)
class Action:
    """Something that happens to the mesh at one moment."""

    verb: ClassVar[str]

    async def act(self, world: World) -> None:
        """Do it; with clients' actions, until the client has its answer."""
        raise NotImplementedError

    def __str__(self) -> str:
        given = [getattr(self, field.name) for field in fields(self)]
        return f".{self.verb}({', '.join(map(repr, given))})"


# What users do


@dataclass(frozen=True, slots=True)
class Put(Action):
    """A user of machine `node` puts `size_bytes` of content called `label`, under `name` (else its label). A name that
    stands for something already is replaced, where the same machine gave it."""

    verb = "put"
    label: str
    size_bytes: int
    node: str
    name: str = ""

    async def act(self, world: World) -> None:
        node = world.running(self.node)
        if node is None or world.promises.get(self.label) is not None:
            return
        promise = self._promise(world)
        if promise is None:
            return
        replaced = world.promises.named(promise.name)
        if not all(self._may_replace(earlier) for earlier in replaced):
            return
        world.promises.begin(promise)
        leaving = [earlier for earlier in replaced if earlier.owed]
        for earlier in leaving:
            earlier.fate = Fate.LEAVING
        data, moment = world.content_of(promise), Moment(world, node)
        try:
            report = await world.ask(node, lambda: node.put(data, f"/{promise.name}"), OPERATION_S)
        except InosError as error:
            promise.fate = Fate.UNSURE
            world.trace.note(f"put {self.label} on {self.node}: {error.code}")
            return
        if promise.fate is Fate.PENDING:
            promise.acknowledged(report, trio.current_time())
            promise.lost.update(world.hostile)
            if not world.settled(node):
                promise.lost[node.number] = None
            moment.check(promise)
        for earlier in leaving:
            # A node that cannot ask the others which names there are leaves what it has replaced alone.
            if moment.calm and world.counts_on(node):
                earlier.fate, earlier.removed_s = Fate.REMOVED, trio.current_time()
        world.trace.note(f"put {self.label} on {self.node}: {report.cid} survives {report.survives}")

    def _promise(self, _world: World) -> Promise | None:
        return Promise(self.label, self.name or self.label, self.size_bytes, self.node)

    def _may_replace(self, earlier: Promise) -> bool:
        return earlier.node == self.node and earlier.fate in (Fate.OWED, Fate.REMOVED)


@dataclass(frozen=True, slots=True)
class PutAgain(Put):
    """A user of machine `node` puts once more what was put as `other`, as `label` and into a folder of that name: the
    same object under a second name, because only the last part of a name is kept within an object."""

    verb = "put_again"
    size_bytes: int = 0
    node: str = ""
    other: str = ""

    def _promise(self, world: World) -> Promise | None:
        first = world.promises.get(self.other)
        if first is None:
            return None
        name = f"{self.label}/{first.name.rpartition('/')[2]}"
        return Promise(self.label, name, first.size_bytes, self.node, content=first.content_label)

    def __str__(self) -> str:
        return f".put_again({self.label!r}, {self.other!r}, {self.node!r})"


@dataclass(frozen=True, slots=True)
class Get(Action):
    """A user of machine `node` reads `label`, by its reference or, `by_name`, by its name."""

    verb = "get"
    label: str
    node: str
    by_name: bool = False

    async def act(self, world: World) -> None:
        node, promise = world.running(self.node), world.promises.get(self.label)
        if node is None or promise is None or promise.report is None:
            return
        must = self._must(world, promise, node)
        target = f"inos:/{promise.name}" if self.by_name else promise.ref
        try:
            found = await world.ask(node, lambda: node.get(target), OPERATION_S)
        except InosError as error:
            if must and self._must(world, promise, node):
                world.violated("readable", f"{self.label} on {self.node}: {error.code}: {error.message}")
            world.trace.note(f"get {self.label} on {self.node}: {error.code}")
            return
        self._check(world, promise, found)

    def _must(self, world: World, promise: Promise, node: ClusterNode) -> bool:
        if self.by_name and (promise.is_local or not world.all_is_well()):
            return False  # a majority of a name's replicas is more than a machine that sees most others can be sure of
        return promise.owed and promise.within_its_losses and world.counts_on(node)

    def _check(self, world: World, promise: Promise, found: bytes) -> None:
        same_name = world.promises.named(promise.name) if self.by_name else [promise]
        if not any(found == world.content_of(one) for one in same_name):
            world.violated("served right", f"{self.label} on {self.node}: {len(found)} bytes that were never put")
        world.trace.note(f"get {self.label} on {self.node}: {len(found)} bytes")


@dataclass(frozen=True, slots=True)
class Remove(Action):
    """A user of machine `node` removes `label` by its name."""

    verb = "remove"
    label: str
    node: str

    async def act(self, world: World) -> None:
        node, promise = world.running(self.node), world.promises.get(self.label)
        if node is None or promise is None or not promise.owed:
            return
        promise.fate = Fate.LEAVING
        try:
            await world.ask(node, lambda: node.remove(f"inos:/{promise.name}"), OPERATION_S)
        except InosError as error:
            world.trace.note(f"remove {self.label} on {self.node}: {error.code}")
            return
        promise.fate, promise.removed_s = Fate.REMOVED, trio.current_time()
        world.trace.note(f"remove {self.label} on {self.node}: done")


@dataclass(frozen=True, slots=True)
class RemoveTree(Action):
    """A user of machine `node` removes a folder with all that is named below it."""

    verb = "remove_tree"
    folder: str
    node: str

    async def act(self, world: World) -> None:
        node = world.running(self.node)
        below = [promise for promise in world.promises.owed() if promise.name.startswith(self.folder + "/")]
        if node is None or not below:
            return
        for promise in below:
            promise.fate = Fate.LEAVING
        try:
            await world.ask(node, lambda: node.remove(f"inos:/{self.folder}"), OPERATION_S)
        except InosError as error:
            world.trace.note(f"remove {self.folder}/ on {self.node}: {error.code}")
            return
        for promise in below:
            promise.fate, promise.removed_s = Fate.REMOVED, trio.current_time()
        world.trace.note(f"remove {self.folder}/ on {self.node}: done")


# What happens to machines


@dataclass(frozen=True, slots=True)
class MachineAction(Action):
    """Something that happens to one machine, which must exist."""

    node: str

    async def act(self, world: World) -> None:
        node = world.machine(self.node)
        if node is not None:
            await self.happen(world, node)

    async def happen(self, world: World, node: ClusterNode) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Stop(MachineAction):
    """Its power fails: what was not synced is gone or torn."""

    verb = "stop"

    async def happen(self, world: World, node: ClusterNode) -> None:
        if node.running:
            world.disturb(node.number)
            await node.crash()


@dataclass(frozen=True, slots=True)
class Kill(MachineAction):
    """Its process is killed; the machine goes on and its disk has all that was written."""

    verb = "kill"

    async def happen(self, world: World, node: ClusterNode) -> None:
        if node.running:
            world.disturb(node.number)
            await node.crash(power_lost=False)


@dataclass(frozen=True, slots=True)
class Start(MachineAction):
    """Its node is started again on the disk it has."""

    verb = "start"

    async def happen(self, world: World, node: ClusterNode) -> None:
        if not node.running and node.number not in world.destroyed:
            world.disturb(node.number)
            await world.start(node)


@dataclass(frozen=True, slots=True)
class LoseDisk(MachineAction):
    """Its disk is replaced by an empty one, where no object depends on it alone."""

    verb = "lose_disk"

    async def happen(self, world: World, node: ClusterNode) -> None:
        if node.number in world.destroyed or not can_lose(world, node):
            return
        world.disturb(node.number)
        world.messages.lost(node.number)
        if node.running:
            await node.crash()
        node.lose_disk()
        await world.start(node)


@dataclass(frozen=True, slots=True)
class Destroy(MachineAction):
    """It burns down and is never seen again, where no object depends on it alone."""

    verb = "destroy"

    async def happen(self, world: World, node: ClusterNode) -> None:
        if not can_lose(world, node):
            return
        world.disturb(node.number)
        world.messages.lost(node.number)
        world.destroyed[node.number] = None
        if node.running:
            await node.crash()


@dataclass(frozen=True, slots=True)
class Corrupt(MachineAction):
    """`chunks` of its chunks, chosen by chance or of object `label`, get a flipped bit, where no object depends on it
    alone."""

    verb = "corrupt"
    label: str = ""
    chunks: int = 1

    async def happen(self, world: World, node: ClusterNode) -> None:
        if not node.running or not can_lose(world, node):
            return
        promise = world.promises.get(self.label)
        placement = world.placement(promise.cid) if promise is not None and promise.report else None
        addresses = None if placement is None else world.cluster.assigned(placement, node.key)
        if node.rot(addresses, self.chunks):
            world.doubted[node.number] = None
            world.promises.lose(node.number)


@dataclass(frozen=True, slots=True)
class FillDisk(MachineAction):
    """Something else on the machine takes all of its disk but `free_bytes`."""

    verb = "fill_disk"
    free_bytes: int = 0

    async def happen(self, world: World, node: ClusterNode) -> None:
        node.disk.fill(self.free_bytes)
        world.hampered[node.number] = None


@dataclass(frozen=True, slots=True)
class EmptyDisk(MachineAction):
    """The machine has room again."""

    verb = "empty_disk"

    async def happen(self, world: World, node: ClusterNode) -> None:
        node.disk.fill(None)
        world.hampered.pop(node.number, None)


@dataclass(frozen=True, slots=True)
class SlowDisk(MachineAction):
    """Each operation of its disk takes `seconds` more; 0 makes it quick again."""

    verb = "slow_disk"
    seconds: float

    async def happen(self, world: World, node: ClusterNode) -> None:
        node.disk.slow(self.seconds)
        world.hampered[node.number] = None
        if not self.seconds:
            del world.hampered[node.number]


@dataclass(frozen=True, slots=True)
class Busy(MachineAction):
    """Something else keeps its processors busy: work in threads begins and ends up to `late_s` late, so that what
    happens side by side meets in other orders; 0 ends it."""

    verb = "busy"
    late_s: float

    async def happen(self, world: World, node: ClusterNode) -> None:
        node.env.late_s = self.late_s
        world.hampered[node.number] = None
        if not self.late_s:
            del world.hampered[node.number]


@dataclass(frozen=True, slots=True)
class SetClock(MachineAction):
    """Its wall clock jumps to `ahead_s` seconds ahead of the truth."""

    verb = "set_clock"
    ahead_s: float

    async def happen(self, _world: World, node: ClusterNode) -> None:
        node.env.skew_s = self.ahead_s


@dataclass(frozen=True, slots=True)
class Sleep(MachineAction):
    """A laptop is closed: it does nothing and answers nothing until it is woken."""

    verb = "sleep"

    async def happen(self, world: World, node: ClusterNode) -> None:
        if node.running and node.number not in world.asleep:
            world.disturb(node.number)
            world.asleep[node.number] = None
            node.fall_asleep()


@dataclass(frozen=True, slots=True)
class Wake(MachineAction):
    """The laptop is opened again."""

    verb = "wake"

    async def happen(self, world: World, node: ClusterNode) -> None:
        if node.number in world.asleep:
            world.disturb(node.number)
            del world.asleep[node.number]
            node.wake()


@dataclass(frozen=True, slots=True)
class Join(Action):
    """A new machine joins the mesh."""

    verb = "join"

    async def act(self, world: World) -> None:
        node = world.cluster.include()
        world.disturb(node.number)
        await world.start(node)
        world.disturb(node.number)


@dataclass(frozen=True, slots=True)
class Blackout(Action):
    """All machines lose their power at one moment, and are started again `seconds` later."""

    verb = "blackout"
    seconds: float = 5.0

    async def act(self, world: World) -> None:
        for node in world.cluster.nodes:
            world.disturb(node.number)
        await all_at_once([node.crash for node in world.cluster.running()])
        await trio.sleep(self.seconds)
        await start_all(world)
        for node in world.cluster.nodes:
            world.disturb(node.number)


@dataclass(frozen=True, slots=True)
class Whole(Action):
    """By this moment everything that is owed has all of its redundancy, whatever else is still wrong."""

    verb = "whole"

    async def act(self, world: World) -> None:
        for text in redundant(world):
            world.violated(redundant.__name__, text)


async def start_all(world: World) -> None:
    """Start every machine that does not run and still can."""
    stopped = [node for node in world.cluster.nodes if not node.running and node.number not in world.destroyed]
    await all_at_once([partial(world.start, node) for node in stopped])


async def all_at_once(works: list[Callable[[], Awaitable[None]]]) -> None:
    """Do all of `works` side by side."""
    async with trio.open_nursery() as nursery:
        for work in works:
            nursery.start_soon(work)
