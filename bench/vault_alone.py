"""`python -m bench.vault_alone FILE HOME`: put and get of a file through the vault of a node without API or sockets.

Layers inside: vault, replication, store, objects, crypto of `node/core.py`'s core, on a MemoryNetwork without other
members. Outside: HTTP, the client library, libp2p. Prints one JSON object with seconds and processor seconds.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import trio

from bench.measure import Span, span
from inos.core.env import RealEnv
from inos.core.memory import keep_large_buffers
from inos.core.options import InitOptions
from inos.core.reports import PutOptions
from inos.daemon.roots import init_home, opened_root
from inos.mesh.network import Admission, Network
from inos.node.core import NodeSettings, Parts, open_core
from inos.sim.fabric import MemoryFabric
from inos.store.dataroot import DataRoot

BLOCK = 1 << 20


def main(source: Path, home: Path) -> None:
    """Make a data root at `home`, put and get `source`, print what it took."""
    keep_large_buffers()
    init_home(InitOptions(home, None, None, "alone"))
    env, root = RealEnv(), DataRoot(home)
    with root.lock(), opened_root(root, None, env) as (disk, identity):

        @asynccontextmanager
        async def network(admission: Admission) -> AsyncGenerator[Network, None]:
            yield MemoryFabric(env).join(identity.peer, admission)

        settings = NodeSettings("alone", "heavy", "", repair_after_s=30.0, remove_delay_s=3600.0)
        put, get = trio.run(_measure, Parts(identity, settings, disk, network), env, source, source.stat().st_size)
    print(json.dumps({
        "put_s": put.wall_s, "put_cpu_s": put.own_cpu_s, "get_s": get.wall_s, "get_cpu_s": get.own_cpu_s,
    }))  # fmt: skip


async def _measure(parts: Parts, env: RealEnv, source: Path, size: int) -> tuple[Span, Span]:
    async with open_core(parts, env) as core:
        vault = core.keeping.vault
        with span() as put:
            report = await vault.put(_blocks(source, env), PutOptions(name="file", size=size))
        await env.in_thread(os.sync)
        read = 0
        with span() as get:
            reading = await vault.open(report.ref, 0, None)
            async with aclosing(reading.chunks) as chunks:
                async for chunk in chunks:
                    read += len(chunk)
        assert read == size
        return put, get


async def _blocks(source: Path, env: RealEnv) -> AsyncIterator[bytes]:
    with source.open("rb", buffering=0) as file:
        while block := await env.in_thread(file.read, BLOCK):
            yield block


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
