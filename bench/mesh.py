"""Seven node processes: 256 MB in at one node and out at another, beside a plain TLS 1.3 copy over loopback."""

from __future__ import annotations

import os
import subprocess
from statistics import median
from typing import Final

from bench.baselines import tls_loopback
from bench.context import Context, processes, say
from bench.data import MB, incompressible, stamp
from bench.measure import PeakMemory, span
from bench.rows import HIGHER, LOWER, Baseline, Row, row
from inos.client.connect import connect_sync

PART: Final = "mesh"
GET_TARGET_MB_S: Final = 60.0
MEMORY_TARGET_MB: Final = 250.0


def run(context: Context) -> list[Row]:
    """Rows for put and get of 256 MB of bytes that do not shrink."""
    nodes = context.mesh().nodes
    # Both are above the size from which objects are erasure coded.
    size = (128 if context.quick else 256) * MB
    source = incompressible(context.fresh("mesh-source") / "file", size)
    watched = processes(nodes)
    taken: dict[str, list[float]] = {}
    with PeakMemory(watched) as memory:
        for number in range(1 if context.quick else 3):
            say(f"mesh round {number + 1}")
            stamp(source)
            os.sync()
            taken.setdefault("tls", []).append(tls_loopback(source.parent, size))
            putter, getter = nodes[number % 7], nodes[(number + 3) % 7]
            with connect_sync(putter.home) as mesh, span(watched) as put:
                report = mesh.put(source)
            say(f"put {put.wall_s:.1f} s, {report.level}, survives {report.survives} of {report.wanted_survives}")
            taken.setdefault("put", []).append(size / MB / put.wall_s)
            taken.setdefault("put cpu", []).append(put.their_cpu_s * 1000 / (size / MB))
            out = source.with_name("back")
            with connect_sync(getter.home) as mesh, span(watched) as get:
                mesh.get(report.ref, out)
            say(f"get {get.wall_s:.1f} s")
            taken.setdefault("get", []).append(size / MB / get.wall_s)
            taken.setdefault("get cpu", []).append(get.their_cpu_s * 1000 / (size / MB))
            subprocess.run(["cmp", str(source), str(out)], check=True)
            out.unlink()
    tls = Baseline("TLS 1.3 loopback", median(taken["tls"]))
    label = f"{size // MB} MB"
    return [
        row(PART, f"{label} put", taken["put"], "MB/s", HIGHER, baseline=tls),
        row(PART, f"{label} get, from another node", taken["get"], "MB/s", HIGHER, baseline=tls,
            target=GET_TARGET_MB_S),
        row(PART, "processor of all nodes, put", taken["put cpu"], "ms/MB", LOWER),
        row(PART, "processor of all nodes, get", taken["get cpu"], "ms/MB", LOWER),
        row(PART, "most memory of any node meanwhile", [memory.peak_bytes / MB], "MB", LOWER, target=MEMORY_TARGET_MB),
    ]  # fmt: skip
