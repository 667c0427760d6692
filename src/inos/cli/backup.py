"""backup and restore. Pruning is in `prune.py`."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from inos.cli.backup_gaps import say_gaps
from inos.cli.mesh_backup import MESH, to_mesh
from inos.cli.meter import Meter
from inos.cli.node_door import backup_commands
from inos.cli.options import NODE, AsJson, Home, PassphraseFile
from inos.cli.output import RED, count_text, note, paint, say, say_json, size_text, table, time_text
from inos.cli.prune import keep_rules, show_pruned
from inos.cli.running import command, with_mesh
from inos.cli.secrets_in import existing_passphrase, new_passphrase, read_phrase
from inos.core.backups import CheckReport, KeySource, PruneReport, RestoreReport, SnapshotReport
from inos.core.endpoint import data_root
from inos.core.errors import BadInput, InosError, NoNode
from inos.core.reports import BackupReport, to_dict

if TYPE_CHECKING:
    from inos.client.mesh import Mesh

R = TypeVar("R", BackupReport, CheckReport, PruneReport)

ACTIONS: Final = ("list", "check", "prune", "forget")
Phrase = Annotated[
    str | None, typer.Option(help="Open it with this seed phrase, not with this data root; - reads standard input.")
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel=NODE)(backup)
    app.command(rich_help_panel=NODE)(restore)


@command
def backup(
    words: Annotated[
        list[str],
        typer.Argument(
            help="A folder, a URL, or mesh: for the mesh itself. With forget: snapshots as well.",
            metavar="[list|check|prune|forget] DEST",
        ),
    ],
    percent: Annotated[str, typer.Option(help="With check: how much of the content to read.", metavar="N")] = "100",
    keep_last: Annotated[
        str, typer.Option(help="With prune: keep the last N snapshots of each node.", metavar="N")
    ] = "",
    keep_daily: Annotated[str, typer.Option(help="Also the last one of each of N days.", metavar="N")] = "",
    keep_weekly: Annotated[str, typer.Option(help="Also the last one of each of N weeks.", metavar="N")] = "",
    keep_monthly: Annotated[str, typer.Option(help="Also the last one of each of N months.", metavar="N")] = "",
    keep_yearly: Annotated[str, typer.Option(help="Also the last one of each of N years.", metavar="N")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With prune and forget: only say what would go.")] = False,
    phrase: Phrase = None,
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Copy the files and state of this node to another place, sealed; only what is new is sent.

    In it are its database, chunks and identity, the data of components, all messages that lie on this machine (what
    agents wrote and a hub has), and the settings in config/.

    Works while the node runs, and without it. With `list`: the snapshots there are. With `check`: proves that they
    can be restored. With `prune`: removes the snapshots that no rule keeps, and frees what only they needed. With
    `forget`: removes those that are named.

    inos backup /mnt/disk/inos

    inos backup mesh:

    inos backup list /mnt/disk/inos

    inos backup check /mnt/disk/inos --percent 10

    inos backup prune /mnt/disk/inos --keep-last 3 --keep-daily 7 --keep-weekly 8 --dry-run

    inos backup forget /mnt/disk/inos 5f3a09c1
    """
    action, place, snapshots = _split(words)
    if action:
        _refuse_mesh(place)
    kept = {
        "last": keep_last,
        "daily": keep_daily,
        "weekly": keep_weekly,
        "monthly": keep_monthly,
        "yearly": keep_yearly,
    }
    rules = keep_rules(kept)
    if (rules.any and action != "prune") or (dry_run and action not in ("prune", "forget")):
        raise BadInput("--keep-… and --dry-run go with prune", hint="inos backup prune DEST --keep-last 7 --dry-run")
    root = data_root(home)
    if not action:
        _make(root, place, passphrase_file, as_json)
    elif action == "list":
        _show_list(backup_commands().list_backup(_keys(root, phrase, passphrase_file), place), as_json)
    elif action == "check":
        _check(_keys(root, phrase, passphrase_file), place, _percent(percent), as_json)
    else:
        keys = _keys(root, phrase, passphrase_file)
        if action == "prune":
            steps = backup_commands().prune_backup(keys, place, rules, dry_run=dry_run)
        else:
            steps = backup_commands().forget_snapshots(keys, place, snapshots, dry_run=dry_run)
        show_pruned(watched(action, steps), as_json)


