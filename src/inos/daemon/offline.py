"""What the command line does with a data root on which no node runs: it opens the root itself, under its lock.

Never imports the network, so it is quick. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio

from inos.core.env import RealEnv
from inos.daemon.roots import opened_root
from inos.node.key_desk import KeyDesk
from inos.node.row_desk import RowDesk
from inos.store.dataroot import DataRoot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenedRoot:
    """What a running node would answer of its rows and keys, without one."""

    db: RowDesk
    keys: KeyDesk


def with_root(home: Path, passphrase: str | None, work: Callable[[OpenedRoot], Awaitable[T]]) -> T:
    """Run `work` on an opened data root."""
    env, root = RealEnv(), DataRoot(home)
    with root.lock(), opened_root(root, passphrase, env) as (disk, identity):
        desks = OpenedRoot(RowDesk(disk.database, disk.rows, env), KeyDesk(identity.keyring, disk.rows.keys, env))

        async def main() -> T:
            return await work(desks)

        return trio.run(main)
