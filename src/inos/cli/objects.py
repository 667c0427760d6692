"""put, get, ls, find, stat, rm, verify."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from inos.cli.members import parse_size
from inos.cli.meter import Meter
from inos.cli.options import LOOKING, STORING, AsJson, Home, Target
from inos.cli.output import (
    BOLD,
    RED,
    YELLOW,
    age_text,
    count_text,
    losses_text,
    note,
    paint,
    say,
    say_json,
    size_text,
    standard_output,
    table,
    time_text,
)
from inos.cli.running import command, with_mesh
from inos.core.errors import BadInput, Conflict, InosError, NotFound
from inos.core.reports import CatalogueItem, PutReport, StatReport, TreeReport, VerifyReport, to_dict
from inos.crypto.digest import sha256_of_file

if TYPE_CHECKING:
    from inos.client.download import GetReport
    from inos.client.mesh import Mesh, Source

_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{0,18})")
_PART: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")
MAX_PARTS: Final = 65_536
STDIN: Final = "-"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel=STORING)(put)
    app.command(rich_help_panel=STORING)(get)
    app.command("rm", rich_help_panel=STORING)(remove)
    app.command(rich_help_panel=LOOKING)(ls)
    app.command(rich_help_panel=LOOKING)(find)
    app.command(rich_help_panel=LOOKING)(stat)
    app.command(rich_help_panel=LOOKING)(verify)


@command
def put(
    paths: Annotated[list[str], typer.Argument(help="Files and folders; - for standard input.", metavar="PATH…")],
    name: Annotated[
        str,
        typer.Option(
            "--name",
            "--as",
            help="Name in the catalogue, else the last part of the path; of several paths: their folder.",
        ),
    ] = "",
    require: Annotated[
        str,
        typer.Option(help="Fail unless it reaches: local, quorum, replicated, or a number of nodes.", metavar="LEVEL"),
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Store files and folders; prints their references.

    inos put holiday.mp4

    inos put photos --name /2024/photos

    tar c src | inos put - --name backup.tar
    """

    async def work(mesh: Mesh) -> None:
        for path in paths:
            label = "standard input" if path == STDIN else path
            with Meter(label) as meter:
                source: Source = sys.stdin.buffer if path == STDIN else path
                report = await mesh.put(source, name=_put_name(path, name, len(paths)), require=require, progress=meter)
            _show_put(report, as_json)

    if paths.count(STDIN) > 1:
        raise BadInput("standard input can be stored once", hint="give - only once")
    _check_names([(path, _put_name(path, name, len(paths))) for path in paths])
    with_mesh(home, work)


def _check_names(named: list[tuple[str, str | None]]) -> None:
    """Raises BadInput when two paths would be stored under one name, so that only the last stayed."""
    seen: dict[str, str] = {}
    for path, name in named:
        if name is None and path == STDIN:
            continue
        meant = unicodedata.normalize("NFC", (name or Path(path).name or Path(path).resolve().name).strip("/"))
        if meant in seen:
            raise BadInput(
                f"{seen[meant]} and {path} would both be stored as /{meant}",
                hint="store them one by one, each with a --name of its own",
            )
        seen[meant] = path


def _put_name(path: str, name: str, paths: int) -> str | None:
    if paths == 1 or not name:
        return name or None
    if path == STDIN:
        raise BadInput("standard input has no name of its own", hint="store it by itself: inos put - --name NAME")
    return f"{name.rstrip('/')}/{Path(path).resolve().name}"


def _show_put(report: PutReport | TreeReport, as_json: bool) -> None:
    if as_json:
        say_json(to_dict(report))
        return
    say(report.ref)
    rate = f" ({size_text(report.size / report.seconds)}/s)" if report.seconds > 0.01 and report.size > 10**6 else ""
    what = size_text(report.size)
    if isinstance(report, TreeReport):
        what = f"{count_text(report.files, 'file')}, {count_text(report.folders, 'folder')}, {what}"
        for skipped in report.skipped:
            note(f"{paint('skipped:', YELLOW, sys.stderr)} {skipped}")
    named = f"{report.name}  " if report.name else ""
    note(f"{named}{what} in {age_text(report.seconds)}{rate}; {losses_text(report.survives)}")
    if report.survives < report.wanted_survives:
        note(f"repair raises that to {count_text(report.wanted_survives, 'node')} when enough members are there")


