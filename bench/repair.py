"""Seven node processes holding 1 GB in objects of all sizes: from kill -9 of one of them until every object is back to
full redundancy, beside copying the lost bytes with cp and fsync.

The time starts at the kill, so it includes noticing (5 s of silence) and the delay before repair, set to 5 s here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Final

from bench.baselines import copy_fsync
from bench.context import REPAIR_AFTER_S, Context, processes, say
from bench.data import MB, incompressible, small_files
from bench.measure import PeakMemory, span
from bench.rows import HIGHER, LOWER, Baseline, Row
from inos.client.connect import connect_sync

PART: Final = "repair"
GIVE_UP_S: Final = 300.0


def run(context: Context) -> list[Row]:
    """Rows for storing the objects and for the repair after a loss, on a mesh that holds nothing else."""
    context.drop_mesh()
    mesh = context.mesh()
    nodes = mesh.nodes
    with connect_sync(nodes[0].home) as client:
        with PeakMemory(processes(nodes)) as memory, span() as stored:
            references, size = _store(context, client)
        lost = _held_bytes(nodes[-1])
        say(
            f"{size / MB:.0f} MB in {len(references)} objects in {stored.wall_s:.0f} s; node-7 holds {lost / MB:.0f} MB"
        )
        before = _redundant(client, references)
        if before:
            say(f"{len(before)} objects lack redundancy before the kill")
        watched = processes(nodes[:-1])
        nodes[-1].kill()
        with span(watched) as repaired:
            left = _wait(client, references)
    plain = context.folder / "lost"
    incompressible(plain, lost)
    baseline = Baseline("cp+fsync of the lost bytes", lost / MB / copy_fsync(plain, context.folder))
    context.drop_mesh()
    note = f"includes noticing and a delay of {REPAIR_AFTER_S} s"
    if left:
        note = f"GAVE UP with {left} of {len(references)} objects not fully redundant"
    working = max(0.1, repaired.wall_s - REPAIR_AFTER_S - 5)
    return [
        Row(PART, f"store {size / MB:.0f} MB of mixed sizes", size / MB / stored.wall_s, "MB/s", HIGHER),
        Row(PART, "most memory of any node meanwhile", memory.peak_bytes / MB, "MB", LOWER, target=250.0),
        Row(PART, "kill -9 to full redundancy", repaired.wall_s, "s", LOWER, baseline=baseline, note=note),
        Row(PART, "of it, lost bytes restored a second", lost / MB / working, "MB/s", HIGHER),
        Row(PART, "processor of all nodes a lost MB", repaired.their_cpu_s * 1000 / (lost / MB), "ms", LOWER),
    ]


def _store(context: Context, client: Any) -> tuple[list[str], int]:
    share = 4 if context.quick else 1
    sizes = [110 * MB] * (8 // share) + [10 * MB] * (10 // share) + [MB] * (16 // share)
    references = []
    source = context.folder / "one"
    for number, size in enumerate(sizes):
        incompressible(source, size)
        references.append(client.put(source, name=f"/repair/{number}").ref)
        source.unlink()
    folder = small_files(context.folder / "repair-small", 200 // share, 16 * 1024)
    client.put(folder, name="/repair/small")
    references += [item.ref for item in client.list("/repair/small/") if item.kind == "file"]
    os.sync()
    return references, sum(sizes) + 200 // share * 16 * 1024


def _held_bytes(node: Any) -> int:
    with connect_sync(node.home) as client:
        return int(client.status().stored_bytes)


def _redundant(client: Any, references: Sequence[str]) -> list[str]:
    """Those that do not have their whole redundancy on live nodes."""
    lacking = []
    for reference in references:
        found = client.stat(reference)
        if found.under_replicated or found.pieces_alive < found.pieces or not all(m.alive for m in found.members):
            lacking.append(reference)
    return lacking


def _wait(client: Any, references: Sequence[str]) -> int:
    """Wait until all are redundant again; how many are not when we give up."""
    start = time.monotonic()
    while any(peer.state == "alive" for peer in client.peers() if peer.node_name == "node-7"):
        time.sleep(0.2)
    say(f"noticed after {time.monotonic() - start:.1f} s")
    lacking = list(references)
    while lacking and time.monotonic() - start < GIVE_UP_S:
        # Asking costs the nodes time: one that still lacks something ends the round.
        while lacking and not _redundant(client, lacking[:1]):
            lacking.pop(0)
        time.sleep(0.5)
    return len(lacking)
