"""What there is below a folder to back up, and what of it cannot be kept, with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inos.backup.entries import FILE, FOLDER, LINK, Kind

SPECIAL = "not a file"


@dataclass(frozen=True, slots=True)
class Found:
    """A file, a link, or a folder with nothing in it."""

    path: Path
    kind: Kind


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is not in a backup, and why; `lost`: something was there to be read, and could not be."""

    path: Path
    why: str
    lost: bool = False


def walk(folder: Path, *, but: Path | None = None) -> Iterator[Found | LeftOut]:
    """What is below `folder`, but for `but` and what is below that, in the order of the paths. No link is followed, but
    for `folder` itself: whoever uses it does that, too. Depth costs no recursion; what goes while it is looked at was
    not there."""
    if not os.path.lexists(folder):
        return
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        if path == but:
            continue
        try:
            if path.is_symlink() and path != folder:
                yield Found(path, LINK)
            elif path.is_dir():
                below = sorted(path / name for name in os.listdir(path))  # noqa: PTH208 - Path.iterdir reads late
                waiting += reversed(below)
                if not below and path != folder:
                    yield Found(path, FOLDER)
            elif path.is_file() and path != folder:
                yield Found(path, FILE)
            elif os.path.lexists(path):
                yield LeftOut(path, SPECIAL)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield LeftOut(path, error.strerror or str(error), lost=True)
