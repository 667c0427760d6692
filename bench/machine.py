"""The machine a run was made on, and how restless it was: numbers mean little without both."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

_WORK: Final = bytes(8 << 20)
_REPEATS: Final = 9
_PROBE_FILES: Final = 32
# A step writes 1 GiB; some of what is freed goes back to the host at once.
_SPARE_BYTES: Final = 2 << 30


@dataclass(frozen=True, slots=True)
class Noise:
    """How much others disturbed, before a part began: the same small work timed several times, and the processors'
    busy share while we did nothing. `spread` is (slowest - fastest) / median. `create_us` is the processor time of
    making a file: some 30, and hundreds on an ext4 where many were deleted in the last minutes."""

    work_ms: float
    spread: float
    busy: float
    load: float
    create_us: float

    def __str__(self) -> str:
        return (
            f"{self.work_ms:.2f} ms of fixed work, spread {self.spread:.0%}; others keep the processors "
            f"{self.busy:.0%} busy; load {self.load:.1f}; a new file takes {self.create_us:.0f} us"
        )

    def as_json(self) -> dict[str, float]:
        return asdict(self)


def noise(folder: Path) -> Noise:
    """Measure for about half a second, in an existing folder. To be called while nothing of ours runs, or only idle
    nodes."""
    busy = psutil.cpu_percent(interval=0.4) / 100
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        hashlib.sha256(_WORK).digest()
        times.append((time.perf_counter() - start) * 1000)
    middle = median(times)
    return Noise(middle, (max(times) - min(times)) / middle, busy, os.getloadavg()[0], _create_us(folder))


def _create_us(folder: Path) -> float:
    probe = folder / "probe"
    probe.mkdir()
    began = time.process_time()
    for number in range(_PROBE_FILES):
        (probe / str(number)).touch()
    taken_s = time.process_time() - began
    shutil.rmtree(probe)
    return taken_s * 1e6 / _PROBE_FILES


def spare_pages(folder: Path) -> None:
    """Leave page cache free that the machine really has; to be called right before what writes a large file.

    The host of a virtual machine takes free memory back within seconds and provides a page again when it is first
    written to: 2 ms/MB on ours, ten times the write itself, whoever writes. Without this a step pays for what the step
    before it happened to leave free. A file, and not memory of our own, because only then the next file is given the
    same pages.
    """
    path = folder / "spare"
    block = bytes(1 << 20)
    with path.open("wb", buffering=0) as file:
        for _ in range(_SPARE_BYTES // len(block)):
            file.write(block)
        os.fsync(file.fileno())
    path.unlink()


def describe(folder: Path) -> dict[str, Any]:
    """What kind of machine this is."""
    place = max(
        (part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)),
        key=lambda part: len(part.mountpoint),
    )
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "file_system": place.fstype,
        "disk_free_bytes": psutil.disk_usage(str(folder)).free,
    }
