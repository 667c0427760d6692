"""The `inos` command: which commands there are, and its entry point.

The module of a command is loaded when that command runs; all of them for the help, for completion and for a word that
is none.
"""

from __future__ import annotations

import importlib
import io
import sys
from dataclasses import dataclass
from typing import Final

import typer
from typer.main import get_command

from inos.cli.lean import lighten_typer
from inos.cli.running import install_excepthook
from inos.core.late_imports import uncollected


@dataclass(frozen=True)
class Part:
    """A module of `inos.cli`, its commands, and its function that adds them."""

    module: str
    words: tuple[str, ...]
    register: str = "register"


# In the order of the help.
PARTS: Final = (
    Part("node", ("init", "up", "passphrase", "rebuild", "version")),
    Part("backup", ("backup", "restore")),
    Part("objects", ("put", "get", "rm", "ls", "find", "stat", "verify")),
    Part("pins", ("pin", "unpin")),
    Part("members", ("invite", "join", "revoke", "peers", "status")),
    Part("db", ("db",)),
    Part("keys", ("keys",)),
    Part("messages", ("msg", "messages")),
    Part("mcp", ("mcp",)),
    Part("components", ("component", "app")),
    Part("node", ("demo", "cluster"), "register_trials"),
    Part("sim", ("sim",)),
)


def make_app(word: str = "") -> typer.Typer:
    """The command line with all its commands, or with those beside `word` where that is one."""
    app = typer.Typer(
        name="inos",
        help="One private place over all your machines: files kept, spread, checked and repaired by your own nodes.",
        epilog="Start with: inos init, inos up, inos put FILE. "
        "Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_always_a_group,
    )
    for part in [part for part in PARTS if word in part.words] or PARTS:
        getattr(importlib.import_module(f"inos.cli.{part.module}"), part.register)(app)
    return app


def _always_a_group() -> None:
    """Without a callback Typer takes an application of one command for that command."""


def main() -> None:
    """Run the command line; never returns."""
    install_excepthook()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may hold what the terminal's encoding does not
            stream.reconfigure(errors="backslashreplace")
    lighten_typer()
    with uncollected():
        command = get_command(make_app(sys.argv[1] if len(sys.argv) > 1 else ""))
    command(prog_name="inos")  # not the Typer itself, which would replace the excepthook
