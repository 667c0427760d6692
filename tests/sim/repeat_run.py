"""A mesh with every fault on, from one seed; prints one digest over every frame that arrived and when.

    python tests/sim/repeat_run.py SEED

A script of its own: two processes with different hash seeds must print the same.
"""

from __future__ import annotations

import random
import sys
from importlib import import_module
from typing import Any

import trio
from sim_mesh import Town

from inos.core.errors import InosError
from inos.core.ids import PeerId
from inos.crypto.hashing import ContentHasher
from inos.mesh.network import Message
from inos.sim.clock import JumpClock
from inos.sim.frames import Frame
from inos.sim.network import MemoryNetwork
from inos.sim.wires import Distance, Weather

NODES = 8
LASTS_S = 60.0
REGIONS = ("north", "south", "")


async def _listen(_origin: PeerId, _data: bytes) -> None:
    await trio.lowlevel.checkpoint()


async def _busy(node: MemoryNetwork, town: Town, chance: random.Random) -> None:
    """Call, gossip, connect again, for ever."""
    while True:
        await trio.sleep(chance.expovariate(5))
        other = chance.choice([each for each in town.nodes if each is not node])
        try:
            if other.me not in node.connected():
                await node.connect(other.addresses(), timeout_s=2)
            elif chance.random() < 0.3:
                await node.publish("news", chance.randbytes(20))
            else:
                await node.call(other.me, "echo", Message(chance.randbytes(9), bytes(5000)), timeout_s=2)
        except InosError:
            continue


async def _trouble(town: Town, chance: random.Random) -> None:
    """One fault after another, and now and then none."""
    fabric, peers = town.fabric, [node.me for node in town.nodes]
    while True:
        a, b = chance.sample(peers, 2)
        await trio.sleep(2)
        fabric.heal()
        fabric.set_weather(Weather(lost=0.05, breaks=0.3, duplicated=0.05, late=0.1, late_s=0.5))
        match chance.randrange(6):
            case 0:
                fabric.cut(a, b)
            case 1:
                fabric.cut_one_way(a, b)
            case 2:
                fabric.partition([chance.sample(peers, NODES // 2)])
            case 3:
                fabric.slow(a, 10, handling_s=0.2)
            case 4:
                fabric.asleep(a, links_break_after_s=1)
            case _:
                fabric.heal()


async def main(seed: int) -> None:
    chance, trace, frames = random.Random(seed), ContentHasher(), 0
    town = Town(NODES, seed=seed, jitter_s=0.005)

    def note(at_s: float, frame: Frame) -> None:
        nonlocal frames
        frames += 1
        trace.update(at_s.hex().encode() + frame.digest)

    town.fabric.watch(note)
    town.fabric.set_distance("north", "south", Distance(0.1, 0.02))
    for number, node in enumerate(town.nodes):
        town.fabric.place(node.me, REGIONS[number % 3])
        town.fabric.set_bandwidth(node.me, up=200_000, down=500_000)
        await node.subscribe("news", _listen)
    with trio.move_on_after(LASTS_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_trouble, town, random.Random(chance.random()))
            for node in town.nodes:
                nursery.start_soon(_busy, node, town, random.Random(chance.random()))
    counters = town.fabric.counters
    print(frames, counters.sent, counters.lost, counters.duplicated, trace.digest().hex())


if __name__ == "__main__":
    # trio offers its deterministic switch to tests, under these names only.
    scheduler: Any = import_module("trio._core._run")
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.seed(int(sys.argv[1]))
    trio.run(main, int(sys.argv[1]), clock=JumpClock())
