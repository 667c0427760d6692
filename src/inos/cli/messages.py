"""inos msg: what agents say, from the command line: write, follow, search, acknowledge; the hub; tokens of agents."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from inos.cli.message_text import headline, lines_of, query_of, stats_lines
from inos.cli.options import LOOKING, STORING, AsJson, Home
from inos.cli.output import count_text, note, say, say_json, table, time_text
from inos.cli.running import command, with_mesh
from inos.core.errors import BadInput
from inos.core.reports import to_dict

if TYPE_CHECKING:
    from inos.client.mesh import Mesh
    from inos.client.messages import Messages
    from inos.core.messages.calls import Marked
    from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage

T = TypeVar("T")

STDIN: Final = "-"
_MAX_INPUT: Final = 1 << 20  # as the API takes in one call
DEFAULT_SCOPES: Final = ("post", "read")

Agent = Annotated[str, typer.Option("--agent", help="Only what this agent wrote.", metavar="NAME")]
Task = Annotated[str, typer.Option("--task", help="Only messages of this task.", metavar="TASK")]
Role = Annotated[str, typer.Option("--role", help="Only from agents of this role.", metavar="ROLE")]
Kind = Annotated[str, typer.Option("--kind", help="Only this kind: report, error, lead …", metavar="KIND")]
Since = Annotated[str, typer.Option("--since", help="Not older than this: 90s, 30min, 12h, 7d.", metavar="AGE")]
State = Annotated[
    str,
    typer.Option(
        "--state", help="unread, read, acknowledged, executed, archived; open: not archived.", metavar="STATE"
    ),
]
Least = Annotated[int, typer.Option("--priority", help="At least so urgent, 0 to 9.", metavar="N")]
Limit = Annotated[int, typer.Option("--limit", "-n", help="At most so many.", metavar="N")]
Ids = Annotated[list[str], typer.Argument(help="Ids of messages; - for one a line on standard input.", metavar="ID…")]


def register(app: typer.Typer) -> None:
    """Add `inos msg` and `inos messages`."""
    group = typer.Typer(
        help="Messages of agents: write, follow, search, acknowledge.",
        no_args_is_help=True,
        epilog="Start with: inos msg post --agent me 'hello'. How it works: docs/messages.md.",
    )
    for each in (post, tail, search, show, ack, mark, execute, stats, hub, token):
        group.command()(each)
    app.add_typer(group, name="msg", rich_help_panel=STORING)
    app.command("messages", rich_help_panel=LOOKING)(open_inbox)


def _ask(home: Path | None, work: Callable[[Messages], Awaitable[T]]) -> T:
    async def asked(mesh: Mesh) -> T:
        return await work(mesh.messages)

    return with_mesh(home, asked)


@command
def post(
    content: Annotated[str, typer.Argument(help="Text, or JSON with --as-data; - for stdin.", metavar="TEXT|-")],
    agent: Annotated[str, typer.Option("--agent", "-a", help="Who says it.", metavar="NAME")],
    kind: Annotated[str, typer.Option("--kind", "-k", help="What it is.", metavar="KIND")] = "report",
    priority: Annotated[int, typer.Option("--priority", "-p", help="0 to 9, the most urgent.", metavar="N")] = 5,
    task: Annotated[str, typer.Option("--task", "-t", help="The task it belongs to.", metavar="TASK")] = "",
    role: Annotated[str, typer.Option("--role", help="The agent's role.", metavar="ROLE")] = "",
    to: Annotated[str, typer.Option("--to", help="For whom it is.", metavar="NAME")] = "",
    attach: Annotated[
        list[str] | None, typer.Option("--attach", help="A file to store and attach; repeatable.", metavar="FILE")
    ] = None,
    as_data: Annotated[bool, typer.Option("--as-data", help="The content is JSON, not text.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write a message. The node has it on its disk when this returns; it reaches the hub by itself.

    inos msg post --agent me "the backup ran through"

    df --output=pcent / | tail -1 | inos msg post - --agent disk-watch --kind report
    """
    value = _content(content, as_data)

    async def work(mesh: Mesh) -> Any:
        attachments = [await _attached(mesh, agent, Path(path)) for path in attach or ()]
        return await mesh.messages.post(
            agent, value, kind=kind, priority=priority, task=task, role=role, recipient=to, attachments=attachments
        )

    message = with_mesh(home, work)
    if as_json:
        say_json(message.to_json())
    else:
        say(message.id)


