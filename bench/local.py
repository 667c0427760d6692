"""One node alone: a large file in and out, through the vault in this process's child and through the running node's
API, beside cp with fsync, dd, restic and borg, in turns on the same disk.

A get through the API ends when its file is synced, as the copy it is compared with; the vault alone discards what it
reads; what restic and borg restored is synced as well. Every round uses bytes that no store has seen, and every step
that writes finds the same memory (`spare_pages`). How many times another's speed is a median of rounds.
"""

from __future__ import annotations

import json
import operator
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from bench.baselines import borg, copy_fsync, dd_fsync, restic
from bench.context import Context, processes, say
from bench.data import MB, MIB, incompressible, mixed, stamp
from bench.machine import spare_pages
from bench.measure import Span, span
from bench.rows import HIGHER, LOWER, Baseline, Row, row
from inos.client.connect import SyncMesh, connect_sync

PART: Final = "local"
TARGET_MB_S: Final = 500.0
TIMES: Final = {"restic": {"put": 3.0, "get": 1.5}}
OTHERS: Final[dict[str, Callable[[Path, Path], tuple[float, float]]]] = {"restic": restic, "borg": borg}


KINDS: Final = (("incompressible", incompressible), ("mixed", mixed))


@dataclass(slots=True)
class Samples:
    """MB/s, and processor milliseconds a MB, by what was done."""

    rates: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.rates.setdefault(name, []).append(value)


def run(context: Context) -> list[Row]:
    """Rows for data that does not shrink and for real files."""
    size = 256 * MIB if context.quick else 1024 * MIB
    rounds = 1 if context.quick else 3
    rows = []
    for kind, make in (("incompressible", incompressible),) if context.quick else KINDS:
        say(f"{size // MIB} MiB {kind}")
        source = make(context.fresh("source") / "file", size)
        samples = Samples()
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            _round(context, source, samples)
        rows += _rows(kind, samples)
        source.unlink()
        context.clear_aside()
    return rows


def _round(context: Context, source: Path, samples: Samples) -> None:
    folder = context.fresh("local")
    stamp(source)
    os.sync()
    spare_pages(folder)
    say("cp, dd")
    samples.add("cp+fsync", copy_fsync(source, folder))
    spare_pages(folder)
    samples.add("dd conv=fsync", dd_fsync(source, folder))
    say("the vault alone")
    _vault(context, source, folder / "vault", samples)
    say("a node, through its API")
    _api(context, source, samples)
    for name, measure in OTHERS.items():
        if shutil.which(name):
            say(f"{name}, which may take a minute")
            put, get = measure(source, folder)
            samples.add(f"{name} put", put)
            samples.add(f"{name} get", get)
    shutil.rmtree(folder)
    os.sync()


def _vault(context: Context, source: Path, home: Path, samples: Samples) -> None:
    spare_pages(home.parent)
    done = subprocess.run(
        [sys.executable, "-m", "bench.vault_alone", str(source), str(home)], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    size = source.stat().st_size / MB
    for what in ("put", "get"):
        samples.add(f"vault {what}", size / found[f"{what}_s"])
        samples.add(f"vault {what} cpu", found[f"{what}_cpu_s"] * 1000 / size)
    context.set_aside(home)
    os.sync()


def _api(context: Context, source: Path, samples: Samples) -> None:
    size = source.stat().st_size / MB
    folder = source.parent
    with context.lone_node("lone") as node, connect_sync(node.home) as mesh:
        watched = processes([node])
        spare_pages(folder)
        with span(watched) as put:
            report = mesh.put(source)
        samples.add("api put", size / put.wall_s)
        samples.add("api put cpu", put.their_cpu_s * 1000 / size)
        samples.add("client put cpu", put.own_cpu_s * 1000 / size)
        os.sync()
        out = folder / "back"
        spare_pages(folder)
        got = _get(mesh, report.ref, out, watched)
        samples.add("api get", size / got.wall_s)
        samples.add("api get cpu", got.their_cpu_s * 1000 / size)
        samples.add("client get cpu", got.own_cpu_s * 1000 / size)
        subprocess.run(["cmp", str(source), str(out)], check=True)
        out.unlink()
        time.sleep(0.1)


def _get(mesh: SyncMesh, reference: str, out: Path, watched: list[psutil.Process]) -> Span:
    with span(watched) as got:
        mesh.get(reference, out)
        with out.open("rb") as file:
            os.fsync(file.fileno())
    return got


def _rows(kind: str, samples: Samples) -> list[Row]:
    rates = samples.rates
    copy = Baseline("cp+fsync", median(rates["cp+fsync"]))
    target = TARGET_MB_S if kind == "incompressible" else None
    rows = [
        row(PART, f"{kind} cp+fsync", rates["cp+fsync"], "MB/s", HIGHER),
        row(PART, f"{kind} dd conv=fsync", rates["dd conv=fsync"], "MB/s", HIGHER, baseline=copy),
    ]
    for name, label in (("vault", "vault alone"), ("api", "through the API")):
        for what in ("put", "get"):
            rates_here = rates[f"{name} {what}"]
            rows.append(
                row(PART, f"{kind} {what} {label}", rates_here, "MB/s", HIGHER, baseline=copy,
                    target=target if name == "api" else None)
            )  # fmt: skip
    for name in ("vault put", "vault get", "api put", "client put", "api get", "client get"):
        who = name.replace("api", "node").replace("vault", "vault alone")
        rows.append(row(PART, f"{kind} processor, {who}", rates[f"{name} cpu"], "ms/MB", LOWER))
    for name in OTHERS:
        if f"{name} put" in rates:
            rows += [row(PART, f"{kind} {name} {what}", rates[f"{name} {what}"], "MB/s", HIGHER, baseline=copy)
                     for what in ("put", "get")]  # fmt: skip
            rows += [row(PART, f"{kind} {what} through the API, times {name}",
                         map(operator.truediv, rates[f"api {what}"], rates[f"{name} {what}"]),
                         "x", HIGHER, target=TIMES.get(name, {}).get(what))
                     for what in ("put", "get")]  # fmt: skip
        else:
            say(f"{name}: not installed")
    return rows
