"""Nodes and membership for tests of the network seam.

Membership is played by a `Roster`: peers on it are members, and hellos say no more than who one is. `Machines` is what
an implementation supplies to start nodes; `Mesh` is the nodes of one test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from inos.core.errors import NotAMember
from inos.core.ids import PeerId
from inos.mesh.network import Admission, Message, Network

# Generous for a loaded machine with two cores; nothing here waits this long when all is well.
PATIENCE_S = 10.0
BRIEF_S = 0.3


class Roster:
    """Who is a member, for all nodes of a test."""

    def __init__(self) -> None:
        self.members: set[PeerId] = set()


class RosterAdmission:
    """Admission by a Roster: one must be on it and have shown a hello."""

    def __init__(self, me: PeerId, roster: Roster) -> None:
        self.me = me
        self.roster = roster
        self.known: set[PeerId] = set()
        self.welcomed: list[PeerId] = []

    def admits(self, peer: PeerId) -> bool:
        return peer in self.known and peer in self.roster.members

    def hello(self) -> bytes:
        return b"hello, I am " + self.me.encode()

    def welcome(self, peer: PeerId, hello: bytes) -> None:
        if hello != b"hello, I am " + peer.encode() or peer not in self.roster.members:
            raise NotAMember(f"{peer.short()} is not on the roster")
        self.known.add(peer)
        self.welcomed.append(peer)


class Machines(Protocol):
    """What a test starts nodes on."""

    async def start(self, admission: Callable[[PeerId], Admission]) -> Network:
        """A node of a new identity, listening."""

    async def stop(self, network: Network) -> None:
        """End that node; its connections break."""


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that must come about within PATIENCE_S."""
    with trio.move_on_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - the conditions are of things that set no event
            await trio.sleep(0.01)
        return
    raise AssertionError(f"never happened: {what}")


async def echo(_peer: PeerId, request: Message) -> Message:
    return request


class Mesh:
    """The nodes of one test."""

    def __init__(self, machines: Machines) -> None:
        self.machines = machines
        self.roster = Roster()
        self.admissions: dict[PeerId, RosterAdmission] = {}

    async def node(self, *, member: bool = True) -> Network:
        def admission(me: PeerId) -> RosterAdmission:
            found = self.admissions[me] = RosterAdmission(me, self.roster)
            return found

        network = await self.machines.start(admission)
        if member:
            self.roster.members.add(network.me)
        return network

    async def pair(self) -> tuple[Network, Network]:
        """Two members, the first connected to the second, which serves `echo`."""
        a, b = await self.node(), await self.node()
        b.serve("echo", echo)
        await join(a, b)
        return a, b


async def join(a: Network, b: Network) -> None:
    """Connect `a` to `b` and wait until both know."""
    assert await a.connect(b.addresses(), timeout_s=PATIENCE_S) == b.me
    await until(lambda: a.me in b.connected(), "the other side knows of the connection")
