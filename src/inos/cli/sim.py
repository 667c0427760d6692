"""`inos sim`: whole meshes in one process, under faults, from a seed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from inos.cli.mutants import hunt, say_mutations
from inos.cli.options import TRYING, AsJson
from inos.cli.output import note, say, say_json
from inos.cli.running import FAILED, command
from inos.core.errors import BadInput

if TYPE_CHECKING:
    from inos.sim.play import Result
    from inos.sim.script import Script

MAX_NODES: Final = 1000
MAX_MINUTES: Final = 7 * 24 * 60.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=TRYING)(sim)


@command
def sim(
    seed: Annotated[int, typer.Option(help="The first seed; one seed decides everything in its run.", min=0)] = 0,
    seeds: Annotated[int, typer.Option(help="How many seeds, one after another.", min=1)] = 1,
    nodes: Annotated[int, typer.Option(help="Machines in the mesh.", min=3, max=MAX_NODES)] = 20,
    minutes: Annotated[float, typer.Option(help="Simulated minutes of faults; quiet comes after.")] = 10.0,
    jobs: Annotated[int, typer.Option(help="Processes side by side; 0 is one for each core.", min=0)] = 0,
    shrink: Annotated[bool, typer.Option("--shrink", help="Make a failing run into a short scenario.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write a report (Markdown) here.", metavar="FILE")] = None,
    step: Annotated[int, typer.Option(help="Play only every so manieth seed.", min=1)] = 1,
    mutate: Annotated[
        str | None, typer.Option(help="Put this fault into the code and see what notices; 'all' for each in turn.")
    ] = None,
    mutations: Annotated[bool, typer.Option("--mutations", help="List the faults that can be put in.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a whole mesh in this process, from a seed: real code, simulated clock, wires and disks, and faults.

    Ends with 1 when an invariant was broken. The same seed does the same again, on any machine.

    inos sim --seed 7

    inos sim --seeds 10000 --minutes 60 --report night.md
    """
    if not 0 < minutes <= MAX_MINUTES:
        raise BadInput(f"cannot simulate {minutes:g} minutes", hint=f"give a number above 0, up to {MAX_MINUTES:g}")
    if shrink and (seeds > 1 or report is not None or mutate is not None):
        raise BadInput("--shrink is for one seed by itself", hint="give the seed that failed with --seed")
    # Thousands of warnings of nodes in trouble are what a simulation is made of.
    logging.getLogger("inos").setLevel(logging.CRITICAL)
    if mutations:
        say_mutations()
        return
    if mutate is not None:
        good = hunt(mutate, range(seed, seed + seeds * step, step), nodes, minutes)
    elif seeds == 1 and report is None:
        good = _play_one(seed, nodes, minutes, shrink, as_json)
    else:
        good = _play_many(range(seed, seed + seeds * step, step), nodes, minutes, jobs, report, as_json)
    if not good:
        raise typer.Exit(FAILED)


def _script(seed: int, nodes: int, minutes: float) -> Script:
    from dataclasses import replace

    from inos.sim.plan import STORM_SETTINGS, storm

    return storm(replace(STORM_SETTINGS, seed=seed, nodes=nodes), minutes * 60)


def _play_one(seed: int, nodes: int, minutes: float, shrink: bool, as_json: bool) -> bool:
    from inos.sim.play import play
    from inos.sim.shrink import shrink as make_short
    from inos.sim.telling import steps, summary, told

    result = play(_script(seed, nodes, minutes), minutes * 60)
    short = make_short(result).result if shrink and not result.ok else None
    if as_json:
        for line in steps(result):
            say_json(line)
        if short is not None:
            say_json({"event": "shrunk", "script": str(short.script), "length_s": short.length_s})
        say_json(summary(result))
        return result.ok
    say(told(result))
    if not result.ok:
        note(f"commit {_commit()}; play it again with: {_replay(seed, nodes, minutes)}")
    if short is not None:
        say(f"shortest found:\n{_said(short)}")
    return result.ok


def _said(result: Result) -> str:
    lines = [f"    {line}" for line in str(result.script).replace(").", ")\n    .").splitlines()]
    return "\n".join([*lines, f"    .run(seconds={result.length_s:g})"])


def _play_many(seeds: range, nodes: int, minutes: float, jobs: int, report: Path | None, as_json: bool) -> bool:
    from inos.core.env import RealEnv
    from inos.sim.telling import Tally
    from inos.sim.telling import report as told

    tally, env = Tally(), RealEnv()

    def write_report() -> None:
        """At once, so that a wrong path is told first, and after every seed: a night may be cut short."""
        if report is not None:
            lines = [f"{nodes} nodes, {minutes:g} minutes."]
            try:
                report.write_text(told(tally, _replay("{seed}", nodes, minutes), commit, lines))
            except OSError as error:
                raise BadInput(f"cannot write {report}: {error.strerror}", hint="give another --report") from None

    commit = _commit()
    write_report()
    jobs = min(jobs or env.machine().cores, len(seeds))
    runs = _here(seeds, nodes, minutes) if jobs == 1 else _side_by_side(seeds, nodes, minutes, jobs)
    since_s = env.monotonic_s()
    for done, run in enumerate(runs, 1):
        if as_json:
            say_json(run)
        tally.add(run, 0.0)
        tally.real_s = (env.monotonic_s() - since_s) * jobs
        if not run["ok"]:
            note(f"seed {run['seed']} failed: {run['violations'][0]['invariant']}: {run['violations'][0]['text']}")
            note(f"commit {commit}; play it again with: {_replay(run['seed'], nodes, minutes)}")
        write_report()
        _progress(done, len(seeds), len(tally.failed))
    if not as_json:
        say(tally.line())
    return not tally.failed


def _here(seeds: range, nodes: int, minutes: float) -> Iterator[dict[str, Any]]:
    from inos.sim.play import play
    from inos.sim.telling import summary

    for seed in seeds:
        yield summary(play(_script(seed, nodes, minutes), minutes * 60))


def _side_by_side(seeds: range, nodes: int, minutes: float, jobs: int) -> Iterator[dict[str, Any]]:
    """Every seed's summary as it comes; each process plays every `jobs`-th seed."""
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(seeds[at::jobs], nodes, minutes)) for at in range(jobs)]
        try:
            while workers:
                for worker in list(workers):
                    line = worker.stdout.readline() if worker.stdout else ""
                    if line:
                        run = json.loads(line)
                        if run["event"] == "summary":
                            yield run
                    else:
                        workers.remove(worker)
        finally:
            for worker in workers:
                worker.terminate()


def _worker(seeds: range, nodes: int, minutes: float) -> subprocess.Popen[str]:
    options = {
        "seed": seeds.start,
        "seeds": len(seeds),
        "step": seeds.step,
        "nodes": nodes,
        "minutes": minutes,
        "jobs": 1,
    }
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return subprocess.Popen([sys.executable, "-m", "inos", "sim", "--json", *given], stdout=subprocess.PIPE, text=True)


def _progress(done: int, total: int, failed: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total} seeds, {failed} failed" + ("\n" if done == total else ""))
        sys.stderr.flush()


def _replay(seed: int | str, nodes: int, minutes: float) -> str:
    return f"inos sim --seed {seed} --nodes {nodes} --minutes {minutes:g}"


def _commit() -> str:
    """The commit of the checkout this code is in, or its release."""
    from inos.node.reporting import VERSION

    found = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or VERSION