def _content(text: str, as_data: bool) -> Any:
    if text == STDIN:
        data = sys.stdin.buffer.read(_MAX_INPUT + 1)
        if len(data) > _MAX_INPUT:
            raise BadInput(f"more than {_MAX_INPUT >> 20} MiB on standard input", hint="--attach a file instead")
        try:
            text = data.decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise BadInput("standard input is not UTF-8 text", hint="--attach a file instead") from None
    if not as_data:
        return {"text": text}
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput("the content is not JSON", hint="leave out --as-data to send it as text") from None


async def _attached(mesh: Mesh, agent: str, path: Path) -> Any:
    from inos.core.messages.message import Attachment, check_agent

    report = await mesh.put(path, name=f"/messages/{check_agent(agent)}/{path.name}")
    return Attachment(path.name, report.ref, report.size)


@command
def tail(
    agent: Agent = "", task: Task = "", role: Role = "", kind: Kind = "", priority: Least = 0, state: State = "",
    since: Since = "", limit: Limit = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes in, until Ctrl-C.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show the latest messages, oldest of them first, and with --follow those that come in.

    inos msg tail -f --kind error
    """
    from inos.core.messages.query import MessageQuery

    query = query_of(agent, task, role, kind, priority, state, since, "", limit)

    async def work(messages: Messages) -> None:
        # Before the list is asked for, so that nothing falls between the two.
        newest = await messages.page(MessageQuery(limit=1)) if follow else None
        page = await messages.page(query)
        _note_part(page)
        for each in reversed(page.messages):
            _say(each, as_json)
        if newest is not None:
            seen = (*newest.messages, *page.messages)
            # What a node keeps itself it counts by itself: only a hub's own numbers say where its stream goes on.
            whole = newest.whole and page.whole
            await _follow(messages, query, max((each.seq for each in seen), default=0) if whole else None, as_json)

    _ask(home, work)


async def _follow(messages: Messages, query: MessageQuery, seq: int | None, as_json: bool) -> None:
    """What comes in behind `seq`; when the hub or the node goes away, on from there as soon as it is back."""
    import anyio

    from inos.core.errors import Unavailable

    while True:
        try:
            async with aclosing(messages.events(seq)) as events:
                async for event in events:
                    if event.kind == "message":
                        seq = event.seq
                    if event.stored is not None and lets_through(query, event.stored):
                        _say(event.stored, as_json)
        except Unavailable as error:
            note(f"waiting: {error.message}")
        await anyio.sleep(1)


def lets_through(query: MessageQuery, stored: StoredMessage) -> bool:
    """Whether a message that has just come in is one that `query` asks for; words are not looked at."""
    message = stored.message
    wanted = ((name, getattr(query, name)) for name in ("agent", "task", "role", "kind", "recipient"))
    return (
        all(not value or getattr(message, name) == value for name, value in wanted)
        and message.priority >= query.priority
        and query.state in ("", "open", stored.marks.state)
        and query.since_ms <= message.time_ms < query.until_ms
    )


@command
def search(
    words: Annotated[list[str], typer.Argument(help="All of them must occur.", metavar="WORD…")],
    agent: Agent = "", task: Task = "", role: Role = "", kind: Kind = "", priority: Least = 0, state: State = "",
    since: Since = "", limit: Limit = 20, home: Home = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Find messages by the words in them, best first.

    inos msg search invoice zurich --since 7d
    """
    query = query_of(agent, task, role, kind, priority, state, since, " ".join(words), limit)
    page = _ask(home, lambda messages: messages.page(query))
    for each in page.messages:
        _say(each, as_json)
    if not page.messages:
        note("nothing found")
    _note_part(page)


def _note_part(page: MessagePage) -> None:
    if not page.whole:
        note("the hub cannot be reached: this is only what this node keeps itself. More: inos msg stats")


@command
def show(
    message_id: Annotated[str, typer.Argument(help="Id of the message.", metavar="ID")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show one message, all of it."""
    found = _ask(home, lambda messages: messages.get(message_id))
    if as_json:
        say_json(found.to_json())
        return
    for line in lines_of(found):
        say(line)


def _say(stored: StoredMessage, as_json: bool) -> None:
    if as_json:
        say_json(stored.to_json())
    else:
        say(headline(stored))


@command
def ack(ids: Ids, home: Home = None, as_json: AsJson = False) -> None:
    """Acknowledge messages: seen, and taken care of.

    inos msg search timeout --json | jq -r .message.id | inos msg ack -
    """
    _mark(home, ids, "acknowledged", True, as_json)


@command
def mark(
    state: Annotated[str, typer.Argument(help="read, acknowledged, executed or archived.", metavar="MARK")],
    ids: Ids,
    off: Annotated[bool, typer.Option("--off", help="Take the mark away again.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Mark messages read, acknowledged, executed or archived, or take a mark away.

    inos msg mark archived 019ac5f0-…
    """
    _mark(home, ids, state, not off, as_json)


def _mark(home: Path | None, ids: Iterable[str], name: str, on: bool, as_json: bool) -> None:
    from inos.core.messages.marks import check_mark_name

    wanted = list(_ids(ids))
    checked = check_mark_name(name)
    marked = _ask(home, lambda messages: messages.mark(wanted, checked, on=on))
    for each in marked.messages:
        if as_json:
            say_json({"id": each.message.id, "state": each.marks.state, "covered": marked.covered})
    if not as_json:
        note(f"{count_text(len(marked.messages), 'message')}: {name if on else 'no longer ' + name}")
        _note_uncovered(marked)


def _note_uncovered(marked: Marked) -> None:
    if not marked.covered:
        note("the mark is on the hub's disk alone so far: too few nodes could be reached; it follows by itself")


def _ids(given: Iterable[str]) -> Iterable[str]:
    from inos.core.messages.ids import parse_id

    for each in given:
        for text in sys.stdin.read(_MAX_INPUT).split() if each == STDIN else [each]:
            yield parse_id(text)


@command
def execute(
    message_id: Annotated[str, typer.Argument(help="Id of the message.", metavar="ID")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Start the follow-up task of a message, by the hook configured on the hub."""
    done = _ask(home, lambda messages: messages.execute(message_id))
    if as_json:
        say_json({**done.messages[0].to_json(), "covered": done.covered})
    else:
        note(f"executed {done.messages[0].message.id}")
        _note_uncovered(done)


@command
def stats(home: Home = None, as_json: AsJson = False) -> None:
    """Say where the hub is, how much it has, and what still waits on this node."""
    report = _ask(home, lambda messages: messages.report())
    if as_json:
        say_json(to_dict(report))
        return
    for line in stats_lines(report):
        say(line)


@command
def hub(
    take: Annotated[bool, typer.Option("--take", help="Make this node the hub, in place of whichever is.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say which node is the hub, or make this one the hub.

    inos msg hub --take
    """
    report = _ask(home, lambda messages: messages.take_hub() if take else messages.report())
    if as_json:
        say_json({"role": report.role, "hub": report.hub, "hub_peer": report.hub_peer, "reachable": report.reachable})
        return
    say(stats_lines(report)[0])


@command
def token(
    agent: Annotated[
        str, typer.Argument(help="Make one for this agent; else list those there are.", metavar="[AGENT]")
    ] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="post, read, mark, files; repeatable. Else post and read.", metavar="SCOPE"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write it to this file (0600) instead.", metavar="FILE")
    ] = None,
    revoke: Annotated[str, typer.Option("--revoke", help="Make the token with this id worthless.", metavar="ID")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make, list or revoke tokens with which agents use the API. A token is shown once.

    inos msg token scout-1 --scope post -o ~/.config/scout-1.token
    """
    if revoke:
        gone = _ask(home, lambda messages: messages.revoke_token(revoke))
        note(f"token {gone.token_id} of {gone.agent} is worthless now")
        return
    if not agent:
        _list_tokens(home, as_json)
        return
    made = _ask(home, lambda messages: messages.make_token(agent, scope or DEFAULT_SCOPES))
    if out is not None:
        _write_secret(out, made.token)
        note(f"token {made.token_id} of {agent} is in {out}")
    elif as_json:
        say_json(to_dict(made))
    else:
        say(made.token)


def _list_tokens(home: Path | None, as_json: bool) -> None:
    found = _ask(home, lambda messages: messages.tokens())
    rows = [("TOKEN", "AGENT", "SCOPES", "MADE")]
    for each in found:
        if as_json:
            say_json({name: value for name, value in to_dict(each).items() if name != "token"})
        rows.append((each.token_id, each.agent, " ".join(each.scopes), time_text(each.created_at_s)))
    if found and not as_json:
        say(table(rows))


def _write_secret(path: Path, text: str) -> None:
    import os

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(f"cannot make {path}: {error.strerror}", hint="name a file that does not exist yet") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")


@command
def open_inbox(
    show_only: Annotated[bool, typer.Option("--print", help="Only print the address.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Open the inbox in the browser. Its address works once, within a minute.

    inos messages
    """
    from inos.core.endpoint import data_root, read_endpoint

    code = _ask(home, lambda messages: messages.login_code())
    address = f"{read_endpoint(data_root(home)).url}{code.path}#code={code.code}"
    if as_json:
        say_json({"url": address})
        return
    say(address)
    if not show_only and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(address)
