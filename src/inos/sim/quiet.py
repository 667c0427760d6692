"""Ending every fault: from here on a mesh has nothing but time."""

from __future__ import annotations

from inos.sim.actions import start_all
from inos.sim.world import World


async def end_faults(world: World) -> None:
    """Mend every wire, wake and start every machine, set every clock right, give every disk its room and speed."""
    fabric = world.cluster.fabric
    fabric.heal()
    world.rough = False
    for node in world.cluster.nodes:
        fabric.set_bandwidth(node.peer)
        node.env.skew_s = 0.0
        node.env.late_s = 0.0
        node.disk.fill(None)
        node.disk.slow(0.0)
        world.hampered.pop(node.number, None)
        if node.number in world.asleep:
            node.wake()
            del world.asleep[node.number]
    await start_all(world)
    for node in world.cluster.running():
        world.disturb(node.number)