@command
def get(
    target: Target,
    place: Annotated[
        str,
        typer.Argument(
            metavar="[OUT]",
            help="File or folder to write; - for standard output. Else the name, here.",
            show_default=False,
        ),
    ] = "",
    out: Annotated[str, typer.Option("--out", "-o", help="The same.", metavar="OUT")] = "",
    span: Annotated[
        str,
        typer.Option("--range", help="Only bytes A to B, both included, counted from 0; A- to the end.", metavar="A-B"),
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Get an object, or the whole tree of a folder's name, back.

    A download that was broken off leaves OUT.….part; the same command goes on with it.

    inos get /2024/photos copy

    inos get backup.tar - | tar x
    """
    if place and out:
        raise BadInput("OUT is given twice", hint=f"inos get {target} {place}")
    out = place or out
    start, end = parse_range(span)

    async def copy(mesh: Mesh) -> GetReport:
        import anyio

        from inos.client.download import GetReport

        began_s, size = anyio.current_time(), 0
        async with mesh.open(target, start, end) as content:
            async for chunk in content.chunks:
                file.write(chunk)
                size += len(chunk)
        file.flush()
        return GetReport(out, size, 1, 0, 0, 0, anyio.current_time() - began_s)

    async def work(mesh: Mesh) -> None:
        with Meter(target) as meter:
            report = await mesh.get(target, out or None, progress=meter)
        _show_get(report, as_json)
        if report.left_out:
            raise Conflict(
                f"{count_text(len(report.left_out), 'name')} left out, the rest was written", hint="see above"
            )

    if out != STDIN and not span:
        with_mesh(home, work)
        return
    with _writing(out) as file:
        report = with_mesh(home, copy)
    if as_json and out != STDIN:
        say_json(to_dict(report))


def _show_get(report: GetReport, as_json: bool) -> None:
    if as_json:
        say_json(to_dict(report))
        return
    files = f"{count_text(report.files, 'file')}, " if report.files != 1 else ""
    resumed = f", {size_text(report.resumed_bytes)} of it from before" if report.resumed_bytes else ""
    note(f"{report.path}  {files}{size_text(report.size)} in {age_text(report.seconds)}{resumed}")
    for left in report.left_out:
        note(f"{paint('left out:', YELLOW, sys.stderr)} {left}")


def parse_part(text: str) -> tuple[int, int]:
    """(3, 30) of "3/30"; the whole for "". Raises BadInput."""
    match = _PART.fullmatch(text) if text else None
    if match is None:
        if text:
            raise BadInput(f"not a part: {text!r}", hint="--part 1/30 is the first of thirty")
        return 1, 1
    part, parts = int(match[1]), int(match[2])
    if not 1 <= part <= parts <= MAX_PARTS:
        raise BadInput(f"there is no part {text}", hint=f"parts are counted from 1, and at most {MAX_PARTS}")
    return part, parts


def parse_range(text: str) -> tuple[int, int | None]:
    """[start, end) of "A-B" or "A-"; everything for "". Raises BadInput."""
    match = _RANGE.fullmatch(text) if text else None
    if match is None:
        if text:
            raise BadInput(f"not a range: {text!r}", hint="--range 0-99 is the first hundred bytes, 100- the rest")
        return 0, None
    first, last = int(match[1]), match[2]
    if last and int(last) < first:
        raise BadInput(f"the range {text} ends before it starts")
    return first, int(last) + 1 if last else None


@contextmanager
def _writing(out: str) -> Iterator[BinaryIO]:
    if out == STDIN:
        with standard_output():
            yield sys.stdout.buffer
        return
    if not out:
        raise BadInput("where should the range go?", hint="name a file after it, or - for standard output")
    from inos.client.local import current_umask, file_error, is_stream, open_stream

    path = Path(out)
    if path.is_dir():
        raise BadInput(f"{out} is a directory", hint="name the file to write")
    if is_stream(path):
        with open_stream(path) as file:
            yield file
        return
    path = path.resolve()  # what a link leads to is replaced, not the link
    try:
        descriptor, name = tempfile.mkstemp(prefix=".inos-", suffix=".part", dir=path.parent)
    except OSError as error:
        raise BadInput(f"cannot write {out}: {error.strerror}", hint="choose another file") from None
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        part.chmod(0o666 & ~current_umask())
        part.replace(path)
    except OSError as error:
        raise file_error(path, error, "write") from None
    finally:
        part.unlink(missing_ok=True)


@command
def remove(
    targets: Annotated[list[str], typer.Argument(help="Names, folders or references.", metavar="REF|NAME…")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove objects; their space is freed on every holder after a delay.

    inos rm /2024/photos
    """

    async def work(mesh: Mesh) -> None:
        for target in targets:
            report = await mesh.remove(target)
            if as_json:
                say_json(to_dict(report))
            else:
                delay = age_text(report.freed_after_s)
                note(f"removed {count_text(report.removed, 'name')}; the space is freed after {delay}")
                if report.below:
                    note(
                        f"{target} was a folder as well: {count_text(report.below, 'name')} below it stay; "
                        f"to remove them, too: inos rm {target}"
                    )

    with_mesh(home, work)


@command
def ls(
    prefix: Annotated[str, typer.Argument(help="Only names that start with this.", show_default=False)] = "",
    long: Annotated[bool, typer.Option("--long", "-l", help="Also kind, size and time.")] = False,
    nameless: Annotated[
        bool, typer.Option("--nameless", help="Instead: objects without a name, as puts that failed leave them.")
    ] = False,
    pinned: Annotated[bool, typer.Option("--pinned", help="Instead: the objects pinned to this node.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List names in the catalogue.

    inos ls -l /2024/
    """
    if nameless and (prefix or long):
        raise BadInput("--nameless goes with no prefix and without --long", hint="inos ls --nameless")
    if pinned and (prefix or long or nameless):
        raise BadInput("--pinned goes with no prefix, without --long and --nameless", hint="inos ls --pinned")

    async def show_pinned(mesh: Mesh) -> None:
        async for item in mesh.list_pinned():
            say_json(to_dict(item)) if as_json else say(f"{item.cid}  {item.name or '-'}")

    async def show_nameless(mesh: Mesh) -> None:
        found = 0
        async for item in mesh.list_nameless():
            found += 1
            say_json(to_dict(item)) if as_json else say(f"{item.cid}  {size_text(item.size) if item.size else 'small'}")
        if found and not as_json:
            note("some may be on their way to a name just now; to remove one: inos rm CID")

    async def work(mesh: Mesh) -> None:
        rows = []
        async for item in mesh.list(prefix):
            if as_json:
                say_json(to_dict(item))
            elif long:
                rows.append(_row(item))
            else:
                say(item.name + ("/" if item.kind == "folder" else ""))
        if rows:
            say(table([("KIND", "SIZE", "MODIFIED", "NAME"), *rows], right=frozenset({1})))

    with_mesh(home, show_pinned if pinned else show_nameless if nameless else work)


@command
def find(
    files: Annotated[
        list[str] | None, typer.Argument(help="Files of this machine; - for standard input.", metavar="FILE…")
    ] = None,
    sha256: Annotated[str, typer.Option("--sha256", help="Instead: what has this SHA-256.", metavar="HEX")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Find what is stored by its content: the names under which this file is here.

    Exits 1 when a content has no name here. To get one back: inos get sha256:HEX -o FILE

    inos find holiday.mp4

    inos find --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    if bool(files) == bool(sha256):
        raise BadInput("give files, or --sha256", hint="inos find FILE, or inos find --sha256 HEX")

    async def work(mesh: Mesh) -> list[str]:
        missing = []
        for label, digest in [(sha256, sha256)] if sha256 else [(file, file_sha256(file)) for file in files or ()]:
            found = [item async for item in mesh.find(digest)]
            missing += [] if found else [label]
            for item in found:
                say_json(to_dict(item)) if as_json else say(f"{item.cid}  {size_text(item.size)}  {item.name}")
            if not found and not as_json:
                note(f"{paint('not here:', YELLOW, sys.stderr)} {label}")
        return missing

    missing = with_mesh(home, work)
    if missing and as_json:
        raise NotFound(f"not here: {', '.join(missing)}", hint="contents are found by the names they are stored under")
    if missing:
        raise typer.Exit(1)


def file_sha256(path: str) -> str:
    """The SHA-256, in hexadecimal, of a file or of standard input (`-`), read a block at a time. Raises BadInput."""
    try:
        if path == STDIN:
            return sha256_of_file(sys.stdin.buffer).hex()
        with Path(path).open("rb") as file:
            return sha256_of_file(file).hex()
    except OSError as error:
        hint = "name a file; for what has a known digest: inos find --sha256 HEX"
        raise BadInput(f"cannot read {path}: {error.strerror}", hint=hint) from None


def _row(item: CatalogueItem) -> tuple[str, str, str, str]:
    name = f"{item.name} -> {item.target}" if item.kind == "link" else item.name
    modified = time_text(item.modified_ms / 1000) if item.modified_ms else "-"
    return item.kind, size_text(item.size) if item.kind == "file" else "-", modified, name


@command
def stat(target: Target, home: Home = None, as_json: AsJson = False) -> None:
    """Show size, scheme and holders of an object, and how many nodes may be lost.

    inos stat /2024/photos/a.jpg
    """

    async def work(mesh: Mesh) -> None:
        report = await mesh.stat(target)
        if as_json:
            say_json(to_dict(report))
        else:
            say(stat_text(report))

    with_mesh(home, work)


def stat_text(report: StatReport) -> str:
    """A stat report for people."""
    durability = paint(losses_text(report.survives), BOLD)
    if report.under_replicated:
        durability += paint(f" ({report.wanted_survives} when repair is done)", YELLOW)
    facts = [
        ("name", report.name or "-"),
        ("reference", report.ref or "-"),
        ("cid", report.cid),
        ("sha256", report.sha256 or "-"),
        ("size", f"{size_text(report.size)} ({report.size} bytes)"),
        ("stored", f"{size_text(report.stored_size)} as {report.scheme}, {count_text(report.chunks, 'chunk')}"),
        ("pieces", f"{report.pieces_alive} of {report.pieces} alive"),
        ("level", report.level),
        ("durability", durability),
    ]
    lines = [f"{label:<11}{value}" for label, value in facts]
    rows = [
        (share.node_name or "-", "alive" if share.alive else "failed", f"{share.held}/{share.assigned}", share.peer)
        for share in report.members
    ]
    return "\n".join([*lines, "", table([("NODE", "STATE", "PIECES", "PEER"), *rows], right=frozenset({2}))])


@command
def verify(
    target: Annotated[
        str,
        typer.Argument(
            help="An object to check everywhere; else all this node holds.", metavar="REF|NAME", show_default=False
        ),
    ] = "",
    part: Annotated[
        str, typer.Option(help="Only that share of this node's chunks: 1/30, then 2/30, and so on.", metavar="K/N")
    ] = "",
    rate: Annotated[str, typer.Option(help="Read at most that much a second: 20MB.", metavar="SIZE")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Re-read what is stored and check every byte; what is corrupt is healed.

    Exits 1 when something is missing, or corrupt and not healed.

    inos verify --part 3/30 --rate 20MB
    """
    number, parts = parse_part(part)
    rate_bytes_s = parse_size(rate) if rate else 0

    async def work(mesh: Mesh) -> VerifyReport:
        last: VerifyReport | None = None
        checked = mesh.verify(target or None, part=number, parts=parts, rate_bytes_s=rate_bytes_s)
        with Meter("verify", counted=True) as meter:
            async for report in checked:
                meter.total(report.total)
                meter.advance(report.checked - (last.checked if last else 0))
                last = report
                if as_json:
                    say_json(to_dict(report))
                elif report.problem:
                    say(report.problem)
        if last is None or not last.finished:
            raise InosError("the check ended before it was finished", hint="see the node's log and run it again")
        return last

    report = with_mesh(home, work)
    if not as_json:
        found = f"{report.corrupt} corrupt, {report.healed} healed, {report.missing} missing"
        bad = report.missing or report.corrupt > report.healed
        say(f"checked {count_text(report.checked, 'chunk')}: {paint(found, RED) if bad else found}")
    if report.missing or report.corrupt > report.healed:
        raise typer.Exit(1)
