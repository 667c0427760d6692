"""Options that several commands share, as the types of their parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

STORING = "Storing and getting"
LOOKING = "Looking"
NODE = "This node"
MESH = "The mesh"
TRYING = "Trying it out"

Home = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Data root of the node; else $INOS_HOME, else the platform's data folder.", metavar="DIR"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line; errors too.")]
Target = Annotated[str, typer.Argument(help="A reference, a cid, a name or sha256:HEX.", metavar="REF|NAME")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Read the passphrase from this file's first line.", metavar="FILE"),
]
