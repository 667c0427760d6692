"""Seven node processes and small objects: the latency of reading 100 KB from a node that does not hold it, a thousand
objects of 4 KB, and the latency of one.

Reads go over one kept client connection to each node; each object is read once there, so nothing is warm.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any, Final

from bench.baselines import write_fsync_ms
from bench.context import Context, processes, say
from bench.data import small_files
from bench.measure import span
from bench.rows import HIGHER, LOWER, Baseline, Row, percentile, row
from inos.cli.local_mesh import LocalNode
from inos.client.connect import connect_sync

PART: Final = "small"
READ_BYTES: Final = 100_000
WRITE_BYTES: Final = 4096
P50_TARGET_MS: Final = 20.0
P95_TARGET_MS: Final = 50.0


def run(context: Context) -> list[Row]:
    """Rows for reading and writing small objects."""
    nodes = context.mesh().nodes
    with ExitStack() as stack:
        meshes = [stack.enter_context(connect_sync(node.home)) for node in nodes]
        return _reads(context, nodes, meshes) + _many(context, nodes, meshes[0]) + _single(context, meshes[0])


def _reads(context: Context, nodes: Sequence[LocalNode], meshes: Sequence[Any]) -> list[Row]:
    count = 20 if context.quick else 60
    say(f"{count} objects of 100 KB")
    stored = [meshes[0].put(os.urandom(READ_BYTES)) for _ in range(count)]
    taken: dict[str, list[float]] = {}
    for report in stored:
        holding = {member.node_name for member in meshes[0].stat(report.ref).members}
        for node, mesh in zip(nodes[1:], meshes[1:], strict=True):
            kind = "holder" if node.name in holding else "other"
            floor, first, full = _read(mesh, report.ref)
            taken.setdefault("floor", []).append(floor)
            taken.setdefault(f"{kind} first", []).append(first)
            taken.setdefault(f"{kind} full", []).append(full)
    floor_row = Baseline("a listing of nothing", median(taken["floor"]))
    rows = []
    for kind, label in (("other", "from a node without it"), ("holder", "from a holder")):
        for what, words in (("first", "first byte"), ("full", "all of it")):
            samples = taken.get(f"{kind} {what}")
            if samples:
                rows += _latency(f"100 KB {words} {label}", samples, floor_row, targets=kind == "other")
    return rows


def _read(mesh: Any, reference: str) -> tuple[float, float, float]:
    """Milliseconds of the smallest request there is, to the first byte, and to the last."""
    start = time.perf_counter()
    assert not list(mesh.list("/no such name"))
    floor = time.perf_counter() - start
    start = time.perf_counter()
    first, size = 0.0, 0
    with mesh.open(reference) as content:
        for chunk in content.chunks:
            first = first or time.perf_counter() - start
            size += len(chunk)
    full = time.perf_counter() - start
    assert size == READ_BYTES
    return floor * 1000, first * 1000, full * 1000


def _latency(name: str, samples: Sequence[float], baseline: Baseline, *, targets: bool) -> list[Row]:
    return [
        Row(PART, f"{name}, {words}", percentile(samples, share), "ms", LOWER, tuple(samples), baseline,
            target if targets else None)
        for words, share, target in (("p50", 0.5, P50_TARGET_MS), ("p95", 0.95, P95_TARGET_MS))
    ]  # fmt: skip


def _many(context: Context, nodes: Sequence[LocalNode], mesh: Any) -> list[Row]:
    count = 300 if context.quick else 1000
    say(f"{count} objects of 4 KB")
    rates, processor, plain = [], [], []
    watched = processes(list(nodes))
    for number in range(1 if context.quick else 3):
        folder = small_files(context.folder / "small-source", count, WRITE_BYTES)
        plain.append(1000 * 100 / sum(write_fsync_ms(context.folder, WRITE_BYTES, 100)))
        with span(watched) as put:
            report = mesh.put(folder, name=f"/small/{number}")
        assert report.files == count
        say(f"{count / put.wall_s:.0f}/s, {report.level}, survives {report.survives}")
        rates.append(count / put.wall_s)
        processor.append(put.their_cpu_s * 1000 / count)
        shutil.rmtree(folder)
    return [
        row(PART, f"{count} objects of 4 KB, one folder put", rates, "objects/s", HIGHER,
            baseline=Baseline("write+fsync a file", median(plain))),
        row(PART, "processor of all nodes an object", processor, "ms", LOWER),
    ]  # fmt: skip


def _single(context: Context, mesh: Any) -> list[Row]:
    count = 20 if context.quick else 60
    say(f"{count} single objects of 4 KB")
    plain = Baseline("write+fsync a file", median(write_fsync_ms(context.folder, WRITE_BYTES, count)))
    samples = []
    for number in range(count):
        data = os.urandom(WRITE_BYTES)
        start = time.perf_counter()
        mesh.put(data, name=f"/single/{number}")
        samples.append((time.perf_counter() - start) * 1000)
    return _latency("one 4 KB put", samples, plain, targets=False)
