"""inos component and inos app: programs and front ends that a node keeps for its owner. Where no node runs, all that
needs none is done on the data root itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from inos.cli.options import NODE, AsJson, Home, PassphraseFile
from inos.cli.output import GREEN, RED, YELLOW, note, paint, say, say_json, table, time_text
from inos.cli.running import command, with_mesh_or_root
from inos.core.components import PERMISSIONS
from inos.core.errors import BadInput
from inos.core.reports import to_dict

if TYPE_CHECKING:
    from inos.cli.components_here import AnyComponents
    from inos.cli.node_door import DesksHere
    from inos.client.mesh import Mesh
    from inos.core.components import ComponentReport

T = TypeVar("T")

FAILED: Final = 1
# As often as a person looks.
FOLLOW_EVERY_S: Final = 0.5
_PART: Final = 64 << 10
_COLOURS: Final = {"running": GREEN, "crashed": RED, "starting": YELLOW, "stopping": YELLOW}

Id = Annotated[str, typer.Argument(help="Id of the component.", metavar="ID")]
AppId = Annotated[str, typer.Argument(help="Id of the application.", metavar="ID")]


def register(app: typer.Typer) -> None:
    """Add `inos component` and `inos app`."""
    group = typer.Typer(
        help="Install components (programs, WASM modules, front ends) and keep them running.",
        no_args_is_help=True,
        epilog="What a package is and what its component.toml says: docs/components.md.",
    )
    group.command("install")(install)
    group.command("list")(list_components)
    group.command("show")(show)
    group.command("start")(start)
    group.command("stop")(stop)
    group.command("restart")(restart)
    group.command("logs")(logs)
    group.command("rm")(remove)
    app.add_typer(group, name="component", rich_help_panel=NODE)
    apps = typer.Typer(help="Start and stop components that belong together.", no_args_is_help=True)
    apps.command("list")(list_apps)
    apps.command("start")(start_app)
    apps.command("stop")(stop_app)
    app.add_typer(apps, name="app", rich_help_panel=NODE)


def _ask(home: Path | None, passphrase_file: Path | None, work: Callable[[AnyComponents], Awaitable[T]]) -> T:
    async def asked(mesh: Mesh) -> T:
        return await work(mesh.components)

    async def looked_up(desks: DesksHere) -> T:
        from inos.cli.components_here import ComponentsHere

        return await work(ComponentsHere(desks.packages))

    return with_mesh_or_root(home, passphrase_file, asked, looked_up)


@command
def install(
    package: Annotated[
        str, typer.Argument(help="A folder, a .zip, a .tar.gz, or inos:… for an object.", metavar="PACKAGE")
    ],
    grant: Annotated[
        list[str] | None,
        typer.Option(help=f"Let it use what its manifest asks for: {', '.join(PERMISSIONS)}.", metavar="PERMISSION"),
    ] = None,
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Install a component, or another version of one; the data of the older version stays.

    inos component install notes/

    inos component install inos:/packages/notes-1.1.tar.gz --grant api
    """
    granted = tuple(grant or ())
    for each in granted:
        if each not in PERMISSIONS:
            raise BadInput(f"there is no permission {each[:40]!r}", hint=f"there is: {', '.join(PERMISSIONS)}")
    if package.startswith("inos:"):
        report = _ask(home, passphrase_file, lambda components: components.install_from(package, grant=granted))
    else:
        report = _ask(home, passphrase_file, lambda components: components.install(package, grant=granted))
    if as_json:
        say_json(to_dict(report))
        return
    say(f"installed {report.component_id} {report.version}")
    if left := sorted(set(report.permissions) - set(report.granted)):
        note(f"it asks for {', '.join(left)}, which it was not given: --grant {left[0]} gives it")
    if report.status != "running":
        note(f"next: inos component start {report.component_id}")


