"""The network seam in memory passes the suite, and its faults do what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

import pytest
import trio

from inos.core.env import RealEnv
from inos.core.errors import PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh.network import Admission, Message, Network
from inos.sim.fabric import MemoryFabric
from inos.testing.network import NetworkSuite
from inos.testing.roster import Machines, Mesh, join
from inos.testing.run import trio_test


class MemoryMachines:
    def __init__(self, fabric: MemoryFabric) -> None:
        self.fabric = fabric
        self._numbers = count(1)

    async def start(self, admission: Callable[[PeerId], Admission]) -> Network:
        me = PeerId.from_public_key(next(self._numbers).to_bytes(32, "big"))
        return self.fabric.join(me, admission(me))

    async def stop(self, network: Network) -> None:
        self.fabric.stop(network.me)


@asynccontextmanager
async def memory_machines() -> AsyncIterator[MemoryMachines]:
    yield MemoryMachines(MemoryFabric(RealEnv()))


class TestMemoryNetwork(NetworkSuite):
    def machines(self) -> AbstractAsyncContextManager[Machines]:
        return memory_machines()


@trio_test
async def test_a_cut_is_silent_until_it_heals() -> None:
    async with memory_machines() as machines:
        a, b = await Mesh(machines).pair()
        machines.fabric.cut(a.me, b.me)
        with pytest.raises(PeerUnavailable):
            await a.call(b.me, "echo", Message(), timeout_s=0.05)
        assert a.connected() == {b.me}
        machines.fabric.heal()
        assert await a.call(b.me, "echo", Message(b"x"), timeout_s=1) == Message(b"x")


@trio_test
async def test_a_side_that_gave_up_during_a_cut_is_found_out_by_the_next_call() -> None:
    async with memory_machines() as machines:
        a, b = await Mesh(machines).pair()
        machines.fabric.cut(a.me, b.me)
        await b.disconnect(a.me)
        assert a.connected() == {b.me}
        machines.fabric.heal()
        with pytest.raises(PeerUnavailable):
            await a.call(b.me, "echo", Message(), timeout_s=1)
        assert not a.connected()
        await join(a, b)


@trio_test
async def test_latency_is_paid_each_way() -> None:
    async with memory_machines() as machines:
        a, b = await Mesh(machines).pair()
        machines.fabric.set_latency(a.me, b.me, 0.05)
        before = trio.current_time()
        await a.call(b.me, "echo", Message(), timeout_s=1)
        assert 0.1 <= trio.current_time() - before < 1


@trio_test
async def test_a_stopped_node_can_join_again() -> None:
    async with memory_machines() as machines:
        mesh = Mesh(machines)
        a, b = await mesh.pair()
        machines.fabric.stop(b.me)
        again = machines.fabric.join(b.me, mesh.admissions[b.me])
        await join(a, again)
