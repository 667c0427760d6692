"""What a store costs as it grows to a million chunks: inserting, finding, evicting, starting, memory.

    python -m bench.chunk_growth [--sizes 1000,10000,100000,1000000] [--folder FOLDER] [--out FOLDER]

Chunks of 1,000 bytes, nine of ten in the database, one of ten as a file (`chunk_roots.py`). At each size a process of
its own opens the root, which is what starting costs, and measures. Writes chunk-growth.json and chunk-growth.svg.
A million take 10 to 30 minutes and 3 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from math import log10
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from bench.chunk_roots import chunk, fill, opened
from bench.rows import percentile
from inos.core.ids import Address
from inos.node.disk import Disk

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
_ROUNDS: Final = 30
_BATCH: Final = 64
_LOOKUPS: Final = 2_000
# Numbers of chunks that are put to be measured and removed again, far from those that stay.
_SPARE: Final = 1 << 40
MEASURES: Final = (
    ("put_one_ms", "put one chunk, synced, ms"),
    ("put_64_ms", "put 64 chunks, one sync, ms a chunk"),
    ("get_ms", "get one, ms"),
    ("evict_ms", "evict 64, ms a chunk"),
    ("collect_ms", "collection of all, ms for 1,000 chunks"),
    ("start_s", "start: stores open, s"),
    ("rss_mb", "memory, MB"),
)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(home: Path, size: int) -> dict[str, Any]:
    """What a store with `size` chunks costs; in this process, which has done nothing before."""
    resident = psutil.Process().memory_info
    before, began = resident().rss, time.perf_counter()
    with opened(home) as disk:
        result: dict[str, Any] = {"chunks": size, "start_s": time.perf_counter() - began}
        assert disk.chunks.usage().chunks == size, disk.chunks.usage()
        result["rss_start_mb"] = (resident().rss - before) / 1e6
        result |= _gets(disk, size) | _puts(disk) | _evictions(disk) | _collection(disk, size)
        result["rss_mb"] = resident().rss / 1e6
        result["database_mb"] = disk.database.size().file_bytes / 1e6
    return result


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _gets(disk: Disk, size: int) -> dict[str, float]:
    chance = random.Random(1)
    addresses = [chunk(chance.randrange(size))[0] for _ in range(_LOOKUPS)]
    taken = [_ms(lambda address=address: disk.chunks.get(address)) for address in addresses]  # type: ignore[misc]
    return {"get_ms": median(taken), "get_p95_ms": percentile(taken, 0.95)}


def _puts(disk: Disk) -> dict[str, float]:
    ones = [[chunk(_SPARE + number)] for number in range(_ROUNDS)]
    many = [[chunk(_SPARE * 2 + round * _BATCH + each) for each in range(_BATCH)] for round in range(_ROUNDS)]
    one = [_ms(lambda some=some: disk.chunks.put_many(some)) for some in ones]  # type: ignore[misc]
    batch = [_ms(lambda some=some: disk.chunks.put_many(some)) / _BATCH for some in many]  # type: ignore[misc]
    return {"put_one_ms": median(one), "put_one_p95_ms": percentile(one, 0.95), "put_64_ms": median(batch)}


def _evictions(disk: Disk) -> dict[str, float]:
    """What was just put goes again, by address, as eviction and removal do."""
    numbers = [_SPARE * 2 + each for each in range(_ROUNDS * _BATCH)]
    groups = [[chunk(number)[0] for number in numbers[at : at + _BATCH]] for at in range(0, len(numbers), _BATCH)]
    taken = [_ms(lambda some=some: disk.chunks.remove_many(some)) / _BATCH for some in groups]  # type: ignore[misc]
    return {"evict_ms": median(taken)}


def _collection(disk: Disk, size: int) -> dict[str, float]:
    """One that goes through everything, keeps it, and frees the few chunks that were put one by one."""
    kept: list[Address] = list(disk.chunks.addresses()) if size <= 10_000 else []

    def collect() -> None:
        mark = disk.chunks.begin_mark()
        mark.add(kept or disk.chunks.addresses())
        while mark.sweep(0.0).chunks:
            pass

    disk.chunks.remove_many([chunk(_SPARE + number)[0] for number in range(_ROUNDS)])
    return {"collect_ms": _ms(collect) * 1000 / size}


def plot(results: list[dict[str, Any]]) -> str:
    """Every measure over chunks, each beside what it was at the smallest size; both axes logarithmic."""
    width, height, margin = 760, 420, 60
    colours = ("#234", "#b33", "#283", "#a60", "#647", "#088", "#777")
    least, most = log10(results[0]["chunks"]), log10(results[-1]["chunks"])
    ratios = {key: [result[key] / results[0][key] for result in results] for key, _ in MEASURES}
    high = max(1.0, log10(max(max(values) for values in ratios.values()) * 1.3))
    low = min(-0.3, log10(min(min(values) for values in ratios.values()) / 1.3))

    def place(chunks: float, ratio: float) -> tuple[float, float]:
        x = margin + (log10(chunks) - least) / max(most - least, 0.1) * (width - 340)
        return x, height - margin - (log10(ratio) - low) / (high - low) * (height - 2 * margin)

    def text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#222") -> str:
        return (
            f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}" font-family="sans-serif"'
            f' font-size="11">{words}</text>'
        )

    parts = [text(margin, 24, "each measure beside what it was in the smallest store (logarithmic)")]
    for result in results:
        x, _ = place(result["chunks"], 1)
        parts.append(text(x, height - margin + 20, f"{result['chunks']:,}", "middle"))
    for exponent in range(int(low), int(high) + 1):
        x, y = place(results[0]["chunks"], 10.0**exponent)
        end, _ = place(results[-1]["chunks"], 1)
        parts.append(f'<path d="M{x:.0f} {y:.1f}H{end:.0f}" stroke="#ddd"/>')
        parts.append(text(x - 8, y + 4, f"{10.0**exponent:g} x", "end"))
    for position, ((key, words), colour) in enumerate(zip(MEASURES, colours, strict=True)):
        spots = [place(result["chunks"], ratio) for result, ratio in zip(results, ratios[key], strict=True)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>')
        label = f"{words}: {results[0][key]:.3g} to {results[-1][key]:.3g}"
        parts.append(text(width - 265, 60 + 22 * position, label, colour=colour))
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{"".join(parts)}</svg>\n'


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.chunk_growth", description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--one", type=Path, help="measure this data root here and print JSON")
    parser.add_argument("--folder", type=Path, help="where to work; the system's folder for temporary files")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "results")
    arguments = parser.parse_args()
    sizes = list(map(int, arguments.sizes.split(",")))
    if arguments.one:
        print(json.dumps(measure(arguments.one, sizes[0])))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="chunks-", dir=arguments.folder) as folder:
        home, there = Path(folder) / "grown", 0
        for size in sizes:
            began = time.monotonic()
            with opened(home) as disk:
                fill(disk, there, size)
            os.sync()
            there = size
            say(f"{size:,} chunks after {time.monotonic() - began:.0f} s")
            command = [sys.executable, "-m", "bench.chunk_growth", "--one", str(home), "--sizes", str(size)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results.append(json.loads(done.stdout))
            say(json.dumps(results[-1]))
            (arguments.out / "chunk-growth.json").write_text(json.dumps(results, indent=1) + "\n")
            (arguments.out / "chunk-growth.svg").write_text(plot(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
