"""Taking times and processor time, and watching memory, of this process and of others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil


@dataclass(slots=True)
class Span:
    """Seconds that passed, and processor seconds that this process and the watched ones used."""

    wall_s: float = 0.0
    own_cpu_s: float = 0.0
    their_cpu_s: float = 0.0


@contextmanager
def span(others: Sequence[psutil.Process] = ()) -> Iterator[Span]:
    """Measure what happens inside; the result is filled in at the end."""
    found = Span()
    theirs, own, start = cpu_s(others), time.process_time(), time.perf_counter()
    yield found
    found.wall_s = time.perf_counter() - start
    found.own_cpu_s = time.process_time() - own
    found.their_cpu_s = cpu_s(others) - theirs


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """Processor seconds, user and system, of processes that still run."""
    total = 0.0
    for process in processes:
        times = process.cpu_times()
        total += times.user + times.system
    return total


class PeakMemory:
    """Watches the resident memory of processes while inside; `peak_bytes` is the highest of any one of them."""

    def __init__(self, processes: Sequence[psutil.Process], every_s: float = 0.05) -> None:
        self._processes = processes
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self.peak_bytes = max(self.peak_bytes, *(process.memory_info().rss for process in self._processes))
