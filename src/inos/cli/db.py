"""inos db: the rows of the node's own database, through the running node or, where none runs, directly."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from inos.cli.options import LOOKING, AsJson, Home, PassphraseFile
from inos.cli.output import RED, note, paint, say, say_json, size_text, table, time_text
from inos.cli.running import command, with_desks
from inos.core.errors import BadInput, InosError
from inos.core.reports import to_dict

if TYPE_CHECKING:
    from inos.core.rows.calls import RowCalls
    from inos.core.rows.row import DatabaseStats, Row

T = TypeVar("T")

FAILED: Final = 1
_MAX_INPUT: Final = 1 << 20  # as the API takes in one call
_SHOWN: Final = 40

Kind = Annotated[str, typer.Argument(help="A kind of row: see inos db kinds.", metavar="KIND")]
Key = Annotated[str, typer.Argument(help="What names the row.", metavar="KEY")]


def register(app: typer.Typer) -> None:
    """Add `inos db` and what it can do."""
    group = typer.Typer(
        help="Look at and change the rows of the node's own database.",
        no_args_is_help=True,
        epilog="Works with a running node and without one. Start with: inos db kinds",
    )
    for each in (kinds, list_rows, show, put, rm, search, stats, check):
        group.command("list" if each is list_rows else each.__name__)(each)
    app.add_typer(group, name="db", rich_help_panel=LOOKING)


def with_rows(home: Path | None, passphrase_file: Path | None, work: Callable[[RowCalls], Awaitable[T]]) -> T:
    """Run `work` on the rows of the node of `home`, whether it runs or not."""
    return with_desks(home, passphrase_file, lambda desks: work(desks.db))


@command
def kinds(home: Home = None, as_json: AsJson = False) -> None:
    """Say which kinds of rows there are, their fields, and how they can be listed.

    inos db kinds
    """
    from inos.core.rows import KINDS
    from inos.core.rows.row import field_names

    del home  # every command takes it, so that scripts can pass it always
    rows = [("KIND", "KEY", "LISTED BY", "FIELDS")]
    for word, kind in KINDS.items():
        orders = {order.name: order.equals for order in kind.ORDERS}
        if as_json:
            facts = {"kind": word, "key": kind.KEY, "orders": orders, "fields": list(field_names(kind))}
            say_json(facts | {"writable": kind.WRITABLE, "removable": kind.REMOVABLE})
        listed = ", ".join(f"{name} (--where {equals}=)" if equals else name for name, equals in orders.items())
        rows.append((word, kind.KEY, listed, " ".join(field_names(kind))))
    if not as_json:
        say(table(rows))


@command
def list_rows(
    kind: Kind,
    where: Annotated[str, typer.Option(help="Only rows whose field has this value.", metavar="FIELD=VALUE")] = "",
    by: Annotated[str, typer.Option(help="The order; else the first that fits.", metavar="ORDER")] = "",
    descending: Annotated[bool, typer.Option("--descending", help="The other way round.")] = False,
    limit: Annotated[str, typer.Option(help="At most so many rows; else all.", metavar="N")] = "",
    after: Annotated[str, typer.Option(help="Go on where a list with --limit ended.", metavar="CURSOR")] = "",
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List rows of a kind, in order.

    inos db list transactions --where status=pending --descending --limit 20
    """
    from inos.core.rows import kind_named
    from inos.core.rows.row import MAX_PAGE, Query

    found = kind_named(kind)
    field, equals = _condition(found, where)
    left = _count(limit)

    async def work(calls: RowCalls) -> None:
        cursor, remaining, heads = after, left, not as_json
        while remaining is None or remaining:
            size = MAX_PAGE if remaining is None else min(MAX_PAGE, remaining)
            page = await calls.page(Query(found, field, equals, by, descending, cursor, size))
            _say_rows(page.rows, as_json, heads)
            remaining = None if remaining is None else remaining - len(page.rows)
            cursor, heads = page.next, False
            if not cursor:
                return
        note(f"there are more: --after {cursor}")

    with_rows(home, passphrase_file, work)


def _condition(kind: type[Row], where: str) -> tuple[str, Any]:
    from inos.core.rows.row import field_names, from_json

    if not where:
        return "", None
    field, sign, text = where.partition("=")
    if not sign or field not in field_names(kind):
        fields = ", ".join(sorted({order.equals for order in kind.ORDERS} - {""})) or "none"
        raise BadInput(f"not a condition on {kind.KIND}: {where!r}", hint=f"--where FIELD=VALUE; fields: {fields}")
    return field, from_json(kind, field, text)


