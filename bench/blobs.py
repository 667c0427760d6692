"""One node alone, as a store for one machine: single objects of up to 10 MB read and written through its API."""

from __future__ import annotations

import os
import time
from typing import Final

from bench.baselines import write_fsync_ms
from bench.context import Context, say
from bench.rows import LOWER, Baseline, Row, percentile
from inos.client.connect import connect_sync
from inos.core.errors import InosError

PART: Final = "blobs"
# Up to just under the 10 MB that the targets speak of.
SIZES: Final = (4_000, 100_000, 1_000_000, 9_900_000)
READ_TARGET_MS: Final = 100.0
WRITE_TARGET_MS: Final = 200.0
FAILURES_TARGET: Final = 1.0


def run(context: Context) -> list[Row]:
    """p95 of reads and writes by size, and the share of writes that failed."""
    rows: list[Row] = []
    written = failed = 0
    count = 15 if context.quick else 60
    with context.lone_node("blobs") as node, connect_sync(node.home) as mesh:
        for size in SIZES:
            say(f"{count} objects of {size:,} bytes")
            plain = percentile(write_fsync_ms(context.folder, size, count), 0.95)
            writes, references = [], []
            for number in range(count):
                data = os.urandom(size)
                began = time.perf_counter()
                try:
                    references.append(mesh.put(data, name=f"/blobs/{size}/{number}").ref)
                except InosError:
                    failed += 1
                writes.append((time.perf_counter() - began) * 1000)
                written += 1
            reads = []
            for reference in references:
                began = time.perf_counter()
                taken = sum(len(part) for part in mesh.stream(reference))
                reads.append((time.perf_counter() - began) * 1000)
                assert taken == size
            for what, samples, target in (("write", writes, WRITE_TARGET_MS), ("read", reads, READ_TARGET_MS)):
                baseline = Baseline("write+fsync a file, p95", plain) if what == "write" else None
                rows.append(
                    Row(PART, f"{what} {size:,} bytes, p95", percentile(samples, 0.95), "ms", LOWER, tuple(samples),
                        baseline, target, note=f"p50 {percentile(samples, 0.5):.1f}")
                )  # fmt: skip
    share = 100 * failed / written
    rows.append(Row(PART, f"writes that failed, of {written}", share, "%", LOWER, target=FAILURES_TARGET))
    return rows
