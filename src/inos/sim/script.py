"""Scenarios, short enough to read aloud: what happens to a mesh, and when.

    cluster(5).put("letter", 200_000, "a").wait(seconds=10).stop("b").corrupt("c", "letter").run(minutes=10)

A script is a value: every call gives a longer one. Steps follow one another, each when the one before is done; `wait`
lets time pass; `at(seconds)` goes to a moment, and what follows it starts there without waiting for what is still going
on. `run` plays the script with all invariants on, lets `minutes` pass, ends every fault, waits until the mesh is whole
again, and raises `Failed` when anything was not as it should be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inos.sim import actions, message_actions, troubles
from inos.sim.actions import Action
from inos.sim.settings import SimSettings

if TYPE_CHECKING:
    from inos.sim.play import Result

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """One action. `at_s` is the moment it starts at, None for when the step before is done."""

    action: Action
    at_s: float | None = None
    pause_s: float = 0.0

    def __str__(self) -> str:
        moment = f".at({self.at_s:g})" if self.at_s is not None else ""
        pause = f".wait(seconds={self.pause_s:g})" if self.pause_s else ""
        return f"{pause}{moment}{self.action}"


@dataclass(frozen=True, slots=True)
class Script:
    """A mesh and what happens to it."""

    settings: SimSettings
    steps: tuple[Step, ...] = ()
    pause_s: float = 0.0
    moment_s: float | None = None

    def then(self, action: Action) -> Script:
        """`action` after what is there."""
        step = Step(action, self.moment_s, self.pause_s)
        return replace(self, steps=(*self.steps, step), pause_s=0.0)

    def wait(self, *, seconds: float = 0.0, minutes: float = 0.0) -> Script:
        return replace(self, pause_s=self.pause_s + seconds + minutes * MINUTE_S, moment_s=None)

    def at(self, seconds: float) -> Script:
        """What follows starts `seconds` after the mesh is up, whatever else is going on."""
        return replace(self, moment_s=seconds)

    # Users

    def put(self, label: str, size_bytes: int, node: str, name: str = "") -> Script:
        return self.then(actions.Put(label, size_bytes, node, name))

    def put_again(self, label: str, other: str, node: str) -> Script:
        """The content of `other` once more, under a second name."""
        return self.then(actions.PutAgain(label, node=node, other=other))

    def get(self, label: str, node: str, by_name: bool = False) -> Script:
        return self.then(actions.Get(label, node, by_name))

    def remove(self, label: str, node: str) -> Script:
        return self.then(actions.Remove(label, node))

    def remove_tree(self, folder: str, node: str) -> Script:
        return self.then(actions.RemoveTree(folder, node))

    def append(self, node: str, count: int = 1) -> Script:
        """The agent of that machine writes messages."""
        return self.then(message_actions.Append(node, count))

    def mark(self, node: str) -> Script:
        """Somebody there marks a message as read."""
        return self.then(message_actions.Mark(node))

    def take_hub(self, node: str) -> Script:
        """Somebody makes that machine the hub."""
        return self.then(message_actions.TakeHub(node))

    # Machines

    def stop(self, node: str) -> Script:
        """Power failure."""
        return self.then(actions.Stop(node))

    def kill(self, node: str) -> Script:
        return self.then(actions.Kill(node))

    def start(self, node: str) -> Script:
        return self.then(actions.Start(node))

    def lose_disk(self, node: str) -> Script:
        return self.then(actions.LoseDisk(node))

    def destroy(self, node: str) -> Script:
        return self.then(actions.Destroy(node))

    def corrupt(self, node: str, label: str = "", chunks: int = 1) -> Script:
        return self.then(actions.Corrupt(node, label, chunks))

    def fill_disk(self, node: str, free_bytes: int = 0) -> Script:
        return self.then(actions.FillDisk(node, free_bytes))

    def empty_disk(self, node: str) -> Script:
        return self.then(actions.EmptyDisk(node))

    def slow_disk(self, node: str, seconds: float) -> Script:
        return self.then(actions.SlowDisk(node, seconds))

    def busy(self, node: str, late_s: float) -> Script:
        return self.then(actions.Busy(node, late_s))

    def set_clock(self, node: str, ahead_s: float) -> Script:
        return self.then(actions.SetClock(node, ahead_s))

    def sleep(self, node: str) -> Script:
        return self.then(actions.Sleep(node))

    def wake(self, node: str) -> Script:
        return self.then(actions.Wake(node))

    def join(self) -> Script:
        return self.then(actions.Join())

    def blackout(self, seconds: float = 5.0) -> Script:
        return self.then(actions.Blackout(seconds))

    # Wires

    def cut(self, a: str, b: str) -> Script:
        return self.then(troubles.Cut(a, b))

    def cut_one_way(self, a: str, b: str) -> Script:
        return self.then(troubles.CutOneWay(a, b))

    def cut_off(self, node: str) -> Script:
        return self.then(troubles.CutOff(node))

    def rejoin(self, node: str) -> Script:
        return self.then(troubles.Rejoin(node))

    def partition(self, *groups: str) -> Script:
        """Groups as names separated by spaces; who is in none stays with the first."""
        return self.then(troubles.Partition(groups))

    def heal(self) -> Script:
        return self.then(troubles.Heal())

    def weather(self, loss: float = 0.0, duplicates: float = 0.0, jitter_s: float = 0.0) -> Script:
        """How good the wires are from now on, everywhere."""
        return self.then(troubles.Weather(loss, duplicates, jitter_s))

    def slow(self, node: str, factor: float) -> Script:
        return self.then(troubles.Slow(node, factor))

    def narrow(self, node: str, bytes_per_s: float) -> Script:
        return self.then(troubles.Narrow(node, bytes_per_s))

    # Enemies

    def stranger(self, node: str) -> Script:
        return self.then(troubles.Stranger(node))

    def turn(self, node: str) -> Script:
        return self.then(troubles.Turn(node))

    def revoke(self, node: str, by: str) -> Script:
        return self.then(troubles.Revoke(node, by))

    # Playing it

    def whole(self) -> Script:
        """By now everything must have all of its redundancy, although faults go on."""
        return self.then(actions.Whole())

    def play(self, *, seconds: float = 0.0, minutes: float = 0.0) -> Result:
        """What came of it; raises nothing for a broken invariant."""
        from inos.sim.play import play

        return play(self, seconds + minutes * MINUTE_S)

    def run(self, *, seconds: float = 0.0, minutes: float = 0.0) -> Result:
        """As `play`, but raises Failed when an invariant was broken."""
        result = self.play(seconds=seconds, minutes=minutes)
        result.check()
        return result

    def __str__(self) -> str:
        given = self.settings.given()
        return f"cluster({', '.join(given)})" + "".join(map(str, self.steps))


def cluster(nodes: int, **settings: object) -> Script:
    """A mesh of `nodes` machines called a, b, c ...; `settings` as in SimSettings."""
    return Script(SimSettings(nodes=nodes, **settings))  # type: ignore[arg-type]
