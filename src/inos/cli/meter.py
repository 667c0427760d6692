"""The progress line on a terminal: how much, how fast, how long still. Drawn at most ten times a second."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Final, Self, TextIO

import anyio

from inos.cli.output import age_text, size_text

REDRAW_S: Final = 0.1
BAR: Final = 24
# The rate is of the last seconds, so that the time left follows a change of speed within them.
RATE_WINDOW_S: Final = 5.0


class Meter:
    """A Progress that draws itself, or nothing where standard error is no terminal."""

    def __init__(
        self, label: str, *, stream: TextIO | None = None, shown: bool | None = None, counted: bool = False
    ) -> None:
        """`counted`: what is counted are things, not bytes."""
        self._counted = counted
        self._label = label if len(label) <= 30 else "…" + label[-29:]
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty() if shown is None else shown
        self._total: int | None = None
        self._done = 0
        self._drawn_s = 0.0
        self._marks: list[tuple[float, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if self._marks:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def total(self, size: int | None) -> None:
        self._total = size

    def advance(self, size: int) -> None:
        self._done += size
        if not self._shown:
            return
        now_s = anyio.current_time()
        if now_s - self._drawn_s >= REDRAW_S:
            self._drawn_s = now_s
            self._marks = [mark for mark in self._marks if now_s - mark[0] <= RATE_WINDOW_S]
            self._marks.append((now_s, self._done))
            self._stream.write("\r\x1b[K" + self._line())
            self._stream.flush()

    def _line(self) -> str:
        if not self._counted:
            return meter_line(self._label, self._done, self._total, self._rate())
        return f"{self._label}  {bar_text(self._done, self._total or self._done)}  {self._done} of {self._total or '?'}"

    def _rate(self) -> float:
        (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


def bar_text(done: int, total: int) -> str:
    """The bar, and the share in per cent."""
    share = min(1.0, done / total) if total else 0.0
    return "█" * round(share * BAR) + "░" * (BAR - round(share * BAR)) + f" {share:4.0%}"


def meter_line(label: str, done: int, total: int | None, rate: float) -> str:
    """The line for `done` of `total` bytes at `rate` bytes a second."""
    speed = f"{size_text(rate)}/s" if rate else ""
    if not total:
        return f"{label}  {size_text(done)}  {speed}".rstrip()
    left = f"{age_text((total - done) / rate)} left" if rate and done < total else ""
    return f"{label}  {bar_text(done, total)}  {size_text(done)} of {size_text(total)}  {speed}  {left}".rstrip()
