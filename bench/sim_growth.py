"""What a simulated mesh costs as it grows from 20 to 700 nodes, and one massive object on the largest.

    python -m bench.sim_growth [--sizes 20,50,100,200,400,700] [--out FOLDER]

Each size runs in a process of its own: start-up, then quiet, then an object of 10,240 chunks (of 1 KiB instead of
1 MiB; their number, the stripes and the holders are those of 10 GiB) is put, read in part, loses machines, and is
watched until it is whole again. Writes growth.json and growth.svg. The largest sizes take minutes.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import trio

from inos.core.ids import Cid
from inos.replication.scheme import PlanRules
from inos.sim.cluster import Cluster, ClusterSettings, fixed_bytes, open_cluster
from inos.sim.seeded import run_seeded

CHUNK: Final = 1024
CHUNKS: Final = 10_240
SETTINGS: Final = ClusterSettings(
    rules=PlanRules(erasure_from_bytes=100 * CHUNK, chunk_bytes=CHUNK), tick_s=0.01, latency_s=0.02, repair_after_s=20.0
)
QUIET_S: Final = 20.0
LOST: Final = 10
REPAIRED_WITHIN_S: Final = 600.0
# Chunks this small cost a round trip each, not bandwidth: reading all would take the clock minutes.
READS: Final = 10
READ_CHUNKS: Final = 100
SIZES: Final = (20, 50, 100, 200, 400, 700)


def say(nodes: int, text: str) -> None:
    print(f"{nodes} nodes: {text}", file=sys.stderr, flush=True)


async def measure(nodes: int) -> dict[str, Any]:
    """One size, in this process."""
    began = time.process_time()
    async with open_cluster(nodes, SETTINGS) as cluster:
        result: dict[str, Any] = {"nodes": nodes, "start_cpu_s": time.process_time() - began}
        say(nodes, f"up after {result['start_cpu_s']:.0f} s of processor time")
        await cluster.passes(QUIET_S)  # everybody has heard what everybody said of itself
        cpu, frames = time.process_time(), cluster.fabric.counters.arrived
        await cluster.passes(QUIET_S)
        cpu = time.process_time() - cpu
        result["ms_a_simulated_s"] = cpu * 1000 / QUIET_S
        result["frames_a_s"] = (cluster.fabric.counters.arrived - frames) / cpu
        result["rss_mb_a_node"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / nodes
        result["tasks_a_node"] = trio.lowlevel.current_statistics().tasks_living / nodes
        say(nodes, f"{result['ms_a_simulated_s']:.0f} ms a simulated second when quiet")
        result["object"] = await massive(cluster)
    return result


async def massive(cluster: Cluster) -> dict[str, Any]:
    """Put it, read it elsewhere, lose machines, wait until it is whole."""
    nodes, data = len(cluster.nodes), fixed_bytes(CHUNKS * CHUNK, "massive")
    at_s, cpu = trio.current_time(), time.process_time()
    report = await cluster.nodes[0].put(data, "/massive")
    cid = Cid.parse(report.cid)
    placement = cluster.placement(cid)
    assert placement is not None
    found: dict[str, Any] = {
        "put_simulated_s": trio.current_time() - at_s,
        "put_cpu_s": time.process_time() - cpu,
        "scheme": f"{placement.scheme.data_shards}+{placement.scheme.parity_shards}",
        "members": len(placement.members),
        "survives": report.survives,
        "level": report.level,
        "holders": sum(node.chunks() > 0 for node in cluster.running()),
    }
    say(nodes, f"put: {found}")
    at_s = trio.current_time()
    found["identical"] = await _reads_right(cluster, report.ref, data)
    found["get_simulated_s"] = trio.current_time() - at_s
    lost = [node for node in cluster.nodes[1:-1] if node.key in placement.members][:LOST]
    at_s, cpu = trio.current_time(), time.process_time()
    for node in lost:
        await node.crash()
        await cluster.passes(2)
    try:
        await cluster.until(lambda: _is_whole(cluster, cid), within_s=REPAIRED_WITHIN_S)
        found["whole_again_simulated_s"] = trio.current_time() - at_s
    except AssertionError:
        found["whole_again_simulated_s"] = None
    found["repair_cpu_s"] = time.process_time() - cpu
    after = cluster.placement(cid)
    found["holders_after"] = sum(node.chunks() > 0 for node in cluster.running())
    found["members_after"] = 0 if after is None else sum(node.key in after.members for node in cluster.running())
    found["identical_after"] = await _reads_right(cluster, report.ref, data)
    say(nodes, f"after {len(lost)} losses: {found}")
    return found


async def _reads_right(cluster: Cluster, reference: str, data: bytes) -> bool:
    """Whether some of its stripes, from a node far from where it was put, are what was put."""
    for start in range(0, len(data), len(data) // READS):
        end = start + READ_CHUNKS * CHUNK
        if await cluster.nodes[-1].get(reference, start, end) != data[start:end]:
            return False
    return True


def _is_whole(cluster: Cluster, cid: Cid) -> bool:
    """Whether every member runs and has all of its pieces."""
    placement = cluster.placement(cid)
    if placement is None:
        return False
    running = {node.key: node for node in cluster.running()}
    if not all(member in running for member in placement.members):
        return False
    wanted: dict[bytes, list[Any]] = {member: [] for member in placement.members}
    for group in cluster.groups(placement):
        for address, holder in zip(group.addresses, group.holders, strict=True):
            wanted[holder].append(address)
    return all(len(running[key].core.disk.chunks.present(some)) == len(set(some)) for key, some in wanted.items())


def plot(results: list[dict[str, Any]]) -> str:
    """Processor milliseconds a simulated second over nodes, both axes logarithmic, and what linear growth would be."""
    from math import log10

    width, height, margin = 720, 360, 56
    most_x = log10(results[-1]["nodes"])
    least_x = log10(results[0]["nodes"])
    values = [result["ms_a_simulated_s"] for result in results]
    low, high = log10(min(values) / 2), log10(max(values) * 2)

    def place(nodes: float, value: float) -> str:
        x = margin + (log10(nodes) - least_x) / max(most_x - least_x, 0.1) * (width - 2 * margin)
        y = height - margin - (log10(value) - low) / (high - low) * (height - 2 * margin)
        return f"{x:.1f},{y:.1f}"

    measured = " ".join(place(result["nodes"], result["ms_a_simulated_s"]) for result in results)
    first = results[0]["ms_a_simulated_s"] / results[0]["nodes"]
    linear = " ".join(place(result["nodes"], first * result["nodes"]) for result in results)
    dots = "".join(
        f'<circle cx="{spot[0]}" cy="{spot[1]}" r="3"/><text x="{spot[0]}" y="{float(spot[1]) - 8:.0f}" '
        f'text-anchor="middle" font-family="sans-serif" font-size="11">{result["nodes"]}: '
        f"{result['ms_a_simulated_s']:.0f} ms</text>"
        for result in results
        for spot in [place(result["nodes"], result["ms_a_simulated_s"]).split(",")]
    )
    title = "processor ms for one simulated second, quiet mesh, over nodes (logarithmic; dashed: linear growth)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f'<text x="{margin}" y="24" font-family="sans-serif" font-size="12">{title}</text>'
        f'<polyline fill="none" stroke="#888" stroke-dasharray="4 3" points="{linear}"/>'
        f'<polyline fill="none" stroke="#234" stroke-width="1.5" points="{measured}"/>{dots}</svg>\n'
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sim_growth", description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--one", type=int, help="measure this size here and print it as JSON")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "results")
    arguments = parser.parse_args()
    if arguments.one:
        logging.disable(logging.CRITICAL)
        print(json.dumps(run_seeded(1, lambda: measure(arguments.one))))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    for size in map(int, arguments.sizes.split(",")):
        command = [sys.executable, "-m", "bench.sim_growth", "--one", str(size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
        (arguments.out / "growth.json").write_text(json.dumps(results, indent=1) + "\n")
        (arguments.out / "growth.svg").write_text(plot(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
