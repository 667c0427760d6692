"""Playing a script from its seed: faults and users, then quiet, then the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from inos.sim.cluster import Cluster, open_cluster
from inos.sim.invariants import AFTERWARDS, ALWAYS, Invariant
from inos.sim.message_truth import note_safe, provide_hub
from inos.sim.promises import Fate, Promise
from inos.sim.quiet import end_faults
from inos.sim.script import Script, Step
from inos.sim.seeded import run_seeded
from inos.sim.truth import take_account
from inos.sim.world import Violation, World

CHECK_EVERY_S: Final = 15.0
SETTLE_LOOK_S: Final = 10.0
# Every owed object is read once more at the end from this many machines.
READERS: Final = 2


class Failed(AssertionError):
    """An invariant was broken; the text says which, and how to see it again."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a script; the same in every process that plays it."""

    script: Script
    length_s: float
    trace: str
    events: int
    frames: int
    simulated_s: float
    settled_s: float
    puts: int
    acknowledged: int
    removed: int
    actions: int
    violations: tuple[Violation, ...]
    latest: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.violations

    def check(self) -> None:
        """Raises Failed when an invariant was broken."""
        if self.violations:
            lines = "\n".join(f"  {violation}" for violation in self.violations)
            raise Failed(f"{len(self.violations)} violations of {self.script}.run(seconds={self.length_s:g}):\n{lines}")


def play(script: Script, length_s: float, *, to_the_end: bool = True) -> Result:
    """Play `script`, then let time pass until `length_s`, end every fault, and wait for the mesh to be whole. Not
    `to_the_end`, the first broken invariant ends it."""
    settings = script.settings

    async def main() -> Result:
        async with open_cluster(settings.nodes, settings.cluster()) as cluster:
            return await _play(script, length_s, cluster, to_the_end)

    return run_seeded(settings.seed, main)


async def _play(script: Script, length_s: float, cluster: Cluster, to_the_end: bool) -> Result:
    world = World(cluster, script.settings.seed)
    cluster.fabric.watch(world.saw)
    begun_s = quiet_s = settled_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, world)
        if not to_the_end:
            nursery.start_soon(_end_when_broken, world, nursery.cancel_scope)
        async with trio.open_nursery() as busy:
            await _act_all(world, script.steps, begun_s, busy)
            await trio.sleep_until(max(trio.current_time(), begun_s + length_s))
        await end_faults(world)
        quiet_s = trio.current_time()
        nursery.start_soon(provide_hub, world)
        await _settle(world, script.settings.settle_s)
        settled_s = trio.current_time()
        await _read_all(world)
        nursery.cancel_scope.cancel()
    return _result(script, length_s, world, max(settled_s - quiet_s, 0.0))


async def _act_all(world: World, steps: tuple[Step, ...], begun_s: float, nursery: trio.Nursery) -> None:
    for step in steps:
        await trio.sleep(step.pause_s)
        if step.at_s is None:
            await _act(world, step)
        else:
            await trio.sleep_until(max(trio.current_time(), begun_s + step.at_s))
            nursery.start_soon(_act, world, step)


async def _act(world: World, step: Step) -> None:
    world.trace.note(str(step.action))
    world.acted += 1
    await step.action.act(world)


async def _end_when_broken(world: World, scope: trio.CancelScope) -> None:
    await world.broken.wait()
    scope.cancel()


async def _watch(world: World) -> None:
    while True:
        await trio.sleep(CHECK_EVERY_S)
        world.count_frames()
        take_account(world)
        note_safe(world)
        _check(world, ALWAYS)


def _check(world: World, invariants: tuple[Invariant, ...]) -> None:
    for invariant in invariants:
        for text in invariant(world):
            world.violated(invariant.__name__, text)


async def _settle(world: World, within_s: float) -> None:
    """Wait until all that must become true is; what is not within the time is a violation."""
    with trio.move_on_after(within_s):
        while True:
            take_account(world)
            if not any(next(invariant(world), "") for invariant in AFTERWARDS):
                return
            await trio.sleep(SETTLE_LOOK_S)
    _check(world, AFTERWARDS)


async def _read_all(world: World) -> None:
    """Every owed object from some machines, by reference and by name; every removed one from none."""
    chance = world.chance
    for promise in list(world.promises):
        readers = world.honest()
        for node in chance.sample(readers, min(READERS, len(readers))):
            await _read_last(world, promise, world.name(node))


async def _read_last(world: World, promise: Promise, name: str) -> None:
    node = world.running(name)
    if node is None:
        return
    if promise.owed:
        for target in (promise.ref, f"inos:/{promise.name}"):
            await world.must_read(node, promise, target)
    elif promise.fate is Fate.REMOVED and promise.report is not None:
        await world.must_not_read(node, promise)


def _result(script: Script, length_s: float, world: World, settled_s: float) -> Result:
    promises = list(world.promises)
    return Result(
        script=script,
        length_s=length_s,
        trace=world.trace.digest(),
        events=world.trace.events,
        frames=world.cluster.fabric.counters.arrived,
        simulated_s=trio.current_time(),
        settled_s=settled_s,
        puts=len(promises),
        acknowledged=sum(promise.report is not None for promise in promises),
        removed=sum(promise.fate is Fate.REMOVED for promise in promises),
        actions=world.acted,
        violations=tuple(world.violations),
        latest=tuple(world.trace.latest()),
    )
