"""`inos backup mesh:`: the database and the data of components into the mesh, as objects of the owner.

The chunks stay out: the mesh holds them already. The node writes a backup beside its data, and what the catalogue does
not have of it yet is put, a snapshot last. So `inos get` brings back a folder that `inos restore` takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from inos.cli.meter import Meter
from inos.core.backups import SPOOL
from inos.core.errors import Unavailable
from inos.core.reports import BackupReport

if TYPE_CHECKING:
    from inos.client.mesh import Mesh

MESH: Final = "mesh:"
FOLDER: Final = "/.backups"
# In this order, so that what a snapshot needs is in the mesh before it.
_PARTS: Final = ("packs", "index", "inos-backup", "snapshots")
_PEER_CHARACTERS: Final = 12
# This node and another: what only this one held would be gone with it.
_HOLDERS: Final = 2


async def to_mesh(mesh: Mesh, root: Path) -> BackupReport | None:
    """Back the node of `root` up to its mesh. Raises Unavailable where nobody else is there, and what `put` raises when
    what was put would not outlive this node."""
    status = await mesh.status()
    if status.alive < 2:
        raise Unavailable(
            "no other member is there to hold a backup", hint="start another one, or make one: inos invite"
        )
    last: BackupReport | None = None
    async for report in mesh.backup(str(root / SPOOL), kind="mesh"):
        last = report
    base = f"{FOLDER}/{status.peer[-_PEER_CHARACTERS:]}"
    there = {item.name async for item in mesh.list(base + "/")}
    for path in _files(root / SPOOL):
        name = f"{base}/{path.relative_to(root / SPOOL).as_posix()}"
        if name not in there:
            with Meter(f"backup {path.name[:12]}") as meter:
                await mesh.put(path, name=name, require=_HOLDERS, progress=meter)
    return last


def _files(spool: Path) -> list[Path]:
    found: list[Path] = []
    for part in _PARTS:
        whole = spool / part
        found += [whole] if whole.is_file() else sorted(path for path in whole.rglob("*") if path.is_file())
    return found
