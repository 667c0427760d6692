"""The copy of a database that is kept when an upgrade changes its schema: `inos.db.v1` is how schema 1 was left.

Rules: it is a copy of the whole file with its log written back, encrypted as it was, made before the first step of an
upgrade and named when its bytes are synced; so whatever has the name is whole. It goes when the upgrade is KEPT_S old
and the database has passed its check since. To go back to the older release: stop the node, remove `inos.db-wal` and
`inos.db-shm`, rename the copy to `inos.db`. What was written since the upgrade is not in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from inos.core.errors import StorageFull
from inos.store.disk_errors import from_errno
from inos.store.filesystem import Files

# A week: long enough to notice that the new release does not do, short enough not to forget how to go back.
KEPT_S: Final = 7 * 24 * 3600
# What must be left for the upgrade itself and for whatever the node was doing.
_ROOM_BYTES: Final = 64 << 20
_NAME: Final = re.compile(r"inos\.db\.v([1-9][0-9]{0,5})")


def previous_path(path: Path, version: int) -> Path:
    """Where the copy of schema `version` of the database at `path` is kept."""
    return path.with_name(f"{path.name}.v{version}")


def is_previous(name: str) -> bool:
    """Whether a file of this name in a data root is such a copy."""
    return _NAME.fullmatch(name) is not None


def previous_versions(path: Path, files: Files) -> list[int]:
    """The schemas of which there are copies beside the database at `path`."""
    prefix = f"{path.name}.v"
    ends = (name.removeprefix(prefix) for name, _ in files.listed(path.parent) if name.startswith(prefix))
    return sorted(int(end) for end in ends if end.isdecimal() and len(end) <= len("999999"))


def keep_previous(path: Path, version: int, files: Files) -> None:
    """Copy the database at `path`, which nobody has open and which has no log. Raises StorageFull, Corrupt."""
    kept = previous_path(path, version)
    fresh = kept.with_name(kept.name + ".new")
    try:
        needed = files.size(path) + _ROOM_BYTES
        if files.free_bytes(path.parent) < needed:
            raise StorageFull(
                f"no room to upgrade {path.name}: a copy of it is kept, which takes {needed >> 20} MiB",
                hint="free space on this disk and start again; nothing was changed",
            )
        try:
            files.copy_synced(path, fresh)
            files.rename(fresh, kept)
            files.sync_folder(path.parent)
        except OSError:
            files.unlink(fresh)
            raise
    except OSError as error:
        raise from_errno(error.errno or 0, f"keeping a copy of {path.name}") from None


def remove_previous(path: Path, version: int, files: Files) -> None:
    """Remove the copy of schema `version`."""
    files.unlink(previous_path(path, version))
