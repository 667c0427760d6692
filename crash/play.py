"""Killing an operation at its boundaries, or cutting its power, and looking at what is left each time.

What must be there is known from runs of the same operation that ended in order after each acknowledgement: what is
found after a kill lies between what was acknowledged last and what would have been next (`Operation.allows`). Then the
operation is done again, undisturbed: it must come to its end, and leave what it leaves when nothing happened, with
nothing unfinished lying around.
"""

from __future__ import annotations

import os
import pickle
import random
import re
import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from crash.operations import Operation
from crash.power import PowerLoss
from crash.roots import Facts, Found, Scene, temporaries
from crash.watched import run

T = TypeVar("T")


class Violation(Exception):
    """Something that must not be was found."""


@dataclass(slots=True)
class Result:
    """What became of one operation: boundaries met undisturbed, ends by kill and by power loss, violations, and how
    long it took at most until the root served again."""

    name: str
    boundaries: int = 0
    kills: int = 0
    power_losses: int = 0
    violations: list[str] = field(default_factory=list)
    recovery_s: float = 0.0


class Prepared:
    """An operation with its scene laid out, and its undisturbed run: how many `boundaries` it met, and all its steps.
    What is so after each acknowledgement is found out when it is asked for."""

    def __init__(self, operation: Operation, template: Path) -> None:
        """Lay out the scene in the folder `template`, which is not there. Raises Violation."""
        template.mkdir(parents=True)
        _elsewhere(lambda: operation.make(Scene(template)))
        self.operation = operation
        self.template = template
        with copied(template) as scene:
            self.ran = run(lambda acknowledge: operation.work(scene, acknowledge), scene.base, record=True)
            if self.ran.end != "done":
                raise Violation(f"{operation.name}, undisturbed: {self.ran.end}")
            last = _elsewhere(lambda: operation.found(scene)).facts
        self._states = {self.ran.acknowledged: last}

    @property
    def boundaries(self) -> int:
        return self.ran.boundaries

    @property
    def last(self) -> Facts:
        """What is so in the end."""
        return self._states[self.ran.acknowledged]

    def state(self, acknowledged: int) -> Facts:
        """What is so when it ends in order after so many acknowledgements. Raises Violation, also when the last of them
        changed nothing though the operation changes something: it would pass by doing nothing."""
        acknowledged = min(acknowledged, self.ran.acknowledged)
        if acknowledged not in self._states:
            self._states[acknowledged] = _state(self.operation, self.template, acknowledged)
        state = self._states[acknowledged]
        if self.operation.changes and state == self._states.get(acknowledged - 1):
            raise Violation(f"{self.operation.name}: acknowledged step {acknowledged} changes nothing")
        return state


def killed(prepared: Prepared, at: int, result: Result) -> None:
    """One kill at boundary `at`."""
    result.kills += 1
    operation = prepared.operation
    with copied(prepared.template) as scene, _noting(result, f"killed at {at}"):
        ran = run(lambda acknowledge: operation.work(scene, acknowledge), scene.base, kill_at=at)
        if ran.end not in ("killed", "done"):  # threads meet boundaries in another order: it may end before
            raise Violation(ran.end)
        _judge(prepared, scene, ran.acknowledged, result)


def unpowered(prepared: Prepared, at: int, chance: random.Random, result: Result) -> None:
    """One power loss right before boundary `at`, played from the recorded steps."""
    result.power_losses += 1
    lost, met, acknowledged = PowerLoss(prepared.template.with_name("scene"), prepared.template), 0, 0
    for step in prepared.ran.steps:
        if step.kind == "acknowledged":
            acknowledged += 1
            continue
        met += 1
        if met == at:
            break
        lost.play(step)
    with empty(prepared.template) as scene, _noting(result, f"without power at {at}"):
        lost.leave(chance, scene.base)
        _judge(prepared, scene, acknowledged, result)


def _judge(prepared: Prepared, scene: Scene, acknowledged: int, result: Result) -> None:
    operation = prepared.operation
    found = _elsewhere(lambda: operation.found(scene))
    result.recovery_s = max(result.recovery_s, found.recovery_s)
    before, after = prepared.state(acknowledged), prepared.state(acknowledged + 1)
    if problem := operation.allows(before, after, found.facts):
        raise Violation(f"after {acknowledged} acknowledged steps: {problem}")
    if found.facts != prepared.last:
        _elsewhere(lambda: operation.work(scene, lambda: None))
        again = _elsewhere(lambda: operation.found(scene))
        if again.facts != prepared.last:
            raise Violation(f"done again: {operation.allows(prepared.last, prepared.last, again.facts)}")
        if left := temporaries(scene):
            raise Violation(f"done again, and left: {', '.join(left[:5])}")


@contextmanager
def _noting(result: Result, when: str) -> Iterator[None]:
    try:
        yield
    except Violation as violation:
        result.violations.append(f"{result.name}, {when}: {violation}")


class _Stopped(BaseException):
    """The operation has acknowledged what it was to."""


def _state(operation: Operation, template: Path, steps: int) -> Facts:
    """What is so when it ends in order after so many acknowledgements."""
    left = steps

    def acknowledge() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise _Stopped

    def work(scene: Scene) -> None:
        try:
            operation.work(scene, acknowledge)
        except _Stopped:
            return
        except BaseExceptionGroup as group:
            if group.subgroup(_Stopped) is None:
                raise

    with copied(template, "in order") as scene:
        if steps:
            _elsewhere(lambda: work(scene))
        found: Found = _elsewhere(lambda: operation.found(scene))
        return found.facts


def _elsewhere(work: Callable[[], T]) -> T:
    """`work` in a process of its own, so that each opens a root as a new process does. Raises Violation."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            said = pickle.dumps((True, work()))
        except BaseException:
            said = pickle.dumps((False, _in_short(traceback.format_exc())))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if not said:
        raise Violation("the process that looked died")
    well, answer = pickle.loads(said)
    if not well:
        raise Violation(answer)
    found: T = answer
    return found


def _in_short(text: str) -> str:
    """A traceback's last place and what was said, groups of exceptions included."""
    lines = [line.strip(" |+-") for line in text.splitlines()]
    places = [line for line in lines if line.startswith("File ")] or ["nowhere"]
    said = [line for line in lines if re.match(r"[\w.]+(: |$)", line)]
    return f"{said[-1] if said else text} ({places[-1]})"


@contextmanager
def copied(template: Path, name: str = "scene") -> Iterator[Scene]:
    """A scene of its own, as laid out, for one run."""
    with empty(template, name) as scene:
        _copy(str(template), str(scene.base))
        yield scene


@contextmanager
def empty(template: Path, name: str = "scene") -> Iterator[Scene]:
    """A place for a scene, the same each time: steps recorded in one are played for another."""
    base = template.with_name(name)
    try:
        yield Scene(base)
    finally:
        if base.exists():
            _remove(str(base))


def _copy(source: str, target: str) -> None:
    """As `shutil.copytree`, which takes longer over the 256 folders of chunk files than all that happens to them."""
    os.mkdir(target, 0o700)  # noqa: PTH102
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _copy(entry.path, f"{target}/{entry.name}")
            else:
                shutil.copy(entry.path, f"{target}/{entry.name}")


def _remove(folder: str) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)  # noqa: PTH108
    os.rmdir(folder)  # noqa: PTH106