def _split(words: list[str]) -> tuple[str, str, list[str]]:
    """What to do, where, and the snapshots named for it."""
    if len(words) == 1 and words[0] not in ACTIONS:
        return "", _place(words[0]), []
    if len(words) > 1 and words[0] in ACTIONS and (len(words) > 2) == (words[0] == "forget"):
        return words[0], _place(words[1]), words[2:]
    raise BadInput(
        "not a way to use this",
        hint="inos backup DEST, inos backup list|check|prune DEST, inos backup forget DEST SNAPSHOT…; "
        "a folder of such a name is ./list",
    )


def _place(text: str) -> str:
    """A place as the node, which works in another folder, will understand it."""
    if not text:
        raise BadInput("an empty place", hint="name a folder or a URL")
    if text == MESH:
        return text
    return text if "://" in text else str(Path(os.path.expanduser(text)).absolute())  # noqa: PTH111 - stays a text


def _refuse_mesh(place: str) -> None:
    if place == MESH:
        raise BadInput(
            "a backup in the mesh is got out of it first",
            hint="inos ls /.backups/, then inos get /.backups/NODE -o DIR, and give DIR instead",
        )


def _percent(text: str) -> float:
    if not text.isdecimal() or not 0 <= int(text) <= 100:
        raise BadInput(f"not a percentage: {text!r}", hint="--percent 10")
    return float(text)


def _keys(root: Path, phrase: str | None, passphrase_file: Path | None) -> KeySource:
    words = read_phrase(phrase)
    if words is not None:
        return KeySource(root, None, words)
    return KeySource(root, existing_passphrase(root, passphrase_file))


def _make(root: Path, place: str, passphrase_file: Path | None, as_json: bool) -> None:
    async def work(mesh: Mesh) -> BackupReport | None:
        last: BackupReport | None = None
        with Meter("backup") as meter:
            done = 0
            async for last in mesh.backup(place):
                meter.total(last.total)
                meter.advance(last.done - done)
                done = last.done
        return last

    try:
        report = with_mesh(root, lambda mesh: to_mesh(mesh, root)) if place == MESH else with_mesh(root, work)
    except NoNode:
        if place == MESH:
            raise
        secret = existing_passphrase(root, passphrase_file)
        report = watched("backup", backup_commands().backup_offline(root, secret, place))
    if report is None or not report.finished:
        raise InosError("the backup ended before it was finished", hint="run it again: it goes on from there")
    if as_json:
        say_json(to_dict(report))
        return
    say(report.snapshot)
    note(f"{size_text(report.total)} are in it, {size_text(report.sent)} were new")
    if place == MESH:
        note(
            "in the mesh as /.backups/NODE; restored with: inos get /.backups/NODE -o DIR, inos restore DIR --node NODE"
        )
    say_gaps(report)


def watched(label: str, steps: Generator[R, None, None]) -> R | None:
    """Run all steps with a progress line; the last report."""
    import anyio

    async def main() -> R | None:
        last: R | None = None
        done = 0
        with Meter(label) as meter:
            for last in steps:
                meter.total(last.total)
                meter.advance(last.done - done)
                done = last.done
        return last

    return anyio.run(main)


def _show_list(found: list[SnapshotReport], as_json: bool) -> None:
    rows = []
    for report in found:
        if as_json:
            say_json(to_dict(report))
        elif report.problem:
            note(paint(report.problem, RED))
        else:
            rows.append(
                (
                    report.snapshot[:12],
                    time_text(report.created_ms / 1000),
                    report.node_name or "-",
                    str(report.chunks),
                    size_text(report.size),
                )
            )
    if rows:
        say(table([("SNAPSHOT", "MADE", "NODE", "CHUNKS", "SIZE"), *rows], right=frozenset({3, 4})))
    if not found:
        note("no snapshots")
    if partial := [report.snapshot[:12] for report in found if not report.whole]:
        note(f"without messages and settings, by an earlier release: {', '.join(partial)}")


