"""pin, unpin: what stays on this node whatever its quota says."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inos.cli.options import STORING, AsJson, Home
from inos.cli.output import count_text, note, say_json
from inos.cli.running import command, with_mesh
from inos.core.reports import PinReport, to_dict

if TYPE_CHECKING:
    from inos.client.mesh import Mesh

Targets = Annotated[list[str], typer.Argument(help="Names, folders or references.", metavar="REF|NAME…")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel=STORING)(pin)
    app.command(rich_help_panel=STORING)(unpin)


@command
def pin(targets: Targets, home: Home = None, as_json: AsJson = False) -> None:
    """Keep objects on this node, all of them and for good; what is missing is fetched in the background.

    inos pin /2024/photos
    """
    _each(targets, lambda mesh, target: mesh.pin(target), home, as_json)


@command
def unpin(targets: Targets, home: Home = None, as_json: AsJson = False) -> None:
    """Let go of pinned objects; they stay until their room is wanted.

    inos unpin /2024/photos
    """
    _each(targets, lambda mesh, target: mesh.unpin(target), home, as_json)


def _each(
    targets: list[str], call: Callable[[Mesh, str], Coroutine[Any, Any, PinReport]], home: Path | None, as_json: bool
) -> None:
    async def work(mesh: Mesh) -> None:
        for target in targets:
            report = await call(mesh, target)
            if as_json:
                say_json(to_dict(report))
            else:
                done = "pinned" if report.pinned else "let go"
                note(f"{target}: {done} {count_text(report.changed, 'object')} of {report.objects}")

    with_mesh(home, work)
