"""What the command line does with a data root on which no node runs: it opens the root itself, under its lock.

Never imports the network, so it is quick. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import trio

from inos.core.env import RealEnv
from inos.core.rows.calls import RowCalls
from inos.daemon.roots import opened_root
from inos.node.row_desk import RowDesk
from inos.store.dataroot import DataRoot

T = TypeVar("T")


def with_rows(home: Path, passphrase: str | None, work: Callable[[RowCalls], Awaitable[T]]) -> T:
    """Run `work` on the rows of its database."""
    env, root = RealEnv(), DataRoot(home)
    with root.lock(), opened_root(root, passphrase, env) as (disk, _):
        desk = RowDesk(disk.database, disk.rows, env)

        async def main() -> T:
            return await work(desk)

        return trio.run(main)