def _check(keys: KeySource, place: str, percent: float, as_json: bool) -> None:
    report = watched("check", backup_commands().check_backup(keys, place, percent))
    if report is None or not report.finished:
        raise InosError("the check ended before it was finished", hint="run it again")
    if as_json:
        say_json(to_dict(report))
    else:
        for problem in report.problems:
            say(paint(problem, RED))
        good = report.snapshots - len(report.affected)
        say(
            f"{good} of {count_text(report.snapshots, 'snapshot')} can be restored; {size_text(report.total)} were read"
        )
    if report.problems:
        raise typer.Exit(1)


@command
def restore(
    place: Annotated[str, typer.Argument(help="A backup: folder or URL.", metavar="SRC")],
    at: Annotated[
        str, typer.Option(help="The last snapshot at this time, or the one whose id begins so.", metavar="TIME|ID")
    ] = "",
    node: Annotated[
        str, typer.Option(help="A snapshot of this node, not of this data root's own.", metavar="NAME|PEER")
    ] = "",
    target: Annotated[
        str, typer.Option("--object", help="Only this object, into the file of -o.", metavar="REF|NAME")
    ] = "",
    out: Annotated[str, typer.Option("--out", "-o", help="With --object: the file to write.", metavar="OUT")] = "",
    phrase: Phrase = None,
    passphrase_file: PassphraseFile = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="A data root made anew relies on file permissions alone.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Put what a backup holds in the place of this data root; the node must be stopped.

    Everything is read and checked before anything is replaced. Where there is no data root, the phrase makes one.
    A data root stays the node it is, unless --node or the id of a snapshot says another. Messages that are there
    stay: those of the backup come before them.

    inos restore /mnt/disk/inos

    inos restore /mnt/disk/inos --at 2026-01-31T18:00

    inos restore /mnt/disk/inos --object /notes.txt -o notes.txt

    inos restore /mnt/disk/inos --phrase - < phrase.txt
    """
    root = data_root(home)
    _refuse_mesh(place)
    if bool(target) != bool(out):
        raise BadInput("--object and -o go together", hint="inos restore SRC --object /notes.txt -o notes.txt")
    if target:
        keys = _keys(root, phrase, passphrase_file)
        done = watched("restore", backup_commands().restore_object(keys, _place(place), at, target, Path(out), node))
        if as_json and done is not None:
            say_json(to_dict(done) | {"path": out})
        elif done is not None:
            note(f"{out}  {size_text(done.done)}")
        return
    words = read_phrase(phrase)
    if words is None:
        if not root.exists():
            raise BadInput(f"there is no data root at {root}", hint="make one: inos restore SRC --phrase -")
        keys = KeySource(root, existing_passphrase(root, passphrase_file))
    else:
        keys = KeySource(root, _sealing(root, passphrase_file, no_passphrase), words)
    report = watched("restore", backup_commands().restore_home(keys, _place(place), at, node))
    if not isinstance(report, RestoreReport):
        raise InosError("the restore ended before it was finished", hint="run it again")
    if as_json:
        say_json(to_dict(report) | {"home": str(root)})
        return
    who = f"{report.node_name or 'the node'} (…{report.peer[-12:]})"
    note(f"restored {root} as {who} from snapshot {report.snapshot[:12]}: {size_text(report.total)}\nnext: inos up")


def _sealing(root: Path, passphrase_file: Path | None, no_passphrase: bool) -> str | None:
    """Beside a phrase: what a data root made anew is sealed with, or what opens one that is there where the phrase
    alone cannot show whose it is."""
    if not (root / "cocoon").exists():
        return None if no_passphrase else new_passphrase(passphrase_file)
    if passphrase_file or not (root / "node.json").exists():
        return existing_passphrase(root, passphrase_file)
    return None
