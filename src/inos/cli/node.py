"""init, up, passphrase, rebuild, version; demo and cluster, which live elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from inos.cli.members import parse_size, parse_time_s
from inos.cli.node_door import cluster as cluster_door
from inos.cli.node_door import demo as demo_door
from inos.cli.node_door import node_commands, root_commands
from inos.cli.options import NODE, TRYING, AsJson, Home, PassphraseFile
from inos.cli.output import BOLD, note, paint, say, say_json
from inos.cli.running import command
from inos.cli.secrets_in import existing_passphrase, new_passphrase, read_phrase
from inos.core.endpoint import data_root
from inos.core.errors import BadInput
from inos.core.options import COMPRESSIONS, Compression, InitOptions, InitReport, RebuildReport, UpOptions
from inos.core.reports import to_dict

PROFILES = ("light", "heavy", "dedicated")
NoPassphrase = Annotated[
    bool, typer.Option("--no-passphrase", help="Rely on file permissions alone: whoever reads the files is you.")
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel=NODE)(init)
    app.command(rich_help_panel=NODE)(up)
    app.command(rich_help_panel=NODE)(passphrase)
    app.command(rich_help_panel=NODE)(rebuild)
    app.command(rich_help_panel=NODE)(version)


def register_trials(app: typer.Typer) -> None:
    """Add the commands that start nodes of their own."""
    app.command(rich_help_panel=TRYING)(demo)
    app.command(rich_help_panel=TRYING)(cluster)


@command
def init(
    phrase: Annotated[
        str | None, typer.Option(help="Restore the owner of this seed phrase; - reads it from standard input.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of this node, else the machine's.")] = "",
    passphrase_file: PassphraseFile = None,
    no_passphrase: NoPassphrase = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make this machine's identity and data root; shows the seed phrase once.

    inos init

    inos init --phrase - < phrase.txt
    """
    root = data_root(home)
    if no_passphrase and passphrase_file:
        raise BadInput("--no-passphrase and --passphrase-file contradict each other", hint="give one of them")
    words = read_phrase(phrase)
    secret = None if no_passphrase else new_passphrase(passphrase_file)

    def show(report: InitReport) -> None:
        if as_json:
            say_json(to_dict(report))
        elif report.phrase:
            note("Your seed phrase. Write it down now, it is not shown again; who has it is you:\n")
            say(paint(report.phrase, BOLD))
            note("")

    report = root_commands().init_home(InitOptions(root, words, secret, name), show)
    if no_passphrase:
        note("no passphrase: whoever can read these files can read everything you store")
    if not as_json:
        note(f"made {report.home}\nnode  {report.node_name} {report.peer}\nowner {report.owner}\n\nnext: inos up")


