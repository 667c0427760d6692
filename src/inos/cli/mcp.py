"""inos mcp: the corpus and the files as tools of the Model Context Protocol, for any agent framework.

Over standard input and output for a framework that starts it, or over HTTP on loopback. The protocol's own library is
loaded here alone: it takes longer to import than all the rest of a command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inos.cli.options import STORING, Home
from inos.cli.running import command
from inos.core.endpoint import data_root
from inos.core.errors import BadInput


def register(app: typer.Typer) -> None:
    """Add `inos mcp`."""
    app.command(rich_help_panel=STORING)(mcp)


@command
def mcp(
    agent: Annotated[str, typer.Option("--agent", "-a", help="Who writes.", metavar="NAME")] = "mcp",
    role: Annotated[str, typer.Option("--role", help="The agent's role.", metavar="ROLE")] = "",
    files: Annotated[
        Path | None,
        typer.Option("--files", help="Let tools read and write local files below this folder.", metavar="DIR"),
    ] = None,
    http: Annotated[
        str, typer.Option("--http", help="Serve HTTP here instead of standard input and output.", metavar="HOST:PORT")
    ] = "",
    home: Home = None,
) -> None:
    """Give an agent framework messages and files as tools (Model Context Protocol).

    For a framework that starts it: the command is `inos`, its arguments `mcp --agent NAME`.

    inos mcp --http 127.0.0.1:8700
    """
    from inos.core.messages.message import check_agent

    check_agent(agent)
    if files is not None and not files.is_dir():
        raise BadInput(f"{files} is not a folder", hint="--files takes a folder that exists")
    from inos.cli.mcp_tools import Tools, make_server

    server = make_server(Tools(home, agent, role, None if files is None else files.resolve()))
    if not http:
        server.run("stdio")
        return
    from inos.cli.mcp_http import serve_http

    serve_http(server, http, data_root(home))
