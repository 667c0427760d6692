"""`python -m crash`: kill every operation at its boundaries, cut its power there, and say what was lost. See
docs/crash-safety.md.

Exit status 0 when nothing that must not be was found, 1 when something was.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from crash import message_operations, node_operations, root_operations, store_operations
from crash.flips import KINDS, Flipped, flip_all
from crash.operations import Operation
from crash.play import Prepared, Result, Violation, killed, unpowered
from crash.roots import Scene
from crash.watched import can_watch

OPERATIONS: Final = (
    *store_operations.OPERATIONS, *store_operations.REBUILDS, *root_operations.OPERATIONS, *node_operations.OPERATIONS,
    *message_operations.OPERATIONS,
)  # fmt: skip


def main() -> int:
    """Everything; see the module."""
    arguments = _arguments()
    logging.getLogger().addHandler(logging.NullHandler())
    chosen = [each.name for each in OPERATIONS if not arguments.words or any(w in each.name for w in arguments.words)]
    if arguments.list:
        print("\n".join(chosen))
        return 0
    if not can_watch():
        sys.exit("this machine does not let a process watch its children (Linux, ptrace and seccomp are needed)")
    gc.freeze()  # so that a fork shares what is here, and does not copy it to count references
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crash-", dir=arguments.folder) as folder:
        results = _run(chosen, arguments, Path(folder))
        flips = _flip(arguments, Path(folder))
    _report(results, flips, time.monotonic() - began, arguments)
    return 1 if _violations(results, flips) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m crash", description="Kill operations at every change to the disk.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only operations with one of these in their name")
    parser.add_argument("--kills", type=int, default=1000, help="kills over all operations; as many power losses")
    parser.add_argument("--each", type=int, default=0, help="kills of each operation, instead")
    parser.add_argument("--flips", type=int, default=1000, help="bytes to flip in each kind of file")
    parser.add_argument("--seed", type=int, default=1, help="which boundaries, where there are more than kills")
    parser.add_argument("--jobs", type=int, default=2, help="operations at a time")
    parser.add_argument("--folder", default=_quick_folder(), help="where to work")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--list", action="store_true", help="print the operations")
    return parser.parse_args()


def _quick_folder() -> str | None:
    """Memory, where the system has such a folder: what the kernel holds outlives a killed process all the same."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _run(names: Sequence[str], arguments: argparse.Namespace, folder: Path) -> list[Result]:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
        shares = dict.fromkeys(names, arguments.each)
        if not arguments.each:
            shares = _shared(arguments.kills, dict(zip(names, pool.map(partial(_met, folder), names), strict=True)))
        results = []
        for result in pool.map(partial(_played, folder, arguments.seed), names, [shares[name] for name in names]):
            results.append(result)
            if not arguments.json:
                print(_line(result), flush=True)
                for violation in result.violations:
                    print(f"    VIOLATION {violation}", flush=True)
        return results


def _flip(arguments: argparse.Namespace, folder: Path) -> list[Flipped]:
    """Flips of bytes in every kind of file, unless only some operations were asked for."""
    if arguments.words or not arguments.flips:
        return []
    context = multiprocessing.get_context("fork")
    flipped = []
    with ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
        for result in pool.map(partial(_flipped, folder, arguments), range(len(KINDS))):
            flipped.append(result)
            if not arguments.json:
                print(_flips_line(result), flush=True)
                for violation in result.violations:
                    print(f"    VIOLATION {violation}", flush=True)
    return flipped


def _flipped(folder: Path, arguments: argparse.Namespace, number: int) -> Flipped:
    scene = Scene(folder / f"flips {number}")
    scene.base.mkdir()
    return flip_all(KINDS[number], scene, arguments.flips, arguments.seed)


def _flips_line(result: Flipped) -> str:
    return (
        f"{result.name:<28} {result.flips:>5} bytes flipped {result.noticed:>5} noticed {result.healed:>5} healed"
        f" {result.harmless:>4} harmless {len(result.violations):>3} violations"
    )


def _shared(kills: int, boundaries: dict[str, int]) -> dict[str, int]:
    """As many for each as its boundaries, or its share of what the smaller ones leave."""
    shares: dict[str, int] = {}
    left = min(kills, sum(boundaries.values()))
    for position, (name, count) in enumerate(sorted(boundaries.items(), key=lambda each: each[1])):
        shares[name] = min(count, -(-left // (len(boundaries) - position)))
        left -= shares[name]
    return shares


def _operation(name: str) -> Operation:
    return next(each for each in OPERATIONS if each.name == name)


def _met(folder: Path, name: str) -> int:
    """How many boundaries an operation has."""
    return Prepared(_operation(name), folder / name / "counted").boundaries


def _played(folder: Path, seed: int, name: str, share: int) -> Result:
    result = Result(name)
    try:
        prepared = Prepared(_operation(name), folder / name / "template")
    except Violation as violation:
        result.violations.append(str(violation))
        return result
    result.boundaries = prepared.boundaries
    chance = random.Random(f"{seed} {name}")
    for at in _points(prepared, share, chance):
        killed(prepared, at, result)
    for at in _points(prepared, share, chance):
        unpowered(prepared, at, chance, result)
    return result


def _points(prepared: Prepared, share: int, chance: random.Random) -> list[int]:
    """All boundaries, or one of each of `share` equal parts."""
    count = prepared.boundaries
    if share >= count:
        return list(range(1, count + 1))
    return [chance.randrange(part * count // share, (part + 1) * count // share) + 1 for part in range(share)]


def _line(result: Result) -> str:
    return (
        f"{result.name:<28} {result.boundaries:>5} boundaries {result.kills:>4} kills"
        f" {result.power_losses:>4} power losses {len(result.violations):>3} violations"
        f"  open again in {result.recovery_s * 1000:.0f} ms"
    )


def _violations(results: Sequence[Result], flips: Sequence[Flipped]) -> int:
    return sum(len(each.violations) for each in results) + sum(len(each.violations) for each in flips)


def _report(results: Sequence[Result], flips: Sequence[Flipped], seconds: float, arguments: argparse.Namespace) -> None:
    total: dict[str, Any] = {
        "operations": len(results),
        "boundaries": sum(each.boundaries for each in results),
        "kills": sum(each.kills for each in results),
        "power_losses": sum(each.power_losses for each in results),
        "flips": sum(each.flips for each in flips),
        "violations": _violations(results, flips),
        "recovery_s": max((each.recovery_s for each in results), default=0.0),
        "seed": arguments.seed,
        "seconds": round(seconds, 1),
    }
    if arguments.json:
        said = {"total": total, "operations": list(map(asdict, results)), "flips": list(map(asdict, flips))}
        print(json.dumps(said, indent=1))
        return
    print(
        f"\n{total['operations']} operations, {total['boundaries']} boundaries: {total['kills']} kills and"
        f" {total['power_losses']} power losses, {total['flips']} bytes flipped, {total['violations']} violations;"
        f" open again within {total['recovery_s'] * 1000:.0f} ms; {total['seconds']:.0f} s, seed {total['seed']}"
    )


if __name__ == "__main__":
    sys.exit(main())