def _count(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or not int(text[:10]) > 0 or len(text) > 9:
        raise BadInput(f"not a number of rows: {text!r}", hint="--limit 20")
    return int(text)


def _say_rows(rows: Sequence[Row], as_json: bool, heads: bool) -> None:
    if as_json:
        for row in rows:
            say_json(row.to_dict())
    elif rows:
        shown = [_cells(row) for row in rows]
        names = [name.upper() for name in rows[0].to_dict()]
        say(table([names, *shown] if heads else shown))


def _cells(row: Row) -> list[str]:
    return [_cell(name, value, whole=name == row.KEY) for name, value in row.to_dict().items()]


def _cell(name: str, value: Any, *, whole: bool) -> str:
    """A field for people; the key `whole`, so that it can be copied."""
    if value is None:
        return "-"
    if name.endswith("_s") and isinstance(value, int):
        return time_text(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if whole or len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


@command
def show(
    kind: Kind, key: Key, passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False
) -> None:
    """Show one row, all of it.

    inos db show preferences theme
    """
    from inos.core.rows import kind_named

    found = kind_named(kind)

    async def work(calls: RowCalls) -> None:
        row = (await calls.get(found, key)).to_dict()
        if as_json:
            say_json(row)
            return
        width = max(len(name) for name in row)
        for name, value in row.items():
            times = f"  ({time_text(value)})" if name.endswith("_s") and isinstance(value, int) else ""
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            say(f"{name:<{width}}  {shown}{times}")

    with_rows(home, passphrase_file, work)


@command
def put(
    kind: Kind,
    fields: Annotated[
        list[str],
        typer.Argument(help="The fields, or - for a JSON object on standard input.", metavar="FIELD=VALUE…|-"),
    ],
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Put a row in, or another in place of the one with the same key.

    A value is JSON, else text. A time that must be given and is not is now.

    inos db put preferences name=theme value=dark

    inos db put messages - < message.json
    """
    from inos.core.rows import kind_named

    found = kind_named(kind)
    values = _read_object() if fields == ["-"] else _parse_fields(found, fields)

    async def work(calls: RowCalls) -> None:
        row = await calls.put(found, values)
        if as_json:
            say_json(row.to_dict())
        else:
            note(f"put {row.key_text} into {kind}")

    with_rows(home, passphrase_file, work)


def _read_object() -> dict[str, Any]:
    data = sys.stdin.buffer.read(_MAX_INPUT + 1)
    if len(data) > _MAX_INPUT:
        raise BadInput(f"more than {_MAX_INPUT >> 20} MiB on standard input", hint="one JSON object, one row")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise BadInput("standard input is not JSON", hint="one JSON object with the fields of a row") from None
    if not isinstance(value, dict):
        raise BadInput("standard input is not a JSON object", hint="one JSON object with the fields of a row")
    return value


def _parse_fields(kind: type[Row], fields: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in fields:
        name, sign, value = text.partition("=")
        if not sign or name in values:
            raise BadInput(f"not FIELD=VALUE, or a field twice: {text!r}", hint="inos db kinds lists the fields")
        values[name] = _value(kind, name, value)
    return values


def _value(kind: type[Row], name: str, text: str) -> Any:
    """JSON where the field takes that, else the text as it stands: an amount or a name may look like a number."""
    from inos.core.rows.row import field_names, from_json

    if name in field_names(kind):
        try:
            value = json.loads(text)
            from_json(kind, name, value)
        except (ValueError, RecursionError, InosError):
            return text
        return value
    return text


@command
def rm(
    kind: Kind, key: Key, passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False
) -> None:
    """Remove one row.

    inos db rm preferences theme
    """
    from inos.core.rows import kind_named

    found = kind_named(kind)

    async def work(calls: RowCalls) -> None:
        await calls.remove(found, key)
        if as_json:
            say_json({"removed": key})
        else:
            note(f"removed {key} from {kind}")

    with_rows(home, passphrase_file, work)


@command
def search(
    text: Annotated[str, typer.Argument(help="Words, or how they start.", metavar="TEXT")],
    kind: Annotated[str, typer.Option(help="components, applications or messages; else all.", metavar="KIND")] = "",
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Find components, applications and messages by words in them, best first.

    inos db search "player audio"
    """
    from inos.core.rows.calls import MAX_FOUND

    async def work(calls: RowCalls) -> None:
        found = await calls.search(text, kind, MAX_FOUND)
        if as_json:
            for each in found:
                say_json(to_dict(each))
        elif found:
            say(table([("KIND", "KEY", "TITLE"), *((each.kind, each.key, each.title) for each in found)]))
        else:
            note("nothing has all of these words")

    with_rows(home, passphrase_file, work)


@command
def stats(passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Say how large the database is and what is in it."""

    async def work(calls: RowCalls) -> None:
        found = await calls.stats()
        if as_json:
            say_json(to_dict(found))
        else:
            say(_stats_text(found))

    with_rows(home, passphrase_file, work)


def _stats_text(found: DatabaseStats) -> str:
    since = "" if found.upgraded_at_s is None else f", since {time_text(found.upgraded_at_s)}"
    kept = ", ".join(f"inos.db.v{version}" for version in found.previous)
    lines = [
        f"schema    {found.schema}{since}" + (f"; kept from before: {kept}" if kept else ""),
        f"file      {size_text(found.size_bytes)}, of which {size_text(found.free_bytes)} free",
        f"log       {size_text(found.log_bytes)}",
        "",
        table([("KIND", "ROWS"), *((kind, str(count)) for kind, count in found.rows.items())], right=frozenset({1})),
    ]
    return "\n".join(lines)


@command
def check(passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Read all of the database and say what is wrong with it; exits 1 when something is."""

    async def work(calls: RowCalls) -> bool:
        found = await calls.check()
        if as_json:
            say_json(to_dict(found))
        for problem in () if as_json else found.problems:
            say(paint(problem, RED))
        return found.ok

    if not with_rows(home, passphrase_file, work):
        note("hint: restore it from a backup; what was changed by an upgrade is kept as inos.db.v<number>")
        raise typer.Exit(FAILED)
    if not as_json:
        note("the database is sound")
