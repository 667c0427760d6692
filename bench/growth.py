"""One node alone: what one more small object costs as the store grows. It must not grow with it.

Beside the table a plot is written (`growth.svg`): milliseconds an object over objects in the store.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from bench.context import Context, processes, say
from bench.data import small_files
from bench.measure import span
from bench.rows import LOWER, Baseline, Row
from inos.client.connect import connect_sync

PART: Final = "growth"
STEPS: Final = (1_000, 5_000, 20_000)
QUICK_STEPS: Final = (500, 1_000, 2_000)
SIZE: Final = 1024


def run(context: Context) -> list[Row]:
    """Time and processor time an object, at each size of the store."""
    points: list[tuple[int, float, float]] = []
    with context.lone_node("growth") as node, connect_sync(node.home) as mesh:
        watched, there = processes([node]), 0
        for target in QUICK_STEPS if context.quick else STEPS:
            step = 250 if context.quick else 500
            while there < target:
                folder = small_files(context.folder / "growth-source", step, SIZE)
                with span(watched) as put:
                    mesh.put(folder, name=f"/growth/{there:06}")
                there += step
                points.append((there, put.wall_s * 1000 / step, put.their_cpu_s * 1000 / step))
                shutil.rmtree(folder)
            say(f"{there} objects: {points[-1][1]:.2f} ms each")
    (context.folder / "growth.svg").write_text(plot(points))
    rows = []
    first = _near(points, points[0][0])
    for target in QUICK_STEPS if context.quick else STEPS:
        wall, cpu = _near(points, target)
        rows.append(
            Row(PART, f"an object into a store of {target:,}", wall, "ms", LOWER,
                baseline=Baseline("the first", first[0]), note=f"processor {cpu:.2f} ms")
        )  # fmt: skip
    return rows


def _near(points: list[tuple[int, float, float]], target: int) -> tuple[float, float]:
    """Median-ish: the best of the three batches up to `target`, which a disturbance cannot lower."""
    near = [point for point in points if point[0] <= target][-3:]
    return min(point[1] for point in near), min(point[2] for point in near)


def plot(points: list[tuple[int, float, float]]) -> str:
    """An SVG of wall time (line) and processor time (dashed) an object."""
    width, height, margin = 720, 320, 48
    most_x = max(point[0] for point in points)
    most_y = max(max(point[1], point[2]) for point in points) * 1.1

    def line(column: int, style: str) -> str:
        places = " ".join(
            f"{margin + point[0] / most_x * (width - 2 * margin):.1f},"
            f"{height - margin - point[column] / most_y * (height - 2 * margin):.1f}"
            for point in points
        )
        return f'<polyline fill="none" stroke="#234" stroke-width="1.5" {style} points="{places}"/>'

    def text(x: float, y: float, words: str, anchor: str = "start") -> str:
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-family="sans-serif" font-size="12">{words}</text>'

    frame = f'<path d="M{margin} {margin}V{height - margin}H{width - margin}" fill="none" stroke="#888"/>'
    words = [
        text(margin, margin - 16, "ms an object: wall (line), processor of the node (dashed)"),
        text(margin - 6, margin + 4, f"{most_y:.2f}", "end"),
        text(margin - 6, height - margin, "0", "end"),
        text(width - margin, height - margin + 20, f"{most_x:,} objects in the store", "end"),
    ]
    body = "\n".join([frame, line(1, ""), line(2, 'stroke-dasharray="4 3"'), *words])
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">\n{body}\n</svg>\n'


def save_plot(folder: Path, results: Path) -> Path | None:
    """Move the plot of this run beside its results."""
    made = folder / "growth.svg"
    return Path(shutil.copy(made, results)) if made.exists() else None
