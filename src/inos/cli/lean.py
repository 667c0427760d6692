"""Keeps pydantic out of the command line's start, and half of rich out of its help.

Typer converts every parameter through a pydantic adapter, and importing pydantic takes longer than all else that a
command does before it talks to the node. Text, paths and flags need no adapter: they get a converter of their own here;
other types keep Typer's. A test holds what this is for: that no ordinary command imports pydantic.

Typer's help names rich's Markdown and Traceback, which bring a parser of Markdown, pygments and attrs; ours uses
neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer.core
from typer._coercion import RuntimeParam, TypeDescriptor, build_runtime_param

from inos.core.late_imports import put_off, put_off_classes

_CONVERTED: Final[tuple[Any, ...]] = (str, Path, list[str], bool)


@dataclass(frozen=True)
class _Plain(RuntimeParam):
    """Text as it was typed, or a path of it; a flag, which the parser has made a bool already."""

    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
        del param, ctx
        if self.annotation is Path:
            return Path(value)
        return list(value) if self.annotation == list[str] else value


def _runtime_param(descriptor: TypeDescriptor) -> RuntimeParam:
    if descriptor.annotation in _CONVERTED:
        return _Plain(descriptor.parameter_info, descriptor.annotation)
    return build_runtime_param(descriptor)


def lighten_typer() -> None:
    """From now on Typer converts text, paths and flags without pydantic, and helps without Markdown."""
    put_off(["typer.rich_utils"], before=_lighten_rich)
    typer.core.build_runtime_param = _runtime_param  # type: ignore[attr-defined]


def _lighten_rich() -> None:
    put_off_classes("rich.markdown", "Markdown")
    put_off_classes("rich.traceback", "Traceback")
