"""How a command runs: its errors become two lines and an exit code, never a traceback.

0 done · 1 failed · 2 used wrongly · 130 interrupted. INOS_DEBUG=1 shows tracebacks of what nobody foresaw.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

from inos.cli.node_door import Desks, DesksHere, offline_commands
from inos.cli.output import complain, note
from inos.cli.secrets_in import existing_passphrase
from inos.core.endpoint import data_root
from inos.core.errors import BadInput, InosError, NoNode

if TYPE_CHECKING:
    from inos.client.mesh import Mesh

P = ParamSpec("P")
T = TypeVar("T")

FAILED = 1


def command(work: Callable[P, None]) -> Callable[P, None]:
    """A command whose InosErrors are told to the user, as JSON if it was asked for JSON. So is an argument that is not
    text: those that name files may be any bytes, all others end up where only UTF-8 can be written."""

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            work(*args, **kwargs)
        except InosError as error:
            failed = error
        except UnicodeEncodeError as error:
            if error.reason != "surrogates not allowed":
                raise
            failed = BadInput(f"not UTF-8: {error.object[:80]!a}", hint="give text")
        else:
            return
        complain(failed, bool(kwargs.get("as_json")))
        raise typer.Exit(FAILED)

    return run


def with_mesh(home: Path | None, work: Callable[[Mesh], Awaitable[T]]) -> T:
    """Run `work` on the running node of `home`."""
    import anyio

    from inos.client.connect import connect

    async def main() -> T:
        async with connect(home, tell=_tell) as mesh:
            return await work(mesh)

    return anyio.run(main)


def with_desks(home: Path | None, passphrase_file: Path | None, work: Callable[[Desks], Awaitable[T]]) -> T:
    """Run `work` on the running node of `home`; where none runs, on the data root itself."""
    return with_mesh_or_root(home, passphrase_file, work, work)


def with_mesh_or_root(
    home: Path | None,
    passphrase_file: Path | None,
    on_mesh: Callable[[Mesh], Awaitable[T]],
    on_root: Callable[[DesksHere], Awaitable[T]],
) -> T:
    """Run `on_mesh` on the running node of `home`; where none runs, `on_root` on the data root itself."""
    try:
        return with_mesh(home, on_mesh)
    except NoNode:
        root = data_root(home)
        if not root.exists():
            raise BadInput(f"there is no data root at {root}", hint="make one with: inos init") from None
    return offline_commands().with_root(root, existing_passphrase(root, passphrase_file), on_root)


def _tell(text: str) -> None:
    note(("\r\x1b[K" if sys.stderr.isatty() else "") + text)  # a progress line may be drawn there


def log_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The last resort (`sys.excepthook`): keep the traceback in a file and tell where it is."""
    lines = traceback.format_exception(kind, error, trace)
    if os.environ.get("INOS_DEBUG"):
        note("".join(lines))
        return
    folder = data_root() if data_root().is_dir() else Path(tempfile.gettempdir())
    path = folder / f"inos-error-{os.getpid()}.log"
    try:
        path.write_text("".join(lines))
    except OSError:
        note("error: internal error; run it again with INOS_DEBUG=1 to see more")
        return
    note(f"error: internal error, details in {path}\nhint: please report it with that file; INOS_DEBUG=1 shows it here")


def install_excepthook() -> None:
    """Have `log_unexpected` called for what no command handled."""
    sys.excepthook = log_unexpected
