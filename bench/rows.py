"""What a benchmark found: rows of medians with their samples, beside a baseline and, where there is one, a target.

Numbers are never rounded in our favour: what should be high is cut off, what should be low is rounded up, and a target
is compared with the unrounded median.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

HIGHER: Final = "higher"
LOWER: Final = "lower"
DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was measured in the same run to compare with, in the same unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Row:
    """One number. `better` says which way is good; `samples` are what its median (or percentile) was taken of."""

    part: str
    name: str
    value: float
    unit: str
    better: str
    samples: tuple[float, ...] = ()
    baseline: Baseline | None = None
    target: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the baseline."""
        return self.value / self.baseline.value if self.baseline and self.baseline.value else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == HIGHER else self.value <= self.target

    def as_json(self) -> dict[str, Any]:
        baseline = None if self.baseline is None else {"name": self.baseline.name, "value": self.baseline.value}
        return {
            "part": self.part, "name": self.name, "value": self.value, "unit": self.unit, "better": self.better,
            "samples": list(self.samples), "baseline": baseline, "ratio": self.ratio, "target": self.target,
            "met": self.met, "note": self.note,
        }  # fmt: skip


def row(
    part: str,
    name: str,
    samples: Iterable[float],
    unit: str,
    better: str,
    *,
    baseline: Baseline | None = None,
    target: float | None = None,
    note: str = "",
) -> Row:
    """A row whose value is the median of `samples`."""
    taken = tuple(samples)
    return Row(part, name, median(taken), unit, better, taken, baseline, target, note)


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which `share` of them lie; the next higher one, never an interpolation."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def shown(value: float, better: str) -> str:
    """`value` with three digits, rounded against us."""
    if value == 0 or not math.isfinite(value):
        return str(value)
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    cut = math.floor(value / step + 1e-9) if better == HIGHER else math.ceil(value / step - 1e-9)
    places = max(0, -round(math.log10(step)))
    return f"{cut * step:,.{places}f}"


def table(rows: Sequence[Row]) -> str:
    """All rows as aligned text."""
    lines: list[tuple[str, ...]] = [("", "median", "", "min .. max", "baseline", "ratio", "target", "")]
    lines += [_cells(each) for each in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [cell.rjust(width) if at in (1, 5) else cell.ljust(width)
                 for at, (cell, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def _cells(each: Row) -> tuple[str, ...]:
    spread = ""
    if len(each.samples) > 1:
        spread = f"{shown(min(each.samples), each.better)} .. {shown(max(each.samples), each.better)}"
    baseline = f"{each.baseline.name} {shown(each.baseline.value, each.better)}" if each.baseline else ""
    ratio = "" if each.ratio is None else f"{shown(each.ratio, each.better)} x"
    target = "" if each.target is None else f"{'>=' if each.better == HIGHER else '<='} {each.target:g}"
    verdict = {None: "", True: "met", False: "MISSED"}[each.met]
    end = "  ".join(word for word in (verdict, each.note) if word)
    return f"{each.part}: {each.name}", shown(each.value, each.better), each.unit, spread, baseline, ratio, target, end
