"""inos backup prune and forget: what is typed, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from inos.cli.output import RED, count_text, note, paint, say, say_json, size_text, table, time_text
from inos.core.backups import FUTURE, KeepRules, PruneReport
from inos.core.errors import BadInput, InosError
from inos.core.reports import to_dict

MAX_KEPT = 100_000


def keep_rules(texts: Mapping[str, str]) -> KeepRules:
    """The rules of `--keep-…`, by what follows that; "" where an option was not given. Raises BadInput."""
    return KeepRules(**{rule: _count(rule, text) for rule, text in texts.items() if text})


def _count(rule: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:7]) <= MAX_KEPT or len(text) > 6:
        raise BadInput(f"not a number of snapshots: {text[:20]!r}", hint=f"--keep-{rule} 7")
    return int(text)


def show_pruned(report: PruneReport | None, as_json: bool) -> None:
    """What stays, what went and what that freed; exits 1 when something could not be read."""
    if report is None or not report.finished:
        raise InosError("it ended before it was finished", hint="run it again: nothing that a snapshot needs is gone")
    if as_json:
        say_json(to_dict(report))
    else:
        _show(report)
    if report.problems:
        raise typer.Exit(1)


def _show(report: PruneReport) -> None:
    gone = "would go" if report.dry_run else "gone"
    rows = [
        (each.snapshot[:12], time_text(each.created_ms / 1000) if each.created_ms else "-", each.node_name or "-",
         f"kept: {each.kept}" if each.kept else gone)
        for each in report.snapshots
    ]  # fmt: skip
    if rows:
        say(table([("SNAPSHOT", "MADE", "NODE", ""), *rows], right=frozenset()))
    if ahead := sum(each.kept == FUTURE for each in report.snapshots):
        said = count_text(ahead, "snapshot")
        note(
            f"{said} dated after this machine's clock: kept, and not counted; "
            "remove one with: inos backup forget DEST SNAPSHOT"
        )
    for problem in report.problems:
        note(paint(problem, RED))
    would = "would free" if report.dry_run else "freed"
    # What is written anew may weigh more than what goes, where little does.
    note(f"{would} {size_text(max(0, report.freed))} in {count_text(report.packs, 'pack')}")
