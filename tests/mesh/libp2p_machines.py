"""Real libp2p nodes on loopback, for tests: each runs in a task of its own and can be ended alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import trio

from inos.core.env import RealEnv
from inos.core.ids import PeerId
from inos.mesh.libp2p_host import Libp2pNetwork, MeshConfig, open_libp2p, peer_of_seed
from inos.mesh.network import Admission, Network


class Libp2pMachines:
    def __init__(self, nursery: trio.Nursery, config: MeshConfig) -> None:
        self._nursery = nursery
        self._config = config
        self._numbers = count(1)
        self._stop: dict[PeerId, tuple[trio.Event, trio.Event]] = {}
        self.env = RealEnv()

    async def start(self, admission: Callable[[PeerId], Admission], config: MeshConfig | None = None) -> Libp2pNetwork:
        seed = next(self._numbers).to_bytes(32, "big")
        network: Libp2pNetwork = await self._nursery.start(self._run, seed, admission, config or self._config)
        return network

    async def _run(
        self,
        seed: bytes,
        admission: Callable[[PeerId], Admission],
        config: MeshConfig,
        task_status: Any,
    ) -> None:
        stop, stopped = trio.Event(), trio.Event()
        me = peer_of_seed(seed)
        self._stop[me] = (stop, stopped)
        try:
            async with open_libp2p(config, seed, admission(me), self.env) as network:
                task_status.started(network)
                await stop.wait()
        finally:
            stopped.set()

    async def stop(self, network: Network) -> None:
        stop, stopped = self._stop.pop(network.me)
        stop.set()
        await stopped.wait()

    async def stop_all(self) -> None:
        for stop, _ in self._stop.values():
            stop.set()


@asynccontextmanager
async def libp2p_machines(config: MeshConfig | None = None) -> AsyncIterator[Libp2pMachines]:
    async with trio.open_nursery() as nursery:
        machines = Libp2pMachines(nursery, config or MeshConfig())
        yield machines
        await machines.stop_all()
