"""One node alone: its resident memory while files of very different size stream through put and get; it must stay flat.

The mesh and repair parts watch memory too, with seven nodes sending to each other.
"""

from __future__ import annotations

from typing import Final

from bench.context import Context, processes, say
from bench.data import MB, MIB, incompressible
from bench.measure import PeakMemory
from bench.rows import LOWER, Baseline, Row
from inos.client.connect import connect_sync

PART: Final = "memory"
TARGET_MB: Final = 250.0
SMALL_MIB: Final = 256


def run(context: Context) -> list[Row]:
    """The highest resident memory during put and during get, for a smaller and a huge file."""
    rows: list[Row] = []
    for mebibytes in (SMALL_MIB, 512 if context.quick else context.huge_mib):
        source = incompressible(context.fresh("memory-source") / "file", mebibytes * MIB)
        with context.lone_node("memory") as node, connect_sync(node.home) as mesh:
            watched = processes([node])
            idle = Baseline("idle", watched[0].memory_info().rss / MB)
            with PeakMemory(watched) as put:
                report = mesh.put(source)
            with PeakMemory(watched) as get:
                mesh.get(report.ref, source.with_name("back"))
        for what, peak in (("put", put), ("get", get)):
            say(f"{mebibytes} MiB {what}: {peak.peak_bytes / MB:.0f} MB")
            rows.append(
                Row(PART, f"peak, {mebibytes} MiB {what}", peak.peak_bytes / MB, "MB", LOWER, baseline=idle,
                    target=TARGET_MB)
            )  # fmt: skip
        source.unlink()
        source.with_name("back").unlink()
    return rows
