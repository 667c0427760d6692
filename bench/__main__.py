"""`python -m bench [PART…] [--quick]`: run the parts, print a table, write JSON to bench/results."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench import (
    blobs,
    growth,
    idle,
    local,
    memory,
    mesh,
    messages_hub,
    messages_local,
    messages_rivals,
    records,
    recovery,
    repair,
    small,
)
from bench.context import MESH_NODES, Context
from bench.machine import describe, noise
from bench.rows import Row, table

# Those that share the mesh stand together; repair ends it.
PARTS: Final[dict[str, Callable[[Context], list[Row]]]] = {
    "local": local.run,
    "memory": memory.run,
    "growth": growth.run,
    "blobs": blobs.run,
    "recovery": recovery.run,
    "records": records.run,
    "messages-local": messages_local.run,
    "messages-hub": messages_hub.run,
    "messages-rivals": messages_rivals.run,
    "mesh": mesh.run,
    "small": small.run,
    "idle": idle.run,
    "repair": repair.run,
}
ROOT: Final = Path(__file__).resolve().parent
RESULTS: Final = ROOT / "results"


def main() -> int:
    """Exit status 0 when everything could be measured, whether or not the targets were met."""
    arguments = _arguments()
    chosen = [name for name in PARTS if not arguments.parts or name in arguments.parts]
    base = Path(arguments.folder) if arguments.folder else ROOT.parent / "build"
    base.mkdir(parents=True, exist_ok=True)
    started = time.time()
    # The nodes are processes of their own: whoever ends this one must not leave them behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=base)))
        context = Context(folder, quick=arguments.quick, huge_mib=arguments.huge_mib, stack=stack)
        result: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "quick": arguments.quick,
            "machine": describe(folder),
            "nodes": MESH_NODES,
            "noise": {},
            "seconds_of": {},
        }
        rows: list[Row] = []
        try:
            _measure(chosen, context, result, rows)
        finally:  # what was measured before an end that came early is worth keeping
            result["seconds"] = time.time() - started
            result["rows"] = [row.as_json() for row in rows]
            if rows:
                _report(rows, result, context)
    return 0


def _measure(chosen: list[str], context: Context, result: dict[str, Any], rows: list[Row]) -> None:
    for name in chosen:
        before = noise(context.folder)
        print(f"{name}  ({before})", file=sys.stderr, flush=True)
        began = time.monotonic()
        rows += PARTS[name](context)
        context.clear_aside()
        result["noise"][name] = before.as_json()
        result["seconds_of"][name] = round(time.monotonic() - began, 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure INOS on this machine.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer; for a first look, not for comparing")
    parser.add_argument("--folder", help="where to work; default build/, on the disk of this repository")
    parser.add_argument(
        "--huge-mib", type=int, default=2048, help="size of the file in the memory part (5120 for 5 GiB)"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return arguments


def _report(rows: list[Row], result: dict[str, Any], context: Context) -> None:
    RESULTS.mkdir(exist_ok=True)
    stem = result["time"].replace(":", "").replace("-", "")
    path = RESULTS / f"{stem}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(rows))
    for name, found in result["noise"].items():
        words = f"spread {found['spread']:.0%} of fixed work, processors {found['busy']:.0%} busy"
        print(f"noise before {name}: {words}; the part took {result['seconds_of'][name]:.0f} s")
    missed = sum(row.met is False for row in rows)
    print(f"{missed} targets missed; {result['seconds']:.0f} s; {path}")
    plot = growth.save_plot(context.folder, path.with_suffix(".svg"))
    if plot:
        print(f"plot: {plot}")


if __name__ == "__main__":
    sys.exit(main())
