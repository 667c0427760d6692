"""What INOS is measured against: the system's own copying, other backup programs, and TLS over a plain socket.

Each returns megabytes per second unless it says otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from bench.data import MB, MIB
from bench.machine import spare_pages

_SECRET: Final = "benchmark"


def copy_fsync(source: Path, folder: Path) -> float:
    """cp, then fsync of the copy."""
    out = folder / "copy"
    start = time.perf_counter()
    subprocess.run(["cp", str(source), str(out)], check=True)
    with out.open("rb") as file:
        os.fsync(file.fileno())
    return _rate(source, start, out)


def dd_fsync(source: Path, folder: Path) -> float:
    """dd conv=fsync in blocks of 1 MiB."""
    out = folder / "dd"
    start = time.perf_counter()
    subprocess.run(["dd", f"if={source}", f"of={out}", "bs=1M", "conv=fsync"], check=True, stderr=subprocess.DEVNULL)
    return _rate(source, start, out)


def _rate(source: Path, start: float, out: Path) -> float:
    seconds = time.perf_counter() - start
    out.unlink()
    return source.stat().st_size / MB / seconds


def restic(source: Path, folder: Path) -> tuple[float, float]:
    """Backup into a fresh repository, and restore; ends when the restored file is synced, as a get does."""
    environment = {**os.environ, "RESTIC_PASSWORD": _SECRET, "RESTIC_REPOSITORY": str(folder / "restic")}
    quiet = ["restic", "--quiet", "--cache-dir", str(folder / "restic-cache")]
    steps = (
        [*quiet, "init"],
        [*quiet, "backup", str(source)],
        [*quiet, "restore", "latest", "--target", str(folder / "restic-out")],
    )
    restored = folder / "restic-out"
    return _timed(steps, environment, source, folder, restored, ("restic", "restic-cache", "restic-out"))


def borg(source: Path, folder: Path) -> tuple[float, float]:
    """Create an archive in a fresh encrypted repository (LZ4, BLAKE2), and extract it, synced as well."""
    out = folder / "borg-out"
    out.mkdir()
    environment = {**os.environ, "BORG_PASSPHRASE": _SECRET, "BORG_BASE_DIR": str(folder / "borg-base")}
    repository = str(folder / "borg")
    steps = (
        ["borg", "init", "--encryption=repokey-blake2", repository],
        ["borg", "create", "--compression", "lz4", f"{repository}::one", str(source)],
        ["borg", "extract", f"{repository}::one"],
    )
    return _timed(steps, environment, source, out, out, ("../borg", "../borg-base", "../borg-out"))


def _timed(
    steps: tuple[list[str], ...],
    environment: dict[str, str],
    source: Path,
    folder: Path,
    restored: Path,
    made: tuple[str, ...],
) -> tuple[float, float]:
    seconds = []
    for step in steps:
        spare_pages(folder)
        start = time.perf_counter()
        subprocess.run(
            step, check=True, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for file in restored.rglob(source.name):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        seconds.append(time.perf_counter() - start)
        os.sync()
    for name in made:
        shutil.rmtree((folder / name).resolve(), ignore_errors=True)
    size = source.stat().st_size / MB
    return size / seconds[1], size / seconds[2]


def tls_loopback(folder: Path, size: int) -> float:
    """TLS 1.3 over loopback between two processes, in writes of 1 MiB; nothing is stored."""
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.tls_copy", "serve", str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        port = server.stdout.readline().strip()
        sent = subprocess.run(
            [sys.executable, "-m", "bench.tls_copy", "send", str(folder), port, str(size // MIB)],
            check=True,
            capture_output=True,
            text=True,
        )
        return float(sent.stdout)
    finally:
        server.wait(10)
        server.stdout.close()


def write_fsync_ms(folder: Path, size: int, count: int) -> list[float]:
    """Milliseconds to write and sync one file of `size` bytes, `count` times."""
    data, times = os.urandom(size), []
    for number in range(count):
        path = folder / f"plain-{number}"
        start = time.perf_counter()
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        times.append((time.perf_counter() - start) * 1000)
        path.unlink()
    return times
