"""What the command line does with a data root on which no node runs: it opens the root itself, under its lock.

Never imports the network, so it is quick. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio

from inos.components.asleep import Asleep
from inos.components.desk import ComponentDesk
from inos.components.shelf import Shelf
from inos.core.env import Env, RealEnv
from inos.core.errors import NoNode
from inos.daemon.roots import opened_root
from inos.node.disk import Disk
from inos.node.key_desk import KeyDesk
from inos.node.row_desk import RowDesk
from inos.store.dataroot import DataRoot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenedRoot:
    """What a running node would answer of its rows, keys and components, without one."""

    db: RowDesk
    keys: KeyDesk
    packages: ComponentDesk


def with_root(home: Path, passphrase: str | None, work: Callable[[OpenedRoot], Awaitable[T]]) -> T:
    """Run `work` on an opened data root."""
    env, root = RealEnv(), DataRoot(home)
    with root.lock(), opened_root(root, passphrase, env) as (disk, identity):
        desks = OpenedRoot(
            RowDesk(disk.database, disk.rows, env), KeyDesk(identity.keyring, disk.rows.keys, env), _packages(disk, env)
        )

        async def main() -> T:
            return await work(desks)

        return trio.run(main)


def _packages(disk: Disk, env: Env) -> ComponentDesk:
    shelf = Shelf(disk.root, env)

    async def fetch(target: str) -> tuple[str, AsyncGenerator[bytes, None]]:
        raise NoNode(f"no node runs, and only one can fetch {target[:80]!r}", hint="start it first: inos up")

    return ComponentDesk(disk.rows, shelf, Asleep(disk.rows, shelf, env), fetch, env)
