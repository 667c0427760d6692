"""Seven node processes with nothing to do: memory and processor of each, beside a Python that only sleeps."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import Final

import psutil

from bench.context import Context, processes, say
from bench.data import MB
from bench.measure import cpu_s
from bench.rows import LOWER, Baseline, Row

PART: Final = "idle"
MEMORY_TARGET_MB: Final = 120.0
CPU_TARGET_PERCENT: Final = 2.0
# After thousands of puts a node tells stewards and writes its log back for a while: work, if of nobody's asking.
SETTLE_S: Final = 45.0
WATCH_S: Final = 20.0


def run(context: Context) -> list[Row]:
    """Rows for the first and the last node, and the worst of all."""
    nodes = context.mesh().nodes
    time.sleep(SETTLE_S)
    watch_s = WATCH_S / 2 if context.quick else WATCH_S
    say(f"watching idle nodes for {watch_s:g} s")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as sleeper:
        watched = [*processes(nodes), psutil.Process(sleeper.pid)]
        before = [cpu_s([process]) for process in watched]
        start = time.perf_counter()
        time.sleep(watch_s)
        seconds = time.perf_counter() - start
        percent = [(cpu_s([process]) - old) / seconds * 100 for process, old in zip(watched, before, strict=True)]
        memory = [process.memory_info().rss / MB for process in watched]
        sleeper.kill()
    own_memory = memory[: len(nodes)]
    own_percent = percent[: len(nodes)]
    bare = Baseline("bare Python", memory[-1])
    return [
        *(Row(PART, f"memory of node {number}", own_memory[number - 1], "MB", LOWER, baseline=bare,
              target=MEMORY_TARGET_MB) for number in (1, len(nodes))),
        Row(PART, "memory, the worst of all", max(own_memory), "MB", LOWER, tuple(own_memory), bare, MEMORY_TARGET_MB),
        *(Row(PART, f"processor of node {number}", own_percent[number - 1], "%", LOWER,
              target=CPU_TARGET_PERCENT) for number in (1, len(nodes))),
        Row(PART, "processor, the worst of all", max(own_percent), "%", LOWER, tuple(own_percent), None,
            CPU_TARGET_PERCENT, note=f"median {median(own_percent):.2f} %"),
    ]  # fmt: skip