@command
def list_components(passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """List installed components and how they are."""
    found = _ask(home, passphrase_file, lambda components: components.list())
    if as_json:
        for each in found:
            say_json(to_dict(each))
    elif found:
        heads = ("COMPONENT", "VERSION", "RUNTIME", "STATUS", "PID", "HEARTBEAT", "RESTARTS", "APPLICATIONS")
        say(table([heads, *(_row(each) for each in found)], right=frozenset({4, 6})))
    else:
        note("no component is installed: inos component install PACKAGE")


def _row(report: ComponentReport) -> tuple[str, ...]:
    beat = "-" if report.last_heartbeat_s is None else time_text(report.last_heartbeat_s)
    pid = "-" if report.pid is None else str(report.pid)
    apps = ", ".join(report.applications) or "-"
    status = report.status
    return report.component_id, report.version, report.runtime, status, pid, beat, str(report.restarts), apps


@command
def show(component: Id, passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Show all that is known of one component."""
    report = _ask(home, passphrase_file, lambda components: components.get(component))
    if as_json:
        say_json(to_dict(report))
        return
    say(f"{report.name} ({report.component_id} {report.version}, {report.runtime})")
    say(f"status       {_status_text(report)}")
    if report.last_error:
        say(f"last error   {report.last_error}")
    lines = {
        "endpoint": report.endpoint,
        "pid": "" if report.pid is None else str(report.pid),
        "started": "" if report.started_at_s is None else time_text(report.started_at_s),
        "heartbeat": "" if report.last_heartbeat_s is None else time_text(report.last_heartbeat_s),
        "restarts": str(report.restarts),
        "applications": ", ".join(report.applications),
        "asks for": ", ".join(report.permissions),
        "granted": ", ".join(report.granted),
        "installed": time_text(report.installed_at_s),
        "from": report.reference or "",
        "data": report.data,
        "versions": ", ".join(report.versions),
        "digest": report.digest,
    }
    for name, value in lines.items():
        if value:
            say(f"{name:12} {value}")


def _status_text(report: ComponentReport) -> str:
    colour = _COLOURS.get(report.status)
    return paint(report.status, colour) if colour else report.status


@command
def start(component: Id, passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Run a component, now and whenever the node starts. Exits 1 when it crashed at once."""
    _tell([_ask(home, passphrase_file, lambda components: components.start(component))], as_json)


@command
def stop(component: Id, passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Stop a component; it is not started with the node any more."""
    _tell([_ask(home, passphrase_file, lambda components: components.stop(component))], as_json)


@command
def restart(component: Id, passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Stop a component and start it again. Exits 1 when it crashed at once."""
    _tell([_ask(home, passphrase_file, lambda components: components.restart(component))], as_json)


def _tell(reports: Sequence[ComponentReport], as_json: bool) -> None:
    for report in reports:
        if as_json:
            say_json(to_dict(report))
            continue
        say(f"{report.component_id} {report.version}: {_status_text(report)}  {report.endpoint}".rstrip())
        if report.status == "crashed":
            note(f"it says: {report.last_error}; what it said: inos component logs {report.component_id}")
    if any(report.status == "crashed" for report in reports):
        raise typer.Exit(FAILED)


@command
def logs(
    component: Id,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Print the end of what a component said; -f goes on.

    inos component logs org.example.notes -f
    """

    async def work(components: AnyComponents) -> None:
        import anyio

        from inos.cli.components_here import ComponentsHere

        after = ""
        while True:
            part = await components.log(component, after, _PART)
            if as_json and (part.text or not after):
                say_json(to_dict(part))
            elif part.text:
                typer.echo(part.text, nl=False)
            after = part.next
            if not part.more:
                if follow and isinstance(components, ComponentsHere):
                    note("no node runs, so there is nothing to follow")
                    return
                if not follow:
                    return
                await anyio.sleep(FOLLOW_EVERY_S)

    _ask(home, passphrase_file, work)


@command
def remove(component: Id, passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Stop a component and remove it, its log and its data of all versions."""
    removed = _ask(home, passphrase_file, lambda components: components.remove(component))
    if as_json:
        say_json(to_dict(removed))
    else:
        say(f"removed {removed.removed} and its data")


@command
def list_apps(passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """List applications: components that belong together."""
    found = _ask(home, passphrase_file, lambda components: components.applications())
    if as_json:
        for each in found:
            say_json(to_dict(each))
    elif found:
        rows = [
            (a.application_id, a.name, f"{a.running} of {len(a.components)}", ", ".join(a.components)) for a in found
        ]
        say(table([("APPLICATION", "NAME", "RUNNING", "COMPONENTS"), *rows]))
    else:
        note("there is no application: components name theirs in component.toml")


@command
def start_app(
    application: AppId, passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False
) -> None:
    """Start all components of an application. Exits 1 when one crashed at once."""
    _tell(_ask(home, passphrase_file, lambda components: components.start_application(application)), as_json)


@command
def stop_app(
    application: AppId, passphrase_file: PassphraseFile = None, home: Home = None, as_json: AsJson = False
) -> None:
    """Stop all components of an application."""
    _tell(_ask(home, passphrase_file, lambda components: components.stop_application(application)), as_json)
