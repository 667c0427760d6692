"""Every command there is, those of groups included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from inos.cli.main import make_app


def every_command(group: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name ("put", "db list") and command of each."""
    top: Any = group or get_command(make_app())
    for name, command in top.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command
