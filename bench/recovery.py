"""A node with 100,000 chunks, killed in the middle of a put: how long until it serves again.

The chunks are small ones (`chunk_roots.py`). Time runs from starting the process to the first answer of its API, so
starting the interpreter and loading the program is part of it: the same node without chunks, killed as well, stands
beside it. Opening the stores alone, in a process that has everything loaded, is a row of its own.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Final

from bench.chunk_roots import fill, opened
from bench.context import Context, say
from bench.rows import LOWER, Baseline, Row, row
from inos.cli.local_mesh import LocalNode
from inos.client.connect import connect_sync
from inos.core.errors import InosError

PART: Final = "recovery"
CHUNKS: Final = 100_000
QUICK_CHUNKS: Final = 10_000
ROUNDS: Final = 3
TARGET_S: Final = 2.0
_PUT_BYTES: Final = 64 << 20
# Into the middle of it: such a put takes some tenths of a second.
_KILL_AFTER_S: Final = 0.1


def run(context: Context) -> list[Row]:
    """Seconds until it serves, with chunks and without."""
    chunks, folder = QUICK_CHUNKS if context.quick else CHUNKS, context.fresh("recovery")
    empty, full = folder / "empty", folder / "full"
    with opened(empty), opened(full) as disk:
        fill(disk, 0, chunks)
    say(f"{chunks:,} chunks made")
    without, _ = _killed_and_started(empty, context)
    serves, opens = _killed_and_started(full, context)
    name = f"after kill -9 in a put, {chunks:,} chunks"
    more = max(0.0, median(serves) - median(without))
    return [
        row(PART, f"{name}: stores open", opens, "s", LOWER, target=TARGET_S),
        row(PART, f"{name}: process started to API answering", serves, "s", LOWER,
            baseline=Baseline("the same without chunks", median(without))),
        Row(PART, f"{name}: more than without chunks", more, "s", LOWER, target=TARGET_S),
    ]  # fmt: skip


def _killed_and_started(home: Path, context: Context) -> tuple[list[float], list[float]]:
    """Seconds until the API answers, and of opening the stores, for each of some kills."""
    serves, opens = [], []
    node = LocalNode(home)
    node.start()
    node.wait_ready()
    try:
        for _ in range(2 if context.quick else ROUNDS):
            _kill_in_a_put(node)
            began = time.perf_counter()
            with opened(home):
                opens.append(time.perf_counter() - began)
            node.start()  # of a killed node the stores were opened above: kill it again, so that this one recovers too
            node.wait_ready()
            _kill_in_a_put(node)
            serves.append(_started(node))
    finally:
        node.kill()
    return serves, opens


def _kill_in_a_put(node: LocalNode) -> None:
    def put() -> None:
        with suppress(InosError), connect_sync(node.home) as mesh:
            mesh.put(os.urandom(_PUT_BYTES))

    writing = threading.Thread(target=put)
    writing.start()
    time.sleep(_KILL_AFTER_S)
    node.kill()
    writing.join()


def _started(node: LocalNode) -> float:
    began = time.perf_counter()
    node.start()
    node.wait_ready()
    with connect_sync(node.home) as mesh:
        mesh.status()
    return time.perf_counter() - began