@command
def up(
    listen: Annotated[
        list[str] | None, typer.Option(help="Where other nodes reach this one; repeatable.", metavar="ADDRESS")
    ] = None,
    announce: Annotated[
        list[str] | None, typer.Option(help="Addresses to tell others instead (behind a router).", metavar="ADDRESS")
    ] = None,
    api: Annotated[
        str, typer.Option(help="Where the local API listens; port 0 takes a free one.", metavar="HOST:PORT")
    ] = ("127.0.0.1:0"),
    profile: Annotated[str, typer.Option(help="light, heavy or dedicated: how much it holds and relays.")] = "heavy",
    quota_hot: Annotated[
        str, typer.Option(help="What the database may take up: 512MB, 4GB; else by profile.", metavar="SIZE")
    ] = "",
    quota_cold: Annotated[
        str, typer.Option(help="What chunk files may take up: 5GB, 2TB; else by profile.", metavar="SIZE")
    ] = "",
    compression: Annotated[
        str, typer.Option(help="lz4, zstd (smaller, slower) or none: how what is put here is packed.", metavar="NAME")
    ] = "lz4",
    region: Annotated[str, typer.Option(help="A place; copies are spread over places.")] = "",
    name: Annotated[str, typer.Option(help="Name of this node, else the one from init.")] = "",
    repair_after: Annotated[
        str, typer.Option(help="How long a member must be gone before repair.", metavar="TIME")
    ] = "30s",
    remove_delay: Annotated[
        str, typer.Option(help="How long removed objects keep their space.", metavar="TIME")
    ] = "1h",
    ticket: Annotated[str, typer.Option("--join", help="Join the mesh of this ticket first.", metavar="TICKET")] = "",
    hub: Annotated[
        bool, typer.Option("--hub", help="Be the hub that keeps the messages of agents, unless another node is.")
    ] = False,
    standby: Annotated[
        bool, typer.Option("--standby", help="Take over when the hub for messages has failed for a while.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    until_stdin_ends: Annotated[
        bool,
        typer.Option("--until-stdin-ends", help="Stop when standard input ends: with whoever started it.", hidden=True),
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run the node in the foreground until Ctrl-C.

    inos up --region attic

    inos up --listen /ip4/0.0.0.0/tcp/4001 --join inos-ticket-…
    """
    root = data_root(home)
    if profile not in PROFILES:
        raise BadInput(f"unknown profile {profile!r}", hint=f"one of {', '.join(PROFILES)}")
    packed: Compression | None = next((each for each in COMPRESSIONS if each == compression), None)
    if packed is None:
        raise BadInput(f"unknown compression {compression[:40]!r}", hint=f"one of {', '.join(COMPRESSIONS)}")
    if not root.exists():
        raise BadInput(f"there is no data root at {root}", hint="make one with: inos init")
    node_commands().run_node(
        UpOptions(
            home=root,
            passphrase=existing_passphrase(root, passphrase_file),
            listen=tuple(listen or ()),
            announce=tuple(announce or ()),
            api=api,
            profile=profile,
            region=region,
            name=name,
            compression=packed,
            quota_hot_bytes=parse_size(quota_hot) if quota_hot else None,
            quota_cold_bytes=parse_size(quota_cold) if quota_cold else None,
            repair_after_s=parse_time_s(repair_after),
            remove_delay_s=parse_time_s(remove_delay),
            join=ticket,
            hub="hub" if hub else "standby" if standby else "none",
            json=as_json,
            until_stdin_ends=until_stdin_ends,
        )
    )


@command
def passphrase(
    passphrase_file: PassphraseFile = None,
    new_passphrase_file: Annotated[
        Path | None,
        typer.Option("--new-passphrase-file", help="Read the new passphrase from this file.", metavar="FILE"),
    ] = None,
    no_passphrase: NoPassphrase = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Change the passphrase that seals this node's secrets; the node must be stopped."""
    root = data_root(home)
    if not root.exists():
        raise BadInput(f"there is no data root at {root}", hint="make one with: inos init")
    old = existing_passphrase(root, passphrase_file)
    if new_passphrase_file is None and not no_passphrase and not sys.stdin.isatty():
        raise BadInput("the new passphrase is missing", hint="give --new-passphrase-file, or run it in a terminal")
    new = None if no_passphrase else new_passphrase(new_passphrase_file, from_environment=False)
    root_commands().change_passphrase(root, old, new)
    if as_json:
        say_json({"home": str(root), "passphrase": new is not None})
    else:
        note("the secrets rely on file permissions alone now" if new is None else "the passphrase is changed")


@command
def rebuild(passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Bring back a lost or damaged database from its spare copy, its remains and the chunk files.

    The node must be stopped. Nothing is deleted: the old database is moved aside.
    """
    root = data_root(home)
    if not root.exists():
        raise BadInput(f"there is no data root at {root}", hint="make one with: inos init")
    shown = sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        if shown:
            end = "\n" if done == total else ""
            sys.stderr.write(f"\r\x1b[Kindexing the chunk files  {done / total:4.0%}{end}")
            sys.stderr.flush()

    report = root_commands().rebuild_home(root, existing_passphrase(root, passphrase_file), progress)
    if as_json:
        say_json(to_dict(report))
    else:
        _show_rebuilt(report)


def _show_rebuilt(report: RebuildReport) -> None:
    began = {
        "database": "the database is sound",
        "spare": "the database was brought back from its spare copy",
        "nothing": "there was no sound copy of the database: it was begun anew",
    }
    say(began[report.base])
    if report.lost:
        read = f"{report.records} records, {report.chunks} chunks and {report.rows} rows were read from it"
        say(f"the old one is {report.lost} now; {read}")
    say(
        f"chunk files: {report.adopted} added to the index, {report.deleted} damaged and deleted, {report.dropped} gone"
    )
    if not report.mesh:
        note("it does not know its mesh any more; to become a member again: inos up --join TICKET")
    elif report.base != "database":
        note("next: inos up; what is missing comes from the other members, and nothing is freed for a week")


@command
def version(home: Home = None, as_json: AsJson = False) -> None:
    """Print the version."""
    import inos

    del home  # every command takes it, so that scripts can pass it always
    if as_json:
        say_json({"version": inos.__version__})
    else:
        say(inos.__version__)


@command
def demo(
    nodes: Annotated[int, typer.Option(min=1, max=60, help="Nodes to start.")] = 7,
    kill: Annotated[int, typer.Option(min=0, max=59, help="Nodes to kill.")] = 2,
    file: Annotated[
        Path | None, typer.Option(help="File to store; else a real one of this machine.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show it: a mesh on this machine, a real file in, nodes killed, the file back.

    inos demo --nodes 7 --kill 2
    """
    if kill >= nodes:
        raise BadInput(f"cannot kill {kill} of {nodes} nodes", hint="leave at least one")
    demo_door().run_demo(nodes, kill, file, as_json)


@command
def cluster(
    nodes: Annotated[int, typer.Argument(min=1, max=60, help="Nodes to start.", metavar="N")] = 5,
    folder: Annotated[Path, typer.Option(help="Where the nodes keep their data and their logs.", metavar="DIR")] = Path(
        ".cluster"
    ),
    stop: Annotated[bool, typer.Option("--stop", help="Stop the nodes that were started there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a mesh of N nodes on this machine, leave it running, and say how to reach it.

    Their data stays when they are stopped: started again, they go on with it.

    inos cluster 5

    inos cluster --stop
    """
    door = cluster_door()
    if stop:
        door.stop_cluster(folder, as_json)
    else:
        door.run_cluster(nodes, folder, as_json)
