"""What happens to the messages of a simulated mesh: agents write, people mark, somebody makes a machine the hub."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from inos.core.errors import InosError
from inos.core.messages.message import Draft, Message
from inos.sim.actions import Action
from inos.sim.cluster import ClusterNode
from inos.sim.world import OPERATION_S, World


@dataclass(frozen=True, slots=True)
class Append(Action):
    """The agent of machine `node` writes `count` messages, one after the other."""

    verb = "append"
    node: str
    count: int = 1

    async def act(self, world: World) -> None:
        node = world.running(self.node)
        if node is None or node.number in world.hostile:
            return
        world.messages.used = True
        agent = world.messages.agent_of(node.number)
        for number in range(self.count):
            draft = Draft(agent, {"on": self.node, "n": number, "text": "x" * (number % 7 * 100)})
            try:
                (message,) = await world.ask(node, partial(_post, node, draft), OPERATION_S)
            except InosError as error:
                world.trace.note(f"append on {self.node}: {error.code}")
                return
            if agent == world.messages.agent_of(node.number):
                world.messages.acknowledged(message, node.number)


async def _post(node: ClusterNode, draft: Draft) -> list[Message]:
    return await node.core.messaging.desk.post([draft])


@dataclass(frozen=True, slots=True)
class Mark(Action):
    """Somebody on machine `node` marks the latest message that the hub shows as read."""

    verb = "mark"
    node: str

    async def act(self, world: World) -> None:
        node = world.running(self.node)
        known = [each for each in world.messages.written.values() if each.safe]
        if node is None or node.number in world.hostile or not known:
            return
        message = world.chance.choice(known).message
        desk = node.core.messaging.desk
        try:
            marked = await world.ask(node, lambda: desk.mark([message.id], "read", True, self.node), OPERATION_S)
        except InosError as error:
            world.trace.note(f"mark on {self.node}: {error.code}")
            return
        if marked.covered:
            world.messages.marked[message.id] = None


@dataclass(frozen=True, slots=True)
class TakeHub(Action):
    """Somebody makes machine `node` the hub."""

    verb = "take_hub"
    node: str

    async def act(self, world: World) -> None:
        node = world.running(self.node)
        if node is None or node.number in world.hostile:
            return
        world.messages.used = True
        try:
            await world.ask(node, node.core.messaging.desk.take_hub, OPERATION_S)
        except InosError as error:
            world.trace.note(f"take_hub on {self.node}: {error.code}")
            return
        world.trace.note(f"take_hub on {self.node}: done")
