"""The `inos` command: its commands and its entry point."""

from __future__ import annotations

import io
import sys

import typer
from typer.main import get_command

from inos.cli import backup, components, db, keys, mcp, members, messages, node, objects, pins, sim
from inos.cli.lean import lighten_typer
from inos.cli.running import install_excepthook


def make_app() -> typer.Typer:
    """The command line with all its commands."""
    app = typer.Typer(
        name="inos",
        help="One private place over all your machines: files kept, spread, checked and repaired by your own nodes.",
        epilog="Start with: inos init, inos up, inos put FILE. "
        "Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    node.register(app)
    backup.register(app)
    objects.register(app)
    pins.register(app)
    members.register(app)
    db.register(app)
    keys.register(app)
    messages.register(app)
    mcp.register(app)
    components.register(app)
    node.register_trials(app)
    sim.register(app)
    return app


def main() -> None:
    """Run the command line; never returns."""
    install_excepthook()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may hold what the terminal's encoding does not
            stream.reconfigure(errors="backslashreplace")
    lighten_typer()
    get_command(make_app())(prog_name="inos")  # not the Typer itself, which would replace the excepthook
