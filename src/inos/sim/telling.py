"""What came of runs, for people and for programs. Everything about one run is a function of its seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from inos.sim.play import Result

_LATEST: Final = 15


def summary(result: Result) -> dict[str, Any]:
    """The end of a run as JSON: the same for the same seed, nodes and minutes, wherever it is played."""
    settings = result.script.settings
    return {
        "event": "summary",
        "seed": settings.seed,
        "nodes": settings.nodes,
        "length_s": result.length_s,
        "ok": result.ok,
        "violations": [
            {"at_s": round(found.at_s, 3), "invariant": found.invariant, "text": found.text}
            for found in result.violations
        ],
        "trace": result.trace,
        "events": result.events,
        "frames": result.frames,
        "simulated_s": round(result.simulated_s, 3),
        "settled_s": round(result.settled_s, 3),
        "actions": result.actions,
        "puts": result.puts,
        "acknowledged": result.acknowledged,
        "removed": result.removed,
    }


def steps(result: Result) -> list[dict[str, Any]]:
    """What was done to the mesh, as JSON, in order."""
    return [{"event": "action", "at_s": step.at_s, "action": str(step.action)[1:]} for step in result.script.steps]


def told(result: Result) -> str:
    """A run for people; of a failed one also what happened last and how to see it again."""
    head = (
        f"seed {result.script.settings.seed}: {result.script.settings.nodes} nodes, {result.simulated_s:.0f} simulated "
        f"seconds, {result.actions} actions, {result.acknowledged} of {result.puts} puts acknowledged, "
        f"whole again {result.settled_s:.0f} s after the last fault: {'ok' if result.ok else 'FAILED'}"
    )
    if result.ok:
        return head
    lines = [head, *(f"  {violation}" for violation in result.violations)]
    return "\n".join([*lines, "last of what happened:", *(f"  {line}" for line in result.latest[-_LATEST:])])


@dataclass(slots=True)
class Tally:
    """Many runs together. Seconds of real time are the workers' own, added up."""

    runs: int = 0
    simulated_s: float = 0.0
    real_s: float = 0.0
    events: int = 0
    frames: int = 0
    acknowledged: int = 0
    slowest_to_settle_s: float = 0.0
    failed: dict[int, list[str]] = field(default_factory=dict)
    broken: Counter[str] = field(default_factory=Counter)

    def add(self, run: dict[str, Any], real_s: float) -> None:
        """Count one run by its summary."""
        self.runs += 1
        self.real_s += real_s
        self.simulated_s += run["simulated_s"]
        self.events += run["events"]
        self.frames += run["frames"]
        self.acknowledged += run["acknowledged"]
        self.slowest_to_settle_s = max(self.slowest_to_settle_s, run["settled_s"])
        if not run["ok"]:
            violations = run["violations"]
            self.failed[run["seed"]] = [f"{v['at_s']:.1f} s: {v['invariant']}: {v['text']}" for v in violations]
            self.broken.update({violation["invariant"] for violation in violations})

    def line(self) -> str:
        """All of it in one line."""
        speed = self.simulated_s / self.real_s if self.real_s else 0.0
        return (
            f"{self.runs} seeds, {len(self.failed)} failed; {self.simulated_s / 3600:.1f} simulated hours at "
            f"{speed:.0f}x real time a process, {self.frames / max(self.real_s, 1e-9):,.0f} frames/s; "
            f"{self.acknowledged} puts acknowledged; whole again at most {self.slowest_to_settle_s:.0f} s after the "
            "last fault"
        )


def report(tally: Tally, replay: str, commit: str, limits: Sequence[str]) -> str:
    """A night's report in Markdown. `replay` is the command that plays a seed again, with {seed} in it."""
    lines = ["# Simulation report", "", f"Commit {commit}. {tally.line()}.", "", *limits, ""]
    if not tally.failed:
        return "\n".join([*lines, "Every invariant held in every run.", ""])
    lines += ["| invariant | seeds that broke it |", "| --- | --- |"]
    lines += [f"| {name} | {count} |" for name, count in sorted(tally.broken.items())]
    for seed, violations in sorted(tally.failed.items()):
        lines += [
            "",
            f"## Seed {seed}",
            "",
            f"    {replay.format(seed=seed)}",
            "",
            *(f"- {text}" for text in violations),
        ]
    return "\n".join([*lines, ""])
